"""`profile="fapi2"`: what it sets, what it refuses, and what it demands of the provider."""

from __future__ import annotations

import typing as t
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwk

from flask_oauth2_login import (
    ConfigurationError,
    IDTokenError,
    OAuth2,
    OAuth2Login,
    OpenIDConnect,
    ProviderError,
)
from flask_oauth2_login.protocol.client_auth import client_secret_basic
from tests.conftest import MakeApp, MakeProvider
from tests.support.assertions import is_signed_in
from tests.support.handlers import CALLBACK, redeem_openid
from tests.support.provider import Browser, Provider
from tests.support.provider.signing import make_key

KEY = jwk.ECKey.generate_key("P-256")
PEM = KEY.as_pem(private=True).decode()
RSA = jwk.RSAKey.generate_key(2048).as_dict(private=True)
PROFILES = ["fapi2", "fapi2-message-signing"]
ISSUER = "https://id.example"

Options = dict[str, t.Any]


def own_method(_request: t.Any) -> None:
    """An authentication of the developer's own."""


@pytest.fixture
def provider(make_provider: MakeProvider) -> Provider:
    """A provider that demands all that the profile sets."""
    public = {**KEY.as_dict(private=False), "kid": KEY.thumbprint()}
    return make_provider(
        client_secret=None,
        client_auth_methods={"private_key_jwt"},
        client_keys=[public],
        assertion_algorithms=["ES256"],
        keys=[make_key("ES256")],
        dpop=True,
        require_pkce=True,
        require_par=True,
    )


def make_fapi(provider: Provider, profile: str = "fapi2", **options: t.Any) -> OpenIDConnect:
    given: Options = {"private_key": PEM, "api_url": provider.api_url, **options}
    return OpenIDConnect(
        provider.client_id, None, provider.issuer, profile=t.cast(t.Any, profile), **given
    )


def make_browser(provider: Provider, make_app: MakeApp, *args: str, **options: t.Any) -> Browser:
    login = OAuth2Login(make_fapi(provider, *args, **options), name="sso", scope="email")
    return Browser(make_app(login), provider)


@pytest.mark.parametrize("profile", PROFILES)
def test_one_word_signs_somebody_in(provider: Provider, make_app: MakeApp, profile: str) -> None:
    provider.require_jar = profile == "fapi2-message-signing"
    browser = make_browser(provider, make_app, profile)
    query = parse_qs(urlsplit(browser.begin()).query)
    assert query.keys() == {"client_id", "request_uri"}
    assert browser.sign_in().status_code == 302
    assert is_signed_in(browser)
    assert t.cast(t.Any, browser.get("/call/me").json)["sub"] == "ada"
    (call,) = provider.calls("/token")
    assert "client_assertion" in call.form
    assert "DPoP" in call.headers
    (api,) = provider.calls("/api/me")
    assert api.headers["Authorization"].startswith("DPoP ")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"client_auth": "none"}, "client_auth='none'"),
        ({"client_auth": "client_secret_basic"}, "client_auth='client_secret_basic'"),
        ({"client_auth": client_secret_basic}, "client_auth=a function"),
        ({"client_auth": own_method}, "client_auth=a function"),
        ({"client_secret": "a-secret"}, "forbids a client secret"),
        ({"private_key": None}, "private_key=…"),
        ({"private_key": {**RSA, "alg": "RS256"}}, "private_key has keys for RS256"),
        ({"pkce": False}, "pkce=False"),
        ({"par": False}, "par=False"),
        ({"dpop": False}, "dpop=False"),
        ({"dpop": {**RSA, "alg": "RS256"}}, "dpop="),
        ({"bearer_method": "query"}, "bearer_method='query'"),
        ({"bearer_scheme": "Token"}, "bearer_scheme='Token'"),
        ({"token_types": ["x"]}, "token_types"),
        ({"token_request": "json"}, "token_request='json'"),
        ({"token_request": "query"}, "token_request='query'"),
        ({"http_hosts": ["id.example"]}, "http_hosts"),
        ({"verify": False}, "verify=False"),
        ({"assertion_audience": "token_url"}, "assertion_audience"),
        ({"assertion_algorithm": "RS256"}, "assertion_algorithm='RS256'"),
        ({"algorithms": ["RS256"]}, "algorithms='RS256'"),
        ({"algorithms": ["HS256"]}, "algorithms='HS256'"),
        ({"redirect_uri": "http://app.example/callback"}, "'http://app.example/callback'"),
        ({"authorize_params": {"response_type": "token"}}, "response_type='code' alone"),
        ({"profile": "fapi1"}, "profile='fapi1'"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value),
)
@pytest.mark.parametrize("profile", PROFILES)
def test_what_a_profile_forbids_is_named_at_construction(
    profile: str, options: Options, named: str
) -> None:
    given = {"private_key": PEM, "profile": profile, **options}
    secret = given.pop("client_secret", None)
    with pytest.raises(ConfigurationError) as caught:
        OpenIDConnect("id", secret, ISSUER, **given)
    assert named in caught.value.message


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"jar": False}, "jar=False"),
        ({"response_mode": "form_post"}, "response_mode"),
        ({"authorize_params": {"response_mode": "query"}}, "response_mode='jwt' alone"),
        ({"private_key": None, "cert": "cert.pem"}, "private_key=…"),
    ],
    ids=["jar", "mode", "param", "key"],
)
def test_message_signing_forbids_more(options: Options, named: str) -> None:
    given: Options = {"private_key": PEM, "profile": "fapi2-message-signing", **options}
    with pytest.raises(ConfigurationError) as caught:
        OpenIDConnect("id", None, ISSUER, **given)
    assert named in caught.value.message


def test_a_profile_needs_an_issuer() -> None:
    with pytest.raises(ConfigurationError, match="needs an issuer"):
        OAuth2("id", None, "https://id.example", profile="fapi2", private_key=PEM)


@pytest.mark.parametrize(
    "redirect_uri",
    ["https://app.example/callback", "http://127.0.0.1:5000/callback", "http://[::1]/callback"],
)
def test_https_and_loopback_are_redirect_uris(redirect_uri: str) -> None:
    options: Options = {"private_key": PEM, "profile": "fapi2"}
    sso = OpenIDConnect("id", None, ISSUER, redirect_uri, **options)
    assert sso.redirect_uri == redirect_uri


def test_a_redirect_uri_of_the_request_is_checked_before_it_is_sent(
    provider: Provider, make_app: MakeApp
) -> None:
    login = OAuth2Login(make_fapi(provider), name="sso")
    app = make_app(login)
    app.config["TESTING"] = False
    app.config["PROPAGATE_EXCEPTIONS"] = True
    browser = Browser(app, provider, base_url="http://app.example")
    with pytest.raises(ConfigurationError, match="PREFERRED_URL_SCHEME='https'"):
        browser.get("/login")
    assert provider.calls("/par") == []


@pytest.mark.parametrize("profile", PROFILES)
def test_parameters_of_one_request_are_checked_too(provider: Provider, profile: str) -> None:
    sso = make_fapi(provider, profile)
    for params in ({"response_type": "token"}, {"redirect_uri": "http://app.example/"}):
        with pytest.raises(ConfigurationError, match="profile"):
            sso.authorize_url("openid", **params)
    assert provider.calls("/par") == []


@pytest.mark.security("A4")
@pytest.mark.parametrize("iss", [..., "https://other.example"], ids=["missing", "other"])
def test_an_answer_without_the_right_issuer_is_refused(
    provider: Provider, make_app: MakeApp, iss: t.Any
) -> None:
    # The metadata need not promise it.
    name = "authorization_response_iss_parameter_supported"
    provider.metadata_overrides = {name: ...}
    browser = make_browser(provider, make_app)
    begun = browser.begin()
    url = provider.consent(begun, iss=iss)
    assert browser.get(url).status_code == 400
    assert provider.calls("/token") == []
    assert not is_signed_in(browser)


@pytest.mark.security("B3")
def test_a_token_that_is_bound_to_nothing_is_refused(provider: Provider, make_app: MakeApp) -> None:
    provider.dpop_token_type = "Bearer"
    browser = make_browser(provider, make_app)
    assert browser.sign_in().status_code == 502
    assert not is_signed_in(browser)
    with pytest.raises(ProviderError, match="accepts no token that is not bound"):
        make_fapi(provider).client_token()


@pytest.mark.security("E3")
def test_an_id_token_by_another_algorithm_is_refused(
    provider: Provider, make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    provider.keys = [make_key("RS256")]
    browser = make_browser(provider, make_app)
    assert browser.sign_in().status_code == 502
    assert "its algorithm 'RS256' is not expected" in caplog.text
    assert not is_signed_in(browser)


@pytest.mark.security("D4")
@pytest.mark.parametrize(
    ("typ", "is_accepted"), [("logout+jwt", True), ("JWT", False), (..., False)]
)
def test_a_logout_token_says_that_it_is_one(
    provider: Provider, typ: t.Any, is_accepted: bool
) -> None:
    sso = make_fapi(provider, redirect_uri=CALLBACK)
    provider.require_pkce = False
    redeem_openid(provider, sso)
    token = provider.logout_token(header={"typ": typ})
    if is_accepted:
        assert sso.validate_logout_token(token)["sub"] == "ada"
    else:
        with pytest.raises(IDTokenError, match="another kind"):
            sso.validate_logout_token(token)
