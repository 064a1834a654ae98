"""The provider of the tests does what it says: asked by plain requests, without the extension."""

from __future__ import annotations

import base64
import json
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from urllib.parse import parse_qs, quote_plus, urlencode, urlsplit

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.conftest import MakeProvider
from tests.support.provider import REMOVED, BadAuthorizationRequest, Provider, make_key

CALLBACK = "http://localhost/callback"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


def authorize_url(provider: Provider, **params: str) -> str:
    query = {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": CALLBACK,
        "state": "the-state",
        "scope": "openid email",
        "nonce": "the-nonce",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **params,
    }
    return f"{provider.url}/authorize?{urlencode(query)}"


def code_of(callback_url: str) -> str:
    return parse_qs(urlsplit(callback_url).query)["code"][0]


def post_token(provider: Provider, **params: str) -> requests.Response:
    credentials = {"client_id": provider.client_id}
    if provider.client_secret is not None:
        credentials["client_secret"] = provider.client_secret
    return requests.post(
        f"{provider.url}/token",
        credentials | params,
        timeout=10,
        verify=provider.ca_file or True,
    )


def redeem(provider: Provider, code: str | None = None, **params: str) -> requests.Response:
    form = {
        "grant_type": "authorization_code",
        "code": code or code_of(provider.consent(authorize_url(provider))),
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }
    return post_token(provider, **(form | params))


def refresh(provider: Provider, refresh_token: str) -> requests.Response:
    return post_token(provider, grant_type="refresh_token", refresh_token=refresh_token)


def call(provider: Provider, path: str, token: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(provider.url + path, headers=headers, timeout=10, allow_redirects=False)


def access_token(provider: Provider) -> str:
    return str(redeem(provider).json()["access_token"])


def test_authorize_redirects_with_code_state_and_iss(provider: Provider) -> None:
    answer = requests.get(authorize_url(provider), timeout=10, allow_redirects=False)
    query = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert answer.status_code == 302
    assert query["state"] == ["the-state"]
    assert query["iss"] == [provider.issuer]
    assert redeem(provider, query["code"][0]).status_code == 200


def test_authorize_does_not_redirect_to_strangers(provider: Provider) -> None:
    provider.redirect_uris = [CALLBACK]
    url = authorize_url(provider, redirect_uri="https://evil.example/")
    answer = requests.get(url, timeout=10, allow_redirects=False)
    assert answer.status_code == 400
    with pytest.raises(BadAuthorizationRequest):
        provider.consent(url)


def test_authorize_refuses_plain_pkce(provider: Provider) -> None:
    callback = provider.consent(authorize_url(provider, code_challenge_method="plain"))
    assert parse_qs(urlsplit(callback).query)["error"] == ["invalid_request"]


def test_nobody_consents(provider: Provider) -> None:
    provider.person = None
    callback = provider.consent(authorize_url(provider))
    assert parse_qs(urlsplit(callback).query)["error"] == ["access_denied"]


def test_form_post_answers_with_a_form(provider: Provider) -> None:
    page = requests.get(authorize_url(provider, response_mode="form_post"), timeout=10).text
    assert f'<form method="post" action="{CALLBACK}">' in page
    assert 'name="code"' in page
    assert 'onload="document.forms[0].submit()"' in page


def test_consent_changes_the_answer(provider: Provider) -> None:
    callback = provider.consent(authorize_url(provider), state=REMOVED, code="another", more="1")
    query = parse_qs(urlsplit(callback).query)
    assert query == {"code": ["another"], "iss": [provider.issuer], "more": ["1"]}


def test_a_code_counts_once_and_takes_its_tokens_along(provider: Provider) -> None:
    code = code_of(provider.consent(authorize_url(provider)))
    token = redeem(provider, code).json()["access_token"]
    assert call(provider, "/api/user", token).status_code == 200
    assert redeem(provider, code).json()["error"] == "invalid_grant"
    assert call(provider, "/api/user", token).status_code == 401


@pytest.mark.parametrize(
    "wrong", [{"code_verifier": "w" * 43}, {"redirect_uri": "http://localhost/other"}]
)
def test_a_code_is_bound(provider: Provider, wrong: dict[str, str]) -> None:
    assert redeem(provider, **wrong).json()["error"] == "invalid_grant"


def test_client_secret_basic_is_form_encoded(make_provider: MakeProvider) -> None:
    secret = "a:b%20 ü+"
    provider = make_provider(client_secret=secret)
    data = {"grant_type": "client_credentials"}

    def post(credentials: tuple[str, str], **more: str) -> requests.Response:
        url = f"{provider.url}/token"
        return requests.post(url, data | more, auth=credentials, timeout=10)

    encoded = (quote_plus(provider.client_id), quote_plus(secret))
    assert post(encoded).status_code == 200
    plain = post((provider.client_id, "a:b%20 +"))
    assert plain.status_code == 401
    assert plain.headers["WWW-Authenticate"].startswith("Basic")
    assert post(encoded, client_secret=secret).json()["error"] == "invalid_request"


def test_a_public_client_has_no_secret(make_provider: MakeProvider) -> None:
    provider = make_provider(client_secret=None)
    assert redeem(provider).status_code == 200
    assert redeem(provider, client_secret="guessed").json()["error"] == "invalid_client"


def test_a_spent_refresh_token_revokes_the_family(provider: Provider) -> None:
    first = redeem(provider).json()
    second = refresh(provider, first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert call(provider, "/api/user", second["access_token"]).status_code == 200
    assert refresh(provider, first["refresh_token"]).json()["error"] == "invalid_grant"
    assert provider.latest_grant.reused == 1
    assert call(provider, "/api/user", second["access_token"]).status_code == 401
    assert refresh(provider, second["refresh_token"]).json()["error"] == "invalid_grant"


def test_refresh_tokens_that_do_not_rotate(make_provider: MakeProvider) -> None:
    provider = make_provider(rotate=False)
    token = redeem(provider).json()["refresh_token"]
    for _ in range(2):
        answer = refresh(provider, token)
        assert answer.status_code == 200
        assert "refresh_token" not in answer.json()


def test_one_of_many_simultaneous_refreshes_wins(provider: Provider) -> None:
    token = redeem(provider).json()["refresh_token"]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: refresh(provider, token).status_code, range(8)))
    assert sorted(answers) == [200] + 7 * [400]
    assert len(provider.calls("/token", grant_type="refresh_token")) == 8


def test_the_api_says_whose_token_it_got(provider: Provider) -> None:
    token = access_token(provider)
    by_header = call(provider, "/api/user/repos?page=2", token).json()
    assert by_header["path"] == "/api/user/repos"
    assert (by_header["token"], by_header["sub"]) == (token, "ada")
    by_query = requests.get(f"{provider.url}/api/x", {"access_token": token}, timeout=10)
    assert by_query.json()["token"] == token
    foreign = call(provider, "/api/user", "stolen")
    assert foreign.status_code == 401
    assert foreign.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_special_api_paths(provider: Provider) -> None:
    token = access_token(provider)
    moved = call(provider, "/api/redirect?to=http://localhost/&status=307", token)
    assert (moved.status_code, moved.headers["Location"]) == (307, "http://localhost/")
    limited = call(provider, "/api/status/429?retry_after=7", token)
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "7")
    weak = call(provider, "/api/step-up?acr_values=strong&max_age=60", token)
    assert weak.status_code == 401
    assert weak.headers["WWW-Authenticate"] == (
        'Bearer error="insufficient_user_authentication", acr_values="strong", max_age="60"'
    )
    stronger = provider.consent(authorize_url(provider, acr_values="strong"))
    token = redeem(provider, code_of(stronger)).json()["access_token"]
    assert call(provider, "/api/step-up?acr_values=strong&max_age=60", token).status_code == 200
    assert call(provider, "/api/slow?seconds=0.01", token).status_code == 200


def test_tokens_run_out(provider: Provider) -> None:
    token = access_token(provider)
    provider.grants.expire_access()
    assert call(provider, "/api/user", token).status_code == 401


def test_revocation(provider: Provider) -> None:
    tokens = redeem(provider).json()
    form = {"client_id": provider.client_id, "client_secret": provider.client_secret}
    url = f"{provider.url}/revoke"
    assert requests.post(url, form | {"token": "unknown"}, timeout=10).status_code == 200
    assert requests.post(url, {"token": "unknown"}, timeout=10).status_code == 401
    assert call(provider, "/api/user", tokens["access_token"]).status_code == 200
    form["token"] = tokens["refresh_token"]
    assert requests.post(url, form, timeout=10).status_code == 200
    assert call(provider, "/api/user", tokens["access_token"]).status_code == 401


def test_userinfo(provider: Provider) -> None:
    token = access_token(provider)
    assert call(provider, "/userinfo", token).json()["email"] == "ada@example.com"
    primary = [one for one in call(provider, "/userinfo/emails", token).json() if one["primary"]]
    assert primary == [{"email": "ada@example.com", "primary": True, "verified": True}]


def test_metadata_follows_the_settings(make_provider: MakeProvider) -> None:
    provider = make_provider(issuer_path="/realms/staff", metadata_overrides={"jwks_uri": ...})
    for path in (
        "/realms/staff/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/realms/staff",
    ):
        document = requests.get(provider.url + path, timeout=10).json()
        assert document["issuer"] == f"{provider.url}/realms/staff"
        assert "jwks_uri" not in document
    wrong = requests.get(f"{provider.url}/.well-known/openid-configuration", timeout=10)
    assert wrong.status_code == 404


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "ES384", "EdDSA"])
def test_id_tokens_are_signed(make_provider: MakeProvider, alg: str) -> None:
    provider = make_provider(keys=[make_key(alg)])
    token = redeem(provider).json()["id_token"]
    keys = KeySet.import_key_set(requests.get(f"{provider.url}/jwks", timeout=10).json())
    if alg == "EdDSA":
        with pytest.warns(match="EdDSA is deprecated"):
            decoded = jwt.decode(token, keys, algorithms=[alg])
    else:
        decoded = jwt.decode(token, keys, algorithms=[alg])
    claims = decoded.claims
    assert (claims["iss"], claims["aud"], claims["nonce"]) == (
        provider.issuer,
        provider.client_id,
        "the-nonce",
    )
    assert claims["at_hash"]
    provider.rotate_keys()
    rotated = requests.get(f"{provider.url}/jwks", timeout=10).json()
    assert rotated["keys"][0]["kid"] != decoded.header["kid"]


def test_forged_id_tokens(provider: Provider) -> None:
    redeem(provider)

    def read(part: str) -> dict[str, t.Any]:
        return t.cast("dict[str, t.Any]", json.loads(base64.urlsafe_b64decode(part + "==")))

    unsigned = provider.id_token({"aud": REMOVED, "exp": lambda exp: exp - 900}, alg="none")
    header, payload, signature = unsigned.split(".")
    assert (read(header), signature) == ({"alg": "none", "typ": "JWT"}, "")
    assert "aud" not in read(payload)
    assert read(payload)["exp"] < time.time()
    confused = provider.id_token(key=provider.keys[0].public_pem(), alg="HS256")
    assert read(confused.split(".")[0])["alg"] == "HS256"
    lying = provider.id_token(header={"alg": "ES256", "kid": REMOVED, "crit": ["x"]})
    assert read(lying.split(".")[0]) == {"alg": "ES256", "typ": "JWT", "crit": ["x"]}


def test_id_tokens_of_the_token_endpoint_can_be_wrong(provider: Provider) -> None:
    provider.id_token_options = {"claims": {"nonce": "other"}, "alg": "none"}
    payload = redeem(provider).json()["id_token"].split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(payload + "=="))["nonce"] == "other"


def test_sign_out(provider: Provider) -> None:
    params = {
        "client_id": provider.client_id,
        "post_logout_redirect_uri": "http://localhost/",
        "state": "s",
    }
    url = f"{provider.url}/logout"
    answer = requests.get(url, params, timeout=10, allow_redirects=False)
    assert answer.headers["Location"] == "http://localhost/?state=s"
    assert provider.sign_outs == [params]


def test_logout_tokens(provider: Provider) -> None:
    redeem(provider)
    token = provider.logout_token({"sub": REMOVED})
    keys = KeySet.import_key_set(t.cast(t.Any, provider.jwks()))
    decoded = jwt.decode(token, keys)
    assert decoded.header["typ"] == "logout+jwt"
    assert decoded.claims["sid"] == provider.latest_grant.sid
    assert "sub" not in decoded.claims


# -- what came in


def test_requests_are_kept(provider: Provider) -> None:
    with requests.Session() as session:
        for number in ("1", "2"):
            session.post(f"{provider.url}/api/x?n={number}&n=0", {"field": "ü"}, timeout=10)
    first, second = provider.calls("/api/*")
    assert first.connection == second.connection
    assert first.query_lists == {"n": ["1", "0"]}
    assert first.form == {"field": "ü"}
    assert first.headers["user-agent"].startswith("python-requests")
    assert provider.calls("/api/x", n="2") == [second]


def test_chunked_bodies(provider: Provider) -> None:
    token = access_token(provider)
    parts = iter([b"one ", b"two"])
    headers = {"Authorization": f"Bearer {token}"}
    answer = requests.put(f"{provider.url}/api/x", parts, headers=headers, timeout=10)
    assert answer.json()["body"] == "one two"
