"""Service accounts' keys, and the tokens that are signed with them."""

import base64
import binascii
import json
import random
import time
from dataclasses import dataclass
from typing import Any

from . import rsa

# The endpoint's audience: https://google.aip.dev/auth/4111.
AUDIENCE = "https://compute.googleapis.com/"
TOKEN_URI = "https://oauth2.googleapis.com/token"
LONGEST = 3600
# Of clocks [infer]: google-cloud-auth makes tokens that began 10 s ago and last 10 s more than an hour.
SKEW = 60


class BadToken(Exception):
    """The text says what is wrong with it."""


@dataclass(frozen=True)
class _Key:
    account: str
    public: rsa.PublicKey


class Accounts:
    def __init__(self, chance: random.Random) -> None:
        self._random = chance
        self._keys: dict[str, _Key] = {}

    def key_file(self, project: str, account: str, token_uri: str) -> dict[str, str]:
        """A new key of the account, as a key file has it."""
        public, private = rsa.generate(self._random.getrandbits(64))
        key_id = f"{self._random.getrandbits(160):040x}"
        self._keys[key_id] = _Key(account, public)
        return {
            "type": "service_account",
            "project_id": project,
            "private_key_id": key_id,
            "private_key": private,
            "client_email": account,
            "client_id": f"{self._random.randrange(10**20, 10**21)}",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": token_uri,
            "universe_domain": "googleapis.com",
        }

    def signed(self, token: str) -> dict[str, Any]:
        """The claims of a JWT that one of the keys has signed, for now; raises BadToken."""
        header, claims, signature = _parts(token)
        if header.get("alg") != "RS256":
            raise BadToken("alg must be RS256")
        key = self._keys.get(str(header.get("kid")))
        if key is None:
            raise BadToken("kid is no key of a service account")
        if not key.public.signed(token.rpartition(".")[0].encode(), signature):
            raise BadToken("Invalid JWT Signature.")
        if claims.get("iss") != key.account:
            raise BadToken("iss must be the account of the key")
        if not isinstance(claims.get("scope"), (str, type(None))):
            raise BadToken("scope must be a text, with spaces between scopes")
        _check_time(claims)
        return claims

    def bearer(self, token: str) -> dict[str, Any]:
        """The claims of a token that says by itself what it is for."""
        claims = self.signed(token)
        if claims.get("sub") != claims["iss"]:
            raise BadToken("sub must be the account, as iss is")
        audience, scope = claims.get("aud"), claims.get("scope")
        if (audience is None) == (scope is None):
            raise BadToken("it must have one of aud and scope")
        if audience is not None and audience != AUDIENCE:
            raise BadToken(f"aud must be {AUDIENCE}")
        return claims


def _check_time(claims: dict[str, Any]) -> None:
    begin, end, now = claims.get("iat"), claims.get("exp"), time.time()
    times = isinstance(begin, (int, float)) and isinstance(end, (int, float))
    if not times or begin > now + SKEW or not now < end <= now + LONGEST + SKEW:
        raise BadToken(
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
            "Check your iat and exp values in the JWT claim."
        )


def is_jwt(token: str) -> bool:
    return token.count(".") == 2


def claims_of(token: str) -> dict[str, Any]:
    """Of a JWT, whoever has signed it; empty for anything else."""
    try:
        return _parts(token)[1]
    except BadToken:
        return {}


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Header, claims and signature."""
    parts = token.split(".")
    if len(parts) != 3:
        raise BadToken("it must be a JWT of three parts")
    try:
        header, claims = (json.loads(_decoded(part)) for part in parts[:2])
        signature = _decoded(parts[2])
    except (ValueError, binascii.Error):
        raise BadToken("its parts must be JSON, JSON and a signature in base64url") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise BadToken("its header and its claims must be objects")
    return header, claims, signature


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
