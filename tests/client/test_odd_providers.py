"""Requests and answers in the shapes of providers that do not do as the RFCs say."""

from __future__ import annotations

import hmac
import logging
import typing as t

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from flask_oauth2_login import (
    AuthorizationError,
    ConfigurationError,
    OAuth2,
    OAuth2Login,
    ProviderError,
    Token,
    TokenError,
)
from flask_oauth2_login.protocol.authorization import check_hmac
from flask_oauth2_login.protocol.signed_secret import SignedSecret
from tests.conftest import MakeApp
from tests.support.assertions import is_signed_in, query_of
from tests.support.handlers import make_client, make_handler, redeem, redeem_code
from tests.support.provider import CUT_BEFORE, Answer, Browser, Provider

TOKEN = Answer(body={"access_token": "at-1", "token_type": "Bearer", "refresh_token": "rt-1"})


# -- everything in the query: QQ, Bitrix24, Untappd


@pytest.mark.security("C1")
def test_a_token_request_may_be_a_get_and_its_url_reaches_no_log(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    provider.on("/token", TOKEN)
    token = redeem_code(provider, token_request="query")
    assert token is not None
    (call,) = provider.calls("/token")
    assert (call.method, call.body) == ("GET", b"")
    assert call.query["grant_type"] == "authorization_code"
    assert call.query["client_secret"] == provider.client_secret
    assert call.query["code"]
    assert call.query["code"] not in caplog.text
    assert str(provider.client_secret) not in caplog.text


@pytest.mark.security("B5", "C1")
def test_a_get_that_redeems_a_code_is_not_sent_twice(provider: Provider) -> None:
    provider.on("/token", TOKEN, times=1)
    provider.on("/token", CUT_BEFORE)
    handler = make_client(provider, token_request="query")
    redeem(handler, provider)
    with pytest.raises(ProviderError) as told:
        handler.get_token("the-code")
    assert len(provider.calls("/token")) == 2
    assert "the-code" not in str(told.value)
    assert str(provider.client_secret) not in str(told.value)


@pytest.mark.security("C1")
def test_a_refusal_that_quotes_the_query_is_told_without_secrets(provider: Provider) -> None:
    def refuse(request: t.Any) -> Answer:
        return Answer(400, {"error": "invalid_grant", "error_description": request.target})

    provider.on("/token", refuse)
    with pytest.raises(TokenError) as told:
        redeem_code(provider, token_request="query")
    code = provider.calls("/token")[0].query["code"]
    assert code not in str(told.value)
    assert str(provider.client_secret) not in str(told.value)


def test_the_scope_may_be_sent_with_the_code_again(provider: Provider, make_app: MakeApp) -> None:
    handler = make_handler(provider, repeat_scope=True, scope_separator=",")
    browser = Browser(make_app(OAuth2Login(handler, scope="read write")), provider)
    browser.sign_in()
    assert provider.calls("/token")[0].form["scope"] == "read,write"


# -- other names: DingTalk, eBay


def test_a_token_endpoint_may_call_things_otherwise(provider: Provider, make_app: MakeApp) -> None:
    answer = {"accessToken": "at-1", "refreshToken": "rt-1", "expireIn": 7200, "corpId": "c"}
    provider.on("/token", Answer(body=answer))
    provider.on("/userinfo", Answer(body={"id": 1}))
    names = {
        "client_id": "clientId",
        "client_secret": "clientSecret",
        "grant_type": "grantType",
        "refresh_token": "refreshToken",
        "access_token": "accessToken",
        "expires_in": "expireIn",
    }
    handler = make_handler(provider, token_names=names, token_request="json")
    browser = Browser(make_app(OAuth2Login(handler)), provider)
    assert browser.sign_in().status_code == 302
    token = handler.refresh_token("rt-0")
    assert token is not None
    assert (token.access_token, token.refresh_token, token["corpId"]) == ("at-1", "rt-1", "c")
    assert "accessToken" not in token
    assert 7000 < token["expires_in"] <= 7200
    first, second = (call.json for call in provider.calls("/token"))
    assert (first["grantType"], second["grantType"]) == ("authorization_code", "refresh_token")
    assert (first["clientId"], first["clientSecret"]) == ("the-client", "the-secret")
    assert second["refreshToken"] == "rt-0"
    assert "client_secret" not in first


def test_a_redirect_uri_may_have_a_name(provider: Provider, make_app: MakeApp) -> None:
    handler = make_handler(provider, redirect_name="Ada-App-1")
    client = make_app(OAuth2Login(handler)).test_client()
    asked = query_of(client.get("/login").location)
    assert asked["redirect_uri"] == "Ada-App-1"
    client.get(f"/callback?code=x&state={asked['state']}")
    assert provider.calls("/token")[0].form["redirect_uri"] == "Ada-App-1"


# -- an answer that is signed with the secret: Shopify

#: Of Shopify's documentation: its secret is ``hush``.
SHOPIFY = {
    "code": "0907a61c0c8d55e99db179b68161bc00",
    "hmac": "700e2dadb827fcc8609e9d5ce208b2e9cdaab9df07390d2cbca10d7c328fc4bf",
    "shop": "some-shop.myshopify.com",
    "state": "0.6784241404160823",
    "timestamp": "1337178173",
}


def test_the_hmac_of_an_answer_is_made_of_all_its_parameters() -> None:
    check_hmac(SHOPIFY, "hush")
    for change in (
        *({name: f"{value}x"} for name, value in SHOPIFY.items()),
        {"more": "x"},
        {"hmac": ""},
        {"hmac": "\udcff"},
    ):
        with pytest.raises(AuthorizationError):
            check_hmac({**SHOPIFY, **change}, "hush")
    for secret in ("hash", "", None):
        with pytest.raises(AuthorizationError):
            check_hmac(SHOPIFY, secret)
    with pytest.raises(AuthorizationError):
        check_hmac({name: SHOPIFY[name] for name in SHOPIFY if name != "hmac"}, "hush")
    odd = {"a&b": "1", "c=d": "2%3&4"}
    signed = hmac.new(b"hush", b"a%26b=1&c%3Dd=2%253%264", "sha256").hexdigest()
    check_hmac({**odd, "hmac": signed}, "hush")


@pytest.mark.security("A1")
def test_an_answer_without_the_right_hmac_sends_no_code(
    provider: Provider, make_app: MakeApp
) -> None:
    handler = make_handler(provider, answer_hmac=True)
    browser = Browser(make_app(OAuth2Login(handler)), provider)
    assert browser.sign_in().status_code == 400
    assert browser.sign_in(hmac="0" * 64).status_code == 400
    assert not is_signed_in(browser)
    assert provider.calls("/token") == []
    with pytest.raises(ConfigurationError, match="answer_hmac"):
        OAuth2("c", None, "https://sso.example", answer_hmac=True)


# -- a secret that the client signs: Apple


def pem_of(key: ECKey | RSAKey, **options: t.Any) -> str:
    return key.as_pem(**options).decode()


EC_KEY = ECKey.generate_key("P-256")
SIGNED = {"key_id": "KEY", "issuer": "TEAM", "audience": "https://sso.example"}


@pytest.mark.security("C1")
@pytest.mark.parametrize("lines", ["\n", "\\n"])
def test_a_client_may_sign_its_secret_anew_for_each_request(
    provider: Provider, lines: str, caplog: pytest.LogCaptureFixture
) -> None:
    pem = pem_of(EC_KEY, private=True).replace("\n", lines)
    handler = make_client(provider, client_auth=SignedSecret(pem, **SIGNED))
    provider.on("/token", TOKEN, times=1)
    assert handler.refresh_token("rt-0") is not None

    def refuse(request: t.Any) -> Answer:
        return Answer(400, {"error": "invalid_client", "error_description": str(request.form)})

    provider.on("/token", refuse)
    with pytest.raises(TokenError) as told:
        handler.refresh_token("rt-0")
    for call in provider.calls("/token"):
        secret = call.form["client_secret"]
        signed = jwt.decode(secret, EC_KEY)
        assert signed.header == {"alg": "ES256", "kid": "KEY", "typ": "JWT"}
        assert (signed.claims["sub"], signed.claims["iss"]) == ("the-client", "TEAM")
        assert secret not in f"{told.value} {caplog.text}"
    assert pem not in repr(handler.client_auth)


@pytest.mark.parametrize(
    "key",
    [
        None,
        "",
        "-----BEGIN PRIVATE KEY-----",
        b"bytes",
        pem_of(EC_KEY, private=False),
        pem_of(ECKey.generate_key("P-384"), private=True),
        pem_of(RSAKey.generate_key(2048), private=True),
    ],
    ids=["None", "empty", "cut", "bytes", "public", "P-384", "RSA"],
)
def test_a_key_that_cannot_sign_is_told_without_the_key(key: t.Any) -> None:
    with pytest.raises(ConfigurationError, match=r"not a private EC key.*\.p8") as told:
        SignedSecret(key, **SIGNED)
    assert str(key or "nothing") not in str(told.value).replace("-----BEGIN PRIVATE KEY-----", "")
    assert told.value.__cause__ is None


def test_a_preset_that_signs_its_secret_needs_a_key_and_no_secret(make_app: MakeApp) -> None:
    login = OAuth2Login("apple", preset={"team_id": "TEAM", "key_id": "KEY"})
    with pytest.raises(ConfigurationError, match="APPLE_PRIVATE_KEY"):
        make_app(login, APPLE_CLIENT_ID="com.example")
    pem = pem_of(EC_KEY, private=True)
    app = make_app(login, APPLE_CLIENT_ID="com.example", APPLE_PRIVATE_KEY=pem)
    assert app.extensions["oauth2_login"].logins["apple"].handler.client_secret is None


# -- renewal elsewhere, in other words: Figma, start.gg, Basecamp, Withings


def test_a_token_may_be_refreshed_at_another_url_in_other_words(provider: Provider) -> None:
    provider.on("/refresh", TOKEN)
    handler = make_client(provider, refresh_url="refresh", refresh_params={"type": "refresh"})
    assert handler.refresh_token("rt-0") == Token(dict(t.cast("t.Any", TOKEN.body)))
    assert provider.calls("/token") == []
    (call,) = provider.calls("/refresh")
    assert call.form["type"] == "refresh"
    assert call.form["client_secret"] == provider.client_secret


# -- GraphQL, and forms: Linear, Monday, VK

GRAPHQL: dict[str, t.Any] = {
    "userinfo_method": "GRAPHQL",
    "userinfo_query": "{viewer{id name}}",
    "identity": {"id": "data.viewer.id", "name": "data.viewer.name"},
}


def test_who_somebody_is_can_be_asked_in_graphql(provider: Provider, make_app: MakeApp) -> None:
    answer = {"data": {"viewer": {"id": 7, "name": "Ada"}}}
    provider.on("/userinfo", Answer(body=answer))
    browser = Browser(make_app(OAuth2Login(make_handler(provider, **GRAPHQL))), provider)
    assert browser.sign_in().status_code == 302
    (call,) = provider.calls("/userinfo")
    assert (call.method, call.json) == ("POST", {"query": "{viewer{id name}}"})
    assert call.access_token()
    me = browser.fetch("/me").json or {}
    assert (me["id"], me["name"]) == ("7", "Ada")


@pytest.mark.parametrize(
    "answer",
    [
        {"errors": [{"message": "token is not allowed"}], "data": None},
        {"errors": [{"message": "token is not allowed"}]},
        {"data": {"viewer": None}},
        {"data": {"viewer": {"name": "Ada"}}},
        [],
    ],
)
def test_a_graphql_answer_that_names_nobody_signs_nobody_in(
    provider: Provider, make_app: MakeApp, answer: t.Any
) -> None:
    provider.on("/userinfo", Answer(body=answer))
    browser = Browser(make_app(OAuth2Login(make_handler(provider, **GRAPHQL))), provider)
    assert browser.sign_in().status_code == 502
    assert not is_signed_in(browser)


def test_who_somebody_is_can_be_asked_by_a_form_with_the_token(
    provider: Provider, make_app: MakeApp
) -> None:
    provider.on("/userinfo", Answer(body={"user": {"user_id": 5}}))
    handler = make_handler(
        provider,
        userinfo_method="POST",
        userinfo_form={"client_id": "the-client", "access_token": "token:access_token"},
        identity={"id": "user.user_id"},
    )
    browser = Browser(make_app(OAuth2Login(handler)), provider)
    assert browser.sign_in().status_code == 302
    (call,) = provider.calls("/userinfo")
    assert call.form == {"client_id": "the-client", "access_token": call.access_token()}


@pytest.mark.parametrize(
    "options",
    [
        {"userinfo_method": "GRAPHQL"},
        {"userinfo_query": "{me{id}}"},
        {"userinfo_form": {"a": "b"}},
        {"token_request": "xml"},
        {"offline": ["offline_access"]},
    ],
)
def test_options_that_do_not_fit_are_told(options: dict[str, t.Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        OAuth2("c", "s", "https://sso.example", **options)


# -- what brings a refresh token: Google, Dropbox, Entra


@pytest.mark.parametrize("offline", [True, False])
@pytest.mark.parametrize(
    ("words", "sent"),
    [
        ("offline_access", {"scope": "read offline_access"}),
        ({"access_type": "offline", "prompt": "consent"}, {"access_type": "offline"}),
    ],
)
def test_a_refresh_token_is_asked_for_in_the_providers_words(
    provider: Provider,
    make_app: MakeApp,
    tmp_path: t.Any,
    words: t.Any,
    sent: dict[str, str],
    offline: bool,
) -> None:
    handler = make_handler(provider, offline=words)
    store = f"sqlite:///{tmp_path}/logins.db"
    app = make_app(OAuth2Login(handler, scope="read", offline=offline, store=store))
    asked = query_of(app.test_client().get("/login").location)
    assert (sent.items() <= asked.items()) == offline
    asked = query_of(app.test_client().get("/login?prompt=login").location)
    assert asked["prompt"] == "login", "a link may still say how to prompt"


# -- refusals in other words: Reddit, Strava, Slack


@pytest.mark.parametrize("body", [{"message": "Unauthorized", "error": 401}, {"message": "no"}])
def test_a_401_without_a_reason_is_about_credentials_in_the_header(
    provider: Provider, make_app: MakeApp, body: t.Any, caplog: pytest.LogCaptureFixture
) -> None:
    handler = make_handler(provider, client_auth="client_secret_basic")
    browser = Browser(make_app(OAuth2Login(handler)), provider)
    browser.sign_in()
    provider.on("/token", Answer(401, body))
    with pytest.raises(TokenError) as told:
        handler.refresh_token("rt-0")
    assert told.value.error == "invalid_client"
    assert "client_secret_basic" in str(told.value)
    assert browser.sign_in().status_code == 502, "a new attempt does not help"
    assert next(iter(body.values())) in caplog.text


def test_a_401_without_a_reason_ends_a_login_if_credentials_are_in_the_form(
    provider: Provider,
) -> None:
    provider.on("/token", Answer(401, {"message": "Unauthorized", "error": 401}))
    with pytest.raises(TokenError) as told:
        make_client(provider).refresh_token("rt-0")
    assert told.value.error == "401"


@pytest.mark.security("B4")
@pytest.mark.parametrize(
    "body",
    [
        {"errors": [{"resource": "AuthorizationCode", "field": "code", "code": "invalid"}]},
        {"status": 400, "message": "Invalid authorization code"},
    ],
    ids=["strava", "twitch"],
)
def test_a_refused_code_is_the_visitors_whatever_the_words(
    provider: Provider, make_app: MakeApp, body: t.Any, caplog: pytest.LogCaptureFixture
) -> None:
    provider.on("/token", Answer(400, body))
    browser = Browser(make_app(OAuth2Login(make_handler(provider))), provider)
    assert browser.sign_in().status_code == 400
    assert not is_signed_in(browser)
    assert "invalid_grant" in caplog.text
    assert "uthorization" in caplog.text


def test_the_token_of_a_refresh_need_not_be_nested_as_that_of_a_sign_in(
    provider: Provider,
) -> None:
    handler = make_client(provider, token_path="person")
    provider.on("/token", Answer(body={"ok": True, "person": TOKEN.body}), times=1)
    first = redeem(handler, provider)
    assert first is not None
    provider.on("/token", Answer(body={"ok": True, "access_token": "at-2"}), times=1)
    newer = handler.refresh_token(first)
    assert newer is not None
    assert (newer.access_token, newer.refresh_token) == ("at-2", "rt-1")
    provider.on("/token", Answer(body={"ok": True, "access_token": "at-2"}))
    with pytest.raises(ProviderError):
        redeem(handler, provider)
