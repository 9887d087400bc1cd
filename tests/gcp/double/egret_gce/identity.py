"""Google's token endpoints: STS, service account impersonation, key files, the metadata server.

Of what the double issues nothing is signed, and nobody else's signatures are looked at: what a client
has to send, and that it sends what it got, is what there is to find out. What a key file signs is
verified (`accounts`).
"""

import datetime
import json
import random
import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from . import accounts
from .accounts import Accounts, BadToken
from .errors import ApiError

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
_SUBJECT_TYPES = (
    "urn:ietf:params:oauth:token-type:jwt",
    "urn:ietf:params:oauth:token-type:id_token",
    "urn:ietf:params:aws:token-type:aws4_request",
    ACCESS_TOKEN,
)
_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_IMPERSONATION = re.compile(r"/v1/projects/-/serviceAccounts/([^/:]+@[^/:]+):generateAccessToken")
METADATA = "/computeMetadata/v1/"
DEFAULT_LIFETIME = 3600

CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"

# status, headers, body
Answer = tuple[int, dict[str, str], bytes]


@dataclass(frozen=True)
class Grant:
    """What a token stands for."""

    principal: str
    # None: all of Compute Engine's.
    scopes: frozenset[str] | None


class OAuthError(Exception):
    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class Identity:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.required = False
        self.lifetime: float = DEFAULT_LIFETIME
        self.zone = "europe-west3-a"
        self.project = "egret"
        self.number = 0
        self.accounts = Accounts(self._random)
        # Those issued here: until when, on the monotonic clock.
        self._tokens: dict[str, tuple[float, Grant]] = {}

    def issue(self, principal: str, scopes: str) -> str:
        token = f"ya29.double-{self._random.randrange(16**24):024x}"
        grant = Grant(principal, frozenset(scopes.split()))
        self._tokens[token] = time.monotonic() + self.lifetime, grant
        return token

    def principal(self, authorization: str, scopes: frozenset[str]) -> str | None:
        """Of a request for a method of these scopes; raises ApiError where one is required."""
        try:
            grant = self._grant(authorization)
        except BadToken as error:
            if not self.required:
                return None
            if not authorization:
                raise ApiError(401, "required", "Login Required.") from None
            raise ApiError(401, "authError", f"Invalid Credentials ({error})") from None
        if grant.scopes is not None and not grant.scopes & scopes:
            raise ApiError(403, "insufficientPermissions", "Request had insufficient authentication scopes.")
        return grant.principal

    def _grant(self, authorization: str) -> Grant:
        token = authorization.removeprefix("Bearer ")
        if accounts.is_jwt(token):
            claims = self.accounts.bearer(token)
            scope = claims.get("scope")
            return Grant(claims["iss"], None if scope is None else frozenset(scope.split()))
        if token not in self._tokens:
            raise BadToken("it is no token of this server")
        ends, grant = self._tokens[token]
        if ends <= time.monotonic():
            raise BadToken("it has expired")
        return grant

    def answer(self, verb: str, path: str, headers: Any, body: bytes) -> Answer | None:
        """None: the path is none of these endpoints."""
        if path.startswith(METADATA):
            return self._metadata(verb, path.removeprefix(METADATA), headers)
        if path == "/":
            # Where clients find out whether there is a metadata server.
            return self._metadata(verb, "", headers)
        impersonated = _IMPERSONATION.fullmatch(path)
        endpoints = {"/token": self._exchange, "/v1/token": self._exchange, "/oauth2/token": self._bearer}
        if path not in endpoints and not impersonated:
            return None
        if verb != "POST":
            return _json(405, {"error": "invalid_request", "error_description": "It must be a POST."})
        try:
            if impersonated:
                return self._impersonate(impersonated[1], headers, body)
            return _json(200, endpoints[path](_fields(body)))
        except OAuthError as error:
            return _json(400, {"error": error.code, "error_description": error.text})
        except ApiError as error:
            return error.status, {"Content-Type": "application/json"}, error.body()

    def _exchange(self, given: dict[str, str]) -> dict[str, Any]:
        """RFC 8693, as sts.googleapis.com has it."""
        if given.get("grant_type", given.get("grantType")) != EXCHANGE:
            raise OAuthError("unsupported_grant_type", f"grant_type must be {EXCHANGE}.")
        for name in ("audience", "subject_token", "subject_token_type", "scope"):
            if not given.get(name):
                raise OAuthError("invalid_request", f"{name} is missing.")
        if given["subject_token_type"] not in _SUBJECT_TYPES:
            raise OAuthError("invalid_request", "subject_token_type is not one of STS.")
        if given.get("requested_token_type", ACCESS_TOKEN) != ACCESS_TOKEN:
            raise OAuthError("invalid_request", f"requested_token_type must be {ACCESS_TOKEN}.")
        claims = accounts.claims_of(given["subject_token"])
        if claims and claims.get("exp", time.time() + 1) <= time.time():
            raise OAuthError("invalid_grant", "subject_token has expired.")
        pool = given["audience"].rpartition("/providers/")[0] or given["audience"]
        subject = claims.get("sub", given["subject_token"])
        return {
            "access_token": self.issue(f"principal:{pool}/subject/{subject}", given["scope"]),
            "issued_token_type": ACCESS_TOKEN,
            "token_type": "Bearer",
            "expires_in": int(self.lifetime),
        }

    def _bearer(self, given: dict[str, str]) -> dict[str, Any]:
        """RFC 7523, for a key file's account."""
        if given.get("grant_type") != _BEARER:
            raise OAuthError("unsupported_grant_type", f"grant_type must be {_BEARER}.")
        try:
            claims = self.accounts.signed(given.get("assertion", ""))
        except BadToken as error:
            raise OAuthError("invalid_grant", str(error)) from None
        if claims.get("aud") != accounts.TOKEN_URI:
            raise OAuthError("invalid_grant", f"aud must be {accounts.TOKEN_URI}")
        if not claims.get("scope"):
            raise OAuthError("invalid_scope", "assertion must have a scope.")
        token = self.issue(claims["iss"], claims["scope"])
        return {"access_token": token, "token_type": "Bearer", "expires_in": int(self.lifetime)}

    def _impersonate(self, account: str, headers: Any, body: bytes) -> Answer:
        try:
            self._grant(headers.get("Authorization", ""))
        except BadToken as error:
            raise ApiError(401, "authError", f"Invalid Credentials ({error})") from None
        given = _fields(body)
        if not given.get("scope"):
            raise ApiError(400, "invalid", "Invalid value for field 'scope': ''. It must be given.")
        ends = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=self.lifetime)
        return _json(
            200,
            {
                "accessToken": self.issue(account, " ".join(given["scope"])),
                "expireTime": ends.isoformat(timespec="seconds").replace("+00:00", "Z"),
            },
        )

    def _metadata(self, verb: str, path: str, headers: Any) -> Answer:
        flavour = {"Metadata-Flavor": "Google"}
        if headers.get("Metadata-Flavor") != "Google":
            text = b"Missing Metadata-Flavor:Google header."
            return 403, flavour | {"Content-Type": "text/plain"}, text
        account = f"{self.number}-compute@developer.gserviceaccount.com"
        name, _, query = path.partition("?")
        if name.endswith("/token"):
            issued = self.issue(account, CLOUD_PLATFORM)
            token = {"access_token": issued, "expires_in": int(self.lifetime), "token_type": "Bearer"}
            content: Any = token if name == "instance/service-accounts/default/token" else None
        else:
            content = {
                "": "computeMetadata/\n",
                "instance/service-accounts/": "default/\n",
                "instance/service-accounts/default/": "aliases\nemail\nscopes\ntoken\n",
                "instance/service-accounts/default/email": account,
                "instance/service-accounts/default/scopes": CLOUD_PLATFORM + "\n",
                "instance/zone": f"projects/{self.number}/zones/{self.zone}",
                "project/project-id": self.project,
                "project/numeric-project-id": str(self.number),
                "universe/universe-domain": "googleapis.com",
            }.get(name)
            if name == "instance/service-accounts/default/" and "recursive=true" in query:
                content = {"aliases": ["default"], "email": account, "scopes": [CLOUD_PLATFORM]}
        if content is None or verb != "GET":
            return 404, flavour | {"Content-Type": "text/plain"}, b"not found"
        if isinstance(content, str):
            return 200, flavour | {"Content-Type": "application/text"}, content.encode()
        return 200, flavour | {"Content-Type": "application/json"}, json.dumps(content).encode()


def _fields(body: bytes) -> dict[str, Any]:
    """STS takes forms and JSON."""
    if body.lstrip().startswith(b"{"):
        try:
            return json.loads(body)
        except ValueError:
            raise OAuthError("invalid_request", "The body is neither a form nor JSON.") from None
    return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))


def _json(status: int, content: Any) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(content).encode()
