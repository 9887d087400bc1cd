"""Tokens: google-auth gets them as its users do, and Compute Engine asks for them."""

import base64
import json
import time

import google.auth.transport.requests
import pytest
from conftest import REGION
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from google.auth import identity_pool
from google.oauth2 import service_account

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
POOL = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool"
EXCHANGE = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "audience": f"{POOL}/providers/cluster",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    "subject_token": "header.claims.signature",
    "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
    "scope": SCOPE,
}
BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ACCOUNT = "egret@egret.iam.gserviceaccount.com"
AUDIENCE = "https://compute.googleapis.com/"
TOKEN_URI = "https://oauth2.googleapis.com/token"
FLAVOUR = {"Metadata-Flavor": "Google"}
ADDRESSES = f"/compute/v1/projects/egret/regions/{REGION}/addresses"


def encoded(part):
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def jwt(**claims):
    return ".".join(encoded(part) for part in ({}, claims, {}))


def listed(double, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return double.raw("GET", ADDRESSES, **headers)


def transport():
    return google.auth.transport.requests.Request()


@pytest.fixture
def guarded(project, double):
    double.post("auth", required=True)
    return double


def test_call_without_a_token_is_refused(guarded):
    status, body = listed(guarded)
    error = body["error"]["errors"][0]
    assert (status, error["reason"], error["location"]) == (401, "required", "Authorization")
    status, body = listed(guarded, "ya29.stolen")
    assert (status, body["error"]["errors"][0]["reason"]) == (401, "authError")
    assert [call["principal"] for call in guarded.get("calls")["calls"]] == [None, None]


def test_token_that_has_expired_is_refused(guarded):
    for lifetime, status in ((60, 200), (0, 401)):
        guarded.post("auth", required=True, expires_in=lifetime)
        _, answer = guarded.raw("POST", "/token", EXCHANGE)
        assert answer["expires_in"] == lifetime
        assert listed(guarded, answer["access_token"])[0] == status


def test_external_account_with_a_projected_token(guarded, tmp_path):
    """What the controller uses in a cluster: a file with a Kubernetes token, and STS."""
    file = tmp_path / "token"
    file.write_text(jwt(sub="system:serviceaccount:egret:controller", exp=time.time() + 600))
    credentials = identity_pool.Credentials(
        audience=EXCHANGE["audience"],
        subject_token_type=EXCHANGE["subject_token_type"],
        token_url=f"{guarded.url}/v1/token",
        credential_source={"file": str(file)},
        scopes=[SCOPE],
    )
    credentials.refresh(transport())
    assert listed(guarded, credentials.token)[0] == 200
    call = guarded.get("calls")["calls"][-1]
    assert call["principal"] == f"principal:{POOL}/subject/system:serviceaccount:egret:controller"


def test_impersonation_of_an_account(guarded):
    _, first = guarded.raw("POST", "/token", EXCHANGE)
    path = "/v1/projects/-/serviceAccounts/egret@egret.iam.gserviceaccount.com:generateAccessToken"
    headers = {"Authorization": f"Bearer {first['access_token']}"}
    status, answer = guarded.raw("POST", path, {"scope": [SCOPE]}, **headers)
    assert status == 200 and answer["expireTime"].endswith("Z")
    assert listed(guarded, answer["accessToken"])[0] == 200
    assert guarded.get("calls")["calls"][-1]["principal"] == "egret@egret.iam.gserviceaccount.com"
    assert guarded.raw("POST", path, {"scope": [SCOPE]})[0] == 401
    assert guarded.raw("POST", path, {}, **headers)[0] == 400


@pytest.fixture
def key(guarded):
    return guarded.post("key", token_uri=f"{guarded.url}/oauth2/token")


def test_key_file_is_as_googles(key, double):
    assert set(key) >= {"type", "project_id", "private_key_id", "private_key", "client_email", "token_uri"}
    assert (key["type"], key["client_email"]) == ("service_account", ACCOUNT)
    assert serialization.load_pem_private_key(key["private_key"].encode(), None).key_size == 2048
    other = double.post("key", account="other@egret.iam.gserviceaccount.com")
    assert other["client_email"] == "other@egret.iam.gserviceaccount.com"
    assert other["token_uri"] == TOKEN_URI
    assert other["private_key_id"] != key["private_key_id"] and other["private_key"] != key["private_key"]


def test_key_file_exchanged_for_a_token(guarded, key):
    credentials = service_account.Credentials.from_service_account_info(key, scopes=[SCOPE])
    credentials.refresh(transport())
    assert credentials.token.startswith("ya29.double-")
    assert listed(guarded, credentials.token)[0] == 200
    assert guarded.get("calls")["calls"][-1]["principal"] == ACCOUNT


@pytest.mark.parametrize("scopes", [[SCOPE], None])
def test_key_file_whose_client_signs_its_own_tokens(guarded, key, scopes):
    """With scopes, and with the endpoint as audience."""
    credentials = service_account.Credentials.from_service_account_info(
        key, scopes=scopes, always_use_jwt_access=True
    )
    credentials._create_self_signed_jwt(AUDIENCE)
    credentials.refresh(transport())
    assert listed(guarded, credentials.token)[0] == 200
    assert guarded.get("calls")["calls"][-1]["principal"] == ACCOUNT


LEFT_OUT = object()


def signed(key, header=(), **claims):
    """By a client of the test's own; LEFT_OUT leaves a claim out."""
    now = int(time.time())
    header = {"alg": "RS256", "typ": "JWT", "kid": key["private_key_id"]} | dict(header)
    given = {"iss": ACCOUNT, "sub": ACCOUNT, "iat": now - 10, "exp": now + 3610, "scope": SCOPE} | claims
    given = {name: value for name, value in given.items() if value is not LEFT_OUT}
    text = f"{encoded(header)}.{encoded(given)}"
    private = serialization.load_pem_private_key(key["private_key"].encode(), None)
    signature = private.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def test_token_as_googles_rust_client_signs_it(guarded, key):
    """Began ten seconds ago, ends ten later than an hour, and has an audience that is null."""
    token = signed(key, aud=None)
    assert listed(guarded, token)[0] == 200


FRAME = "Invalid JWT: Token must be a short-lived token (60 minutes)"


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda key: signed(key, {"alg": "HS256"}), "alg must be RS256"),
        (lambda key: signed(key, {"kid": "0" * 40}), "kid is no key"),
        (lambda key: signed(key, {"kid": None}), "kid is no key"),
        (lambda key: signed(key)[:-6] + "AAAAAA", "Invalid JWT Signature."),
        (lambda key: signed(key).rpartition(".")[0] + ".c2ln", "Invalid JWT Signature."),
        (lambda key: swapped(signed(key), signed(key, sub="root")), "Invalid JWT Signature."),
        (lambda key: signed(key, iss="other@egret.iam.gserviceaccount.com"), "iss must be"),
        (lambda key: signed(key, sub="other@egret.iam.gserviceaccount.com"), "sub must be"),
        (lambda key: signed(key, sub=LEFT_OUT), "sub must be"),
        (lambda key: signed(key, exp=int(time.time()) - 1), FRAME),
        (lambda key: signed(key, exp=int(time.time()) + 3700), FRAME),
        (lambda key: signed(key, exp=LEFT_OUT), FRAME),
        (lambda key: signed(key, iat=int(time.time()) + 100), FRAME),
        (lambda key: signed(key, iat="now"), FRAME),
        (lambda key: signed(key, scope=LEFT_OUT), "one of aud and scope"),
        (lambda key: signed(key, aud=AUDIENCE), "one of aud and scope"),
        (lambda key: signed(key, scope=LEFT_OUT, aud="https://storage.googleapis.com/"), f"aud must be {AUDIENCE}"),
        (lambda key: signed(key, scope=LEFT_OUT, aud=TOKEN_URI), f"aud must be {AUDIENCE}"),
        (lambda key: signed(key, scope=[SCOPE]), "scope must be"),
        (lambda key: "a.b.c", "its parts must be"),
        (lambda key: f"{encoded([])}.{encoded({})}.c2ln", "must be objects"),
    ],
)
def test_self_signed_token_that_is_wrong_is_refused(guarded, key, wrong, text):
    status, body = listed(guarded, wrong(key))
    assert (status, body["error"]["errors"][0]["reason"]) == (401, "authError")
    assert "Invalid Credentials (" in body["error"]["message"] and text in body["error"]["message"]
    assert guarded.get("calls")["calls"][-1]["principal"] is None


def swapped(token, other):
    """The claims of one with the signature of the other."""
    return f"{other.rpartition('.')[0]}.{token.rpartition('.')[2]}"


def test_key_is_forgotten_with_a_reset(guarded, key):
    guarded.post("reset")
    guarded.post("auth", required=True)
    assert listed(guarded, signed(key))[0] == 401


def test_token_of_other_scopes_is_refused(guarded, key):
    storage = "https://www.googleapis.com/auth/devstorage.read_only"
    _, exchanged = guarded.raw("POST", "/token", EXCHANGE | {"scope": storage})
    for token in (signed(key, scope=storage), exchanged["access_token"]):
        status, body = listed(guarded, token)
        assert (status, body["error"]["errors"][0]["reason"]) == (403, "insufficientPermissions")
    reads = signed(key, scope=f"{storage} https://www.googleapis.com/auth/compute.readonly")
    assert listed(guarded, reads)[0] == 200
    status, _ = guarded.raw("POST", ADDRESSES, {"name": "one"}, Authorization=f"Bearer {reads}")
    assert status == 403, "to read is not to change"


def test_operation_says_who_asked(guarded, project):
    _, answer = guarded.raw("POST", "/token", EXCHANGE)
    headers = {"Authorization": f"Bearer {answer['access_token']}"}
    _, operation = guarded.raw("POST", ADDRESSES, {"name": "one"}, **headers)
    assert operation["user"].startswith("principal:")


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"subject_token": ""}, "invalid_request", "subject_token"),
        ({"subject_token": None}, "invalid_request", "subject_token"),
        ({"audience": None}, "invalid_request", "audience"),
        ({"scope": None}, "invalid_request", "scope"),
        ({"subject_token_type": "jwt"}, "invalid_request", "subject_token_type"),
        ({"requested_token_type": "jwt"}, "invalid_request", "requested_token_type"),
        ({"grant_type": "password"}, "unsupported_grant_type", "grant_type"),
        ({"subject_token": jwt(sub="a", exp=1)}, "invalid_grant", "expired"),
    ],
)
def test_exchange_that_is_wrong_is_refused(double, change, code, text):
    given = {key: value for key, value in (EXCHANGE | change).items() if value is not None}
    status, answer = double.raw("POST", "/token", given)
    assert (status, answer["error"]) == (400, code) and text in answer["error_description"]


def test_exchange_answers_as_rfc_8693_says(double):
    status, answer = double.raw("POST", "/token", EXCHANGE)
    assert status == 200 and set(answer) == {"access_token", "issued_token_type", "token_type", "expires_in"}
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3600)
    assert answer["issued_token_type"].endswith(":access_token")
    assert double.raw("GET", "/token")[0] == 405


@pytest.mark.parametrize(
    ("wrong", "code", "text"),
    [
        (lambda key: None, "invalid_grant", "must be a JWT"),
        (lambda key: signed(key, aud=TOKEN_URI)[:-6] + "AAAAAA", "invalid_grant", "Invalid JWT Signature."),
        (lambda key: signed(key, aud=TOKEN_URI, exp=1), "invalid_grant", FRAME),
        (lambda key: signed(key, aud=AUDIENCE), "invalid_grant", f"aud must be {TOKEN_URI}"),
        (lambda key: signed(key, aud=TOKEN_URI, scope=LEFT_OUT), "invalid_scope", "scope"),
    ],
)
def test_assertion_that_is_wrong_is_refused(double, key, wrong, code, text):
    assertion = wrong(key)
    given = {"grant_type": BEARER} | ({"assertion": assertion} if assertion else {})
    status, answer = double.raw("POST", "/oauth2/token", given)
    assert (status, answer["error"]) == (400, code) and text in answer["error_description"]


def test_assertion_of_another_grant_type_is_refused(double):
    status, answer = double.raw("POST", "/oauth2/token", {"grant_type": "password"})
    assert (status, answer["error"]) == (400, "unsupported_grant_type")


def test_metadata_server(double, project):
    import urllib.error
    import urllib.request

    def get(path, headers=FLAVOUR):
        request = urllib.request.Request(double.url + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.headers["Metadata-Flavor"], answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers["Metadata-Flavor"], error.read().decode()

    assert get("/") == (200, "Google", "computeMetadata/\n"), "where clients look for it"
    number = project.built["number"]
    assert get("/computeMetadata/v1/project/project-id") == (200, "Google", "egret")
    assert get("/computeMetadata/v1/instance/zone") == (200, "Google", f"projects/{number}/zones/{REGION}-a")
    assert get("/computeMetadata/v1/instance/service-accounts/default/")[2].split() == [
        "aliases",
        "email",
        "scopes",
        "token",
    ]
    account = f"{number}-compute@developer.gserviceaccount.com"
    assert get("/computeMetadata/v1/instance/service-accounts/default/email")[2] == account
    assert (
        json.loads(get("/computeMetadata/v1/instance/service-accounts/default/?recursive=true")[2])["email"]
        == account
    )
    token = json.loads(get("/computeMetadata/v1/instance/service-accounts/default/token?scopes=a")[2])
    assert (token["token_type"], token["expires_in"]) == ("Bearer", 3600)
    double.post("auth", required=True)
    assert listed(double, token["access_token"])[0] == 200
    assert double.get("calls")["calls"][-1]["principal"] == account
    assert get("/computeMetadata/v1/project/project-id", {})[0] == 403
    assert get("/computeMetadata/v1/instance/attributes/none")[0] == 404
    assert get("/computeMetadata/v1/instance/service-accounts/other/token")[0] == 404


def test_google_auth_uses_the_metadata_server(double, project, monkeypatch):
    from google.auth import compute_engine
    from google.auth.compute_engine import _metadata

    host = double.url.removeprefix("http://")
    monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", host, raising=False)
    monkeypatch.setattr(_metadata, "_METADATA_ROOT", f"http://{host}/computeMetadata/v1/", raising=False)
    monkeypatch.setenv("GCE_METADATA_HOST", host)
    credentials = compute_engine.Credentials()
    credentials.refresh(transport())
    assert credentials.service_account_email.endswith("@developer.gserviceaccount.com")
    assert credentials.token.startswith("ya29.double-")


def test_body_that_is_no_json_is_refused(double):
    status, answer = double.raw("POST", "/token", b"{")
    assert (status, answer["error"]) == (400, "invalid_request")
