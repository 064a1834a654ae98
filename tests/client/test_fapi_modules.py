"""What the OpenID Foundation's suite checks of a client with FAPI 2.0, at a provider of our own.

Each table is a group of its modules: the request, the assertion, the answer, the ID token, the
resource, mutual TLS, and message signing.
"""

from __future__ import annotations

import json
import logging
import time
import typing as t
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwk

from flask_oauth2_login import OAuth2, OAuth2Login, OpenIDConnect, ProviderError
from flask_oauth2_login.protocol import base64url
from flask_oauth2_login.protocol.dpop import new_key
from tests.conftest import MakeApp, MakeProvider
from tests.support.assertions import is_signed_in, refreshes
from tests.support.clock import Clock
from tests.support.handlers import Options, at
from tests.support.provider import REMOVED, Answer, Browser, Provider, Request, make_key

KEY = jwk.ECKey.generate_key("P-256")
PEM = KEY.as_pem(private=True).decode()
PROFILES = pytest.mark.parametrize("profile", ["fapi2", "fapi2-message-signing"])
SIGNING = "fapi2-message-signing"


@pytest.fixture
def provider(make_provider: MakeProvider) -> Provider:
    """A provider that demands all that the profile sets."""
    return make_provider(
        client_secret=None,
        client_auth_methods={"private_key_jwt"},
        client_keys=[{**KEY.as_dict(private=False), "kid": KEY.thumbprint()}],
        assertion_algorithms=["ES256"],
        keys=[make_key("ES256")],
        dpop=True,
        require_pkce=True,
        require_par=True,
        claims_in_id_token=False,
    )


class Start(t.Protocol):
    """Make an app with a login by the profile, and return its visitor."""

    def __call__(self, profile: str = "fapi2", **options: t.Any) -> Browser: ...


@pytest.fixture
def start(provider: Provider, make_app: MakeApp) -> Start:
    def make(profile: str = "fapi2", **options: t.Any) -> Browser:
        provider.require_jar = profile == SIGNING
        given: Options = {"private_key": PEM, "api_url": provider.api_url, **options}
        sso = OpenIDConnect(
            provider.client_id, None, provider.issuer, profile=t.cast(t.Any, profile), **given
        )
        return Browser(make_app(OAuth2Login(sso, name="sso", scope="email")), provider)

    return make


def read(jwt: str) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """The header and the claims of a JWT."""
    header, claims = (json.loads(base64url.decode(part)) for part in jwt.split(".")[:2])
    return header, claims


def assert_refused(browser: Browser, page: t.Any, provider: Provider) -> None:
    """A page of ours says so, nobody is signed in, and no access token was used."""
    assert page.status_code in {400, 502}
    assert "<h1>" in page.text
    assert not is_signed_in(browser)
    assert provider.calls("/userinfo") == provider.calls("/api/*") == []


# -- the request


@PROFILES
def test_metadata_of_another_issuer_end_it(provider: Provider, start: Start, profile: str) -> None:
    provider.metadata_overrides = {"issuer": "https://other.example"}
    assert start(profile).get("/login").status_code == 502
    assert {request.path for request in provider.requests} == {"/.well-known/openid-configuration"}


@PROFILES
def test_the_browser_takes_two_parameters_along(
    provider: Provider, start: Start, profile: str
) -> None:
    browser = start(profile)
    url = browser.begin("/login?login_hint=ada&prompt=login")
    query = parse_qs(urlsplit(url).query)
    assert query.keys() == {"client_id", "request_uri"}
    (pushed,) = provider.calls("/par")
    assert pushed.query == {}
    asked = read(pushed.form["request"])[1] if profile == SIGNING else pushed.form
    own = {
        "client_id", "response_type", "redirect_uri", "scope", "state", "nonce", "code_challenge",
        "code_challenge_method", "login_hint", "prompt", "dpop_jkt",
    }  # fmt: skip
    authentication = {"client_id", "client_assertion", "client_assertion_type"}
    if profile == SIGNING:
        assert pushed.form.keys() == {"request", *authentication}
        registered = {"iss", "aud", "iat", "nbf", "exp", "jti"}
        assert asked.keys() == {*own, *registered, "response_mode"}
    else:
        assert pushed.form.keys() == own | authentication
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == "http://localhost/callback"
    assert "DPoP" in pushed.headers


@pytest.mark.security("F4")
@PROFILES
def test_each_assertion_is_for_the_issuer_and_serves_once(
    provider: Provider, start: Start, profile: str
) -> None:
    browser = start(profile)
    assert browser.sign_in().status_code == 302
    provider.grants.expire_access()
    assert browser.fetch("/call/me").status_code == 200
    browser.post("/logout")
    sent = [call for call in provider.requests if call.method == "POST" and call.form]
    assert {call.path for call in sent} == {"/par", "/token", "/revoke"}
    jtis = set()
    for call in sent:
        header, claims = read(call.form["client_assertion"])
        assert header["alg"] == "ES256"
        assert claims["aud"] == provider.issuer
        assert claims["iss"] == claims["sub"] == call.form["client_id"] == provider.client_id
        assert 0 < claims["exp"] - claims["iat"] <= 60
        assert call.form["client_assertion_type"].endswith(":jwt-bearer")
        jtis.add(claims["jti"])
    assert len(jtis) == len(sent)


# -- the answer


@pytest.mark.security("A1", "A4")
@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": REMOVED},
        {"iss": "https://other.example"},
        {"state": REMOVED},
        {"state": "0" * 32},
    ],
    ids=["no-iss", "other-iss", "no-state", "other-state"],
)
@PROFILES
def test_a_wrong_answer_causes_no_further_request(
    provider: Provider, start: Start, wrong: Options, profile: str
) -> None:
    browser = start(profile)
    url = browser.begin()
    if profile == SIGNING:
        provider.response_options = {"claims": wrong}
    page = browser.finish(url, **({} if profile == SIGNING else wrong))
    assert_refused(browser, page, provider)
    assert page.status_code == 400
    assert provider.calls("/token") == []


@pytest.mark.security("A4", "F6")
@pytest.mark.parametrize(
    "wrong",
    [
        {"alg": "none"},
        {"key": make_key("ES256", 9)},
        {"key": make_key("RS256")},
        {"claims": {"aud": REMOVED}},
        {"claims": {"aud": "another"}},
        {"claims": {"exp": REMOVED}},
        {"claims": {"exp": at(-300)}},
    ],
    ids=["none", "signature", "alg", "no-aud", "other-aud", "no-exp", "past"],
)
def test_a_wrong_signed_answer_causes_no_further_request(
    provider: Provider, start: Start, wrong: Options
) -> None:
    browser = start(SIGNING)
    url = browser.begin()
    provider.response_options = wrong
    page = browser.finish(url)
    assert_refused(browser, page, provider)
    assert provider.calls("/token") == []


@pytest.mark.security("F6")
def test_a_plain_answer_is_refused_where_signed_ones_are_asked_for(
    provider: Provider, start: Start
) -> None:
    browser = start(SIGNING)
    url = browser.begin()
    state = provider.pushed[parse_qs(urlsplit(url).query)["request_uri"][0]][1]["state"][0]
    page = browser.get(f"/callback?code=c&state={state}&iss={provider.issuer}", site="cross-site")
    assert_refused(browser, page, provider)
    assert provider.calls("/token") == []


# -- the ID token


@pytest.mark.security("C12", "E2", "E3")
@pytest.mark.parametrize(
    "wrong",
    [
        {"alg": "none"},
        {"key": make_key("RS256")},
        {"key": make_key("ES256", 9)},
        {"claims": {"iss": REMOVED}},
        {"claims": {"iss": "https://other.example"}},
        {"claims": {"aud": REMOVED}},
        {"claims": {"aud": "another"}},
        {"claims": {"aud": ["the-client", "another"]}},
        {"claims": {"exp": REMOVED}},
        {"claims": {"exp": at(-300)}},
        {"claims": {"nonce": REMOVED}},
        {"claims": {"nonce": "another"}},
    ],
    ids=[
        "none", "alg", "signature", "no-iss", "other-iss", "no-aud", "other-aud", "second-aud",
        "no-exp", "past", "no-nonce", "other-nonce",
    ],
)  # fmt: skip
@PROFILES
def test_a_wrong_id_token_ends_it_before_the_access_token_is_used(
    provider: Provider, start: Start, wrong: Options, profile: str
) -> None:
    provider.id_token_options = wrong
    browser = start(profile)
    assert_refused(browser, browser.sign_in(), provider)
    assert len(provider.calls("/revoke")) == 2


@PROFILES
def test_an_audience_may_be_a_list_of_one(provider: Provider, start: Start, profile: str) -> None:
    provider.id_token_options = {"claims": {"aud": ["the-client"]}}
    assert start(profile).sign_in().status_code == 302


@pytest.mark.security("E3")
@pytest.mark.parametrize("place", [0, 1, 2])
@PROFILES
def test_of_three_keys_with_one_name_only_the_one_that_fits_counts(
    provider: Provider, start: Start, place: int, profile: str
) -> None:
    decoys = [make_key("RS256").public(kid="one"), make_key("ES512").public(kid="one")]
    decoys.insert(place, make_key("ES256").public(kid="one"))
    provider.on("/jwks", Answer(200, {"keys": decoys}))
    provider.id_token_options = provider.response_options = {"header": {"kid": "one"}}
    assert start(profile).sign_in().status_code == 302


# -- tokens, and the resource


@pytest.mark.parametrize("token_type", ["DPoP", "dpop", "DPOP"])
@PROFILES
def test_the_token_type_is_in_any_case_and_a_lifetime_may_be_missing(
    provider: Provider, start: Start, token_type: str, profile: str
) -> None:
    provider.dpop_token_type, provider.expires_in = token_type, None
    browser = start(profile)
    assert browser.sign_in().status_code == 302
    assert browser.fetch("/call/me").status_code == 200


def expired(provider: Provider, scheme: str) -> Answer:
    """The answer of a resource to a token that has run out."""
    provider.grants.expire_access()
    return Answer(401, {}, headers={"WWW-Authenticate": f'{scheme} error="invalid_token"'})


@pytest.mark.security("C7")
@pytest.mark.parametrize("scheme", ["DPoP", "dpop", "Bearer", "bearer"])
def test_each_call_that_is_rejected_renews_once(
    provider: Provider, start: Start, clock: Clock, scheme: str
) -> None:
    browser = start()
    browser.sign_in()
    for count in (1, 2):
        provider.on("/api/me", lambda _: expired(provider, scheme), times=1)
        assert browser.fetch("/call/me").status_code == 200
        assert refreshes(provider) == count
        clock.ahead += 60
    provider.on("/api/me", lambda _: expired(provider, scheme))
    assert browser.fetch("/call/me").status_code == 401
    assert refreshes(provider) == 3
    assert len(provider.calls("/api/me")) == 6


@pytest.mark.security("F1", "F3")
@pytest.mark.parametrize("scheme", ["DPoP", "dpop", "DPOP"])
@pytest.mark.parametrize("rotates", [False, True])
@PROFILES
def test_a_nonce_is_demanded_anywhere(
    provider: Provider, start: Start, scheme: str, rotates: bool, profile: str
) -> None:
    provider.dpop_scheme, provider.rotate_nonces = scheme, rotates
    browser = start(profile)
    for path in ("/par", "/token", "/userinfo", "/api/me"):

        def renew(_: Request, path: str = path) -> None:
            provider.dpop_nonce = f"for{path}"

        provider.on(path, renew, times=1)
    assert browser.sign_in().status_code == 302
    assert browser.get("/me").json["email"] == "ada@example.com"  # type: ignore[index]
    assert browser.fetch("/call/me").status_code == 200
    for path in ("/par", "/token", "/userinfo", "/api/me"):
        first, second = provider.calls(path)
        assert first.headers["DPoP"] != second.headers["DPoP"]
        assert read(second.headers["DPoP"])[1]["nonce"] == f"for{path}"
        if path in {"/par", "/token"}:
            assert first.form["client_assertion"] != second.form["client_assertion"]


@pytest.mark.security("F1", "F2")
def test_the_code_is_bound_to_the_key_of_the_pushed_request(
    provider: Provider, start: Start
) -> None:
    browser = start()
    url = browser.begin()
    query = provider.pushed[parse_qs(urlsplit(url).query)["request_uri"][0]][1]
    query["dpop_jkt"] = [new_key().thumbprint]
    assert_refused(browser, browser.finish(url), provider)


# -- mutual TLS


@pytest.mark.parametrize("method", ["tls_client_auth", "self_signed_tls_client_auth"])
def test_mutual_tls_in_place_of_assertions_and_proofs(
    make_provider: MakeProvider, make_app: MakeApp, method: str
) -> None:
    provider = make_provider(
        tls=True,
        client_secret=None,
        client_auth_methods={method},
        client_cert_name="client",
        keys=[make_key("ES256")],
        require_pkce=True,
        require_par=True,
        claims_in_id_token=False,
    )
    by_name = provider.url.replace("127.0.0.1", "localhost")
    aliases = {
        "pushed_authorization_request_endpoint": f"{by_name}/par",
        "token_endpoint": f"{by_name}/token",
        "userinfo_endpoint": f"{by_name}/userinfo",
    }
    provider.metadata_overrides = {"mtls_endpoint_aliases": aliases}
    sso = OpenIDConnect(
        provider.client_id,
        None,
        provider.issuer,
        profile="fapi2",
        client_auth=t.cast(t.Any, method),
        cert=provider.client_cert_file,
        verify=provider.ca_file,
        api_url=provider.api_url,
    )
    browser = Browser(make_app(OAuth2Login(sso, name="sso", scope="email")), provider)
    assert browser.sign_in().status_code == 302
    assert browser.fetch("/call/me").status_code == 200
    for path in ("/par", "/token", "/userinfo"):
        (call,) = provider.calls(path)
        assert call.client_cert == "client"
        assert call.headers["Host"].startswith("localhost")
        assert "DPoP" not in call.headers
        assert "client_assertion" not in call.form
    assert provider.calls("/api/me")[0].client_cert == "client"


# -- message signing


def test_what_is_in_a_signed_request(provider: Provider, start: Start) -> None:
    browser = start(SIGNING)
    browser.begin()
    header, claims = read(provider.calls("/par")[0].form["request"])
    assert (header["typ"], header["alg"]) == ("oauth-authz-req+jwt", "ES256")
    assert (claims["iss"], claims["aud"]) == (provider.client_id, provider.issuer)
    assert claims["nbf"] <= time.time() < claims["exp"] <= claims["nbf"] + 3600
    assert claims["code_challenge_method"] == "S256"
    assert not {"sub", "request", "request_uri"} & claims.keys()


@PROFILES
def test_without_openid_connect(provider: Provider, make_app: MakeApp, profile: str) -> None:
    provider.require_jar = profile == SIGNING
    sso = OAuth2(
        provider.client_id,
        None,
        issuer=provider.issuer,
        profile=t.cast(t.Any, profile),
        private_key=PEM,
        api_url=provider.api_url,
        userinfo_url=f"{provider.url}/userinfo",
    )
    browser = Browser(make_app(OAuth2Login(sso, name="sso", scope="read")), provider)
    url = browser.begin()
    form = provider.calls("/par")[0].form
    asked = read(form["request"])[1] if profile == SIGNING else form
    assert not {"nonce", "claims", "max_age"} & asked.keys()
    assert asked["scope"] == "read"
    assert browser.finish(url).status_code == 302
    assert browser.fetch("/call/me").status_code == 200
    browser.post("/logout")
    url = browser.begin()
    without: Options = {"iss": REMOVED}
    if profile == SIGNING:
        provider.response_options = {"claims": without}
    page = browser.finish(url, **({} if profile == SIGNING else without))
    assert page.status_code == 400
    assert len(provider.calls("/token")) == 1


# -- what metadata can't take away

WEAK: Options = {
    "require_pushed_authorization_requests": False,
    "require_signed_request_object": False,
    "authorization_response_iss_parameter_supported": False,
    "token_endpoint_auth_methods_supported": ["none", "client_secret_post"],
    "token_endpoint_auth_signing_alg_values_supported": ["none", "HS256", "RS256"],
    "request_object_signing_alg_values_supported": ["none"],
    "id_token_signing_alg_values_supported": ["none", "RS256"],
    "authorization_signing_alg_values_supported": ["none"],
    "dpop_signing_alg_values_supported": ["none"],
    "code_challenge_methods_supported": ["plain"],
    "response_modes_supported": ["query"],
}


@pytest.mark.security("E3", "F4")
@PROFILES
def test_metadata_make_no_profile_weaker(provider: Provider, start: Start, profile: str) -> None:
    provider.metadata_overrides = WEAK
    browser = start(profile)
    assert parse_qs(urlsplit(browser.begin()).query).keys() == {"client_id", "request_uri"}
    assert browser.sign_in().status_code == 302
    (call,) = provider.calls("/token")
    assert read(call.form["client_assertion"])[0]["alg"] == "ES256"
    assert read(call.headers["DPoP"])[0]["alg"] == "ES256"
    assert "code_verifier" in call.form
    browser.post("/logout")
    provider.id_token_options = {"key": make_key("RS256")}
    provider.keys.append(make_key("RS256"))
    assert browser.sign_in().status_code == 502
    assert not is_signed_in(browser)


@pytest.mark.security("B3", "C12", "F4")
def test_a_token_that_is_bound_to_nothing_is_refused_and_revoked(
    provider: Provider, start: Start
) -> None:
    provider.dpop_token_type = "Bearer"
    browser = start()
    assert_refused(browser, browser.sign_in(), provider)
    hints = [call.form["token_type_hint"] for call in provider.calls("/revoke")]
    assert sorted(hints) == ["access_token", "refresh_token"]


@pytest.mark.security("B3")
def test_a_renewal_that_binds_to_nothing_leaves_the_refresh_token_alive(
    provider: Provider, start: Start, clock: Clock
) -> None:
    provider.rotate = False
    browser = start()
    browser.sign_in()
    provider.grants.expire_access()
    provider.dpop_token_type = "Bearer"
    assert browser.fetch("/call/me").status_code == 502
    assert len(provider.calls("/api/me")) == 1, "the new token is not used"
    assert provider.calls("/revoke") == []
    assert browser.fetch("/me").status_code == 200
    provider.dpop_token_type = "DPoP"
    clock.ahead += 60
    assert browser.fetch("/call/me").status_code == 200


@pytest.mark.security("C6", "C12")
def test_a_renewal_that_binds_to_nothing_ends_a_login_whose_refresh_token_it_has_spent(
    provider: Provider, start: Start, clock: Clock
) -> None:
    browser = start()
    browser.sign_in()
    provider.grants.expire_access()
    provider.dpop_token_type = "Bearer"
    for _ in range(2):
        assert browser.fetch("/call/me").status_code == 401
        clock.ahead += 60
    assert not is_signed_in(browser)
    assert refreshes(provider) == 1, "a spent refresh token is not sent again"
    hints = {call.form["token_type_hint"] for call in provider.calls("/revoke")}
    assert hints == {"access_token", "refresh_token"}


@pytest.mark.security("C1")
@PROFILES
def test_no_key_assertion_or_proof_is_logged(
    provider: Provider, start: Start, profile: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    browser = start(profile)
    browser.sign_in()
    provider.grants.expire_access()
    assert browser.fetch("/call/me").status_code == 200
    refuse = {"error": "invalid_client", "error_description": "you sent"}

    def quote(request: Request) -> Answer:
        text = f"{request.body.decode()} {request.headers.get('DPoP')}"
        return Answer(401, {**refuse, "error_description": text})

    provider.on("/token", quote)
    provider.grants.expire_access()
    browser.fetch("/call/me")
    provider.on("/par", quote)
    assert browser.get("/login").status_code == 502
    assert "eyJ" not in caplog.text
    assert "request_uri:" not in caplog.text
    assert str(KEY.as_dict(private=True)["d"]) not in caplog.text


@pytest.mark.security("C1", "F2")
def test_a_proof_that_userinfo_quotes_is_not_logged(
    provider: Provider, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    def quote(request: Request) -> Answer:
        quoted = f'DPoP error="invalid_dpop_proof", error_description="{request.headers["DPoP"]}"'
        return Answer(401, {"error": quoted}, headers={"WWW-Authenticate": quoted})

    provider.on("/userinfo", quote)
    assert start().sign_in().status_code == 302, "the ID token says who it is"
    assert 'error_description="***"' in caplog.text
    assert "eyJ" not in caplog.text


def test_errors_of_a_handler_are_typed(provider: Provider) -> None:
    provider.metadata_overrides = {"issuer": "https://other.example"}
    sso = OpenIDConnect(provider.client_id, None, provider.issuer, profile="fapi2", private_key=PEM)
    with pytest.raises(ProviderError, match=r"other\.example"):
        sso.authorize_url("openid")
