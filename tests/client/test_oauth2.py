"""The handler: its arguments, requests to the token endpoint, and the client's authentication."""

from __future__ import annotations

import time
import typing as t

import pytest
import requests

from flask_oauth2_login import (
    ConfigurationError,
    OAuth2,
    OAuth2Error,
    OAuth2Login,
    OpenIDConnect,
    ProviderError,
    Token,
    TokenError,
)
from tests.conftest import MakeApp, MakeProvider
from tests.support.handlers import make_client, make_handler, redeem_code
from tests.support.provider import (
    CUT_AFTER,
    CUT_BEFORE,
    DRIP_BODY,
    DRIP_HEADERS,
    DRIP_STATUS,
    ENDLESS_BODY,
    ENDLESS_CONTINUE,
    GARBAGE,
    HANG,
    REDIRECT,
    REMOVED,
    TOO_LONG_CONTENT_LENGTH,
    ZIP_BOMB,
    Answer,
    Browser,
    Provider,
)
from tests.support.provider.authorization import query_of


@pytest.mark.slow
@pytest.mark.security("B1")
@pytest.mark.parametrize(
    "misbehaviour",
    [
        HANG, DRIP_STATUS, DRIP_HEADERS, DRIP_BODY, ENDLESS_BODY, ENDLESS_CONTINUE, ZIP_BOMB,
        TOO_LONG_CONTENT_LENGTH, CUT_BEFORE, CUT_AFTER, GARBAGE,
    ],
)  # fmt: skip
def test_a_provider_that_misbehaves_costs_a_bounded_time(
    provider: Provider, misbehaviour: t.Any
) -> None:
    provider.on("/token", misbehaviour)
    began = time.monotonic()
    with pytest.raises(ProviderError) as caught:
        redeem_code(provider)
    assert time.monotonic() - began < 10
    # B5: sent once, whatever happened. And C1: nothing in the chain of exceptions.
    assert len(provider.calls("/token")) <= 1
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


@pytest.mark.security("B1")
def test_a_provider_that_is_down_is_a_provider_error(provider: Provider) -> None:
    handler = make_client(provider)
    provider.down()
    with pytest.raises(ProviderError) as caught:
        handler.get_token("code")
    assert caught.value.code == 503


@pytest.mark.security("B2")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(provider: Provider, status: int) -> None:
    provider.on("/token", REDIRECT(f"{provider.url}/elsewhere", status))
    with pytest.raises(ProviderError):
        redeem_code(provider)
    assert not provider.calls("/elsewhere")


@pytest.mark.security("B2")
def test_a_secret_does_not_go_over_plain_http() -> None:
    handler = OAuth2("id", "secret", "http://provider.example", "http://localhost/callback")
    with pytest.raises(ConfigurationError, match="https"):
        handler.get_token("code")


@pytest.mark.parametrize("answer", [Answer(status=204, body=""), Answer(body="")])
def test_a_success_without_content_is_none(provider: Provider, answer: Answer) -> None:
    provider.on("/token", answer)
    assert redeem_code(provider) is None


@pytest.mark.security("B5")
def test_a_code_is_sent_once(provider: Provider) -> None:
    provider.on("/token", CUT_AFTER)
    with pytest.raises(ProviderError):
        redeem_code(provider)
    assert len(provider.calls("/token")) == 1


@pytest.mark.security("B6")
@pytest.mark.parametrize("secret", ["the-secret", "a:b%c d+é/=&", "ünï:çödé"])
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_any_secret_works_by_either_method(
    make_provider: MakeProvider, secret: str, method: str
) -> None:
    provider = make_provider(client_secret=secret, client_auth_methods={method})
    assert redeem_code(provider, client_auth=method) is not None
    (call,) = provider.calls("/token")
    headers = {name.lower() for name in call.headers}
    assert ("authorization" in headers) is (method == "client_secret_basic")
    assert ("client_secret" in call.form) is (method == "client_secret_post")


@pytest.mark.security("B6")
def test_a_public_client_sends_no_secret(make_provider: MakeProvider) -> None:
    provider = make_provider(client_secret=None)
    assert redeem_code(provider) is not None
    (call,) = provider.calls("/token")
    assert call.form["client_id"] == provider.client_id
    assert "client_secret" not in call.form


def test_all_arguments_also_go_by_position() -> None:
    handler = OAuth2("id", "secret", "https://p.example/", "https://a.example/cb", "auth", "tok")
    url = handler.authorize_url("a b", state="s", prompt="x y")
    assert url.startswith("https://p.example/auth?")
    assert query_of(url) == {
        "response_type": ["code"],
        "client_id": ["id"],
        "redirect_uri": ["https://a.example/cb"],
        "scope": ["a b"],
        "state": ["s"],
        "prompt": ["x y"],
    }


def test_parameters_are_encoded_once_and_replace_defaults() -> None:
    handler = OAuth2("id", "s", "https://p.example", authorization_url="a?tenant=1&state=old")
    url = handler.authorize_url(["x", "y"], response_type=None, state="a%20b&c", redirect_uri="/é")
    assert query_of(url) == {
        "tenant": ["1"],
        "client_id": ["id"],
        "scope": ["x y"],
        "state": ["a%20b&c"],
        "redirect_uri": ["/é"],
    }


def test_a_form_has_what_requests_would_send(provider: Provider) -> None:
    params = {
        "text": "ü &=+%20",
        "resource": ["https://a.example", "https://b.example"],
        "audience": ("x",),
        "empty": "",
        "number": 5,
        "flag": True,
        "bytes": b"a b",
        "none": None,
        "nothing": [],
    }
    plain = requests.Request("POST", "https://p.example", data=params).prepare()
    assert redeem_code(provider, token_params=params)
    (call,) = provider.calls("/token")
    own = ("grant_type", "code", "redirect_uri", "client_id", "client_secret")
    sent = [pair for pair in call.body.decode().split("&") if pair.partition("=")[0] not in own]
    assert "&".join(sent) == plain.body
    assert call.headers["Content-Type"] == plain.headers["Content-Type"]
    assert call.headers["Content-Length"] == str(len(call.body))
    assert {"Cookie", "Transfer-Encoding"}.isdisjoint(call.headers)


@pytest.mark.security("B6")
def test_credentials_in_an_endpoints_url_are_not_sent(provider: Provider) -> None:
    host = provider.url.partition("://")[2]
    redeem_code(provider, token_url=f"http://mallory:guess@{host}/token")
    (call,) = provider.calls("/token")
    assert "Authorization" not in call.headers
    assert "guess" not in str(call)


def test_site_may_be_assigned_between_consent_and_token(provider: Provider) -> None:
    handler = make_client(provider)
    handler.site = ""
    with pytest.raises(ConfigurationError, match="site"):
        handler.authorize_url()
    handler.site = provider.url
    code = provider.answer(handler.authorize_url("read", state="s")).params["code"]
    handler.site = provider.url + "/"
    assert handler.get_token(code) is not None


def test_the_other_grants(provider: Provider) -> None:
    handler, token = make_client(provider), redeem_code(provider)
    assert token is not None
    assert token.refresh_token is not None
    newer = handler.refresh_token(token.refresh_token)
    assert newer is not None
    assert newer.access_token != token.access_token
    provider.rotate = False
    kept = handler.refresh_token(str(newer.refresh_token))
    assert kept is not None
    assert kept.refresh_token == newer.refresh_token
    handler.revoke_token(kept)
    with pytest.raises(TokenError):
        handler.refresh_token(str(kept.refresh_token))
    assert handler.client_token("read") is not None
    with pytest.raises(ConfigurationError, match="revoke_url"):
        make_client(provider, revoke_url=None).revoke_token("x")


def test_the_oddities_of_providers_are_data(provider: Provider) -> None:
    handler = make_client(
        provider, scope_separator=",", authorize_params={"access_type": "offline"}
    )
    assert query_of(handler.authorize_url("a b"))["scope"] == ["a,b"]
    assert query_of(handler.authorize_url("a b"))["access_type"] == ["offline"]
    provider.on("/token", Answer(body={"data": {"access_token": "x", "token_type": "OAuth"}}))
    token = redeem_code(provider, token_path="data", bearer_scheme="OAuth")
    assert token is not None
    assert token["access_token"] == "x"


def test_a_token_request_may_be_json_and_client_id_have_another_name(
    make_provider: MakeProvider,
) -> None:
    provider = make_provider(json_requests=True, client_id_param="client_key")
    assert redeem_code(provider, token_request="json", client_id_param="client_key") is not None
    (call,) = provider.calls("/token")
    assert call.json["client_key"] == provider.client_id


def test_who_it_is_by_other_fields_and_a_second_call(provider: Provider) -> None:
    person = {"user": {"id": 7, "first": "Ada", "last": "Lovelace"}, "avatar_url": "https://x/y"}
    provider.on("/userinfo", Answer(body=person))
    handler = make_client(
        provider,
        userinfo_url="userinfo",
        identity={"id": "user.id", "name": ["user.nick", "user.first+user.last"]},
        email_url="userinfo/emails",
        email_path="[primary,verified].email",
    )
    identity = handler.fetch_identity(redeem_code(provider) or Token(), claims=["avatar_url"])
    assert identity is not None
    assert (identity.id, identity.name) == ("7", "Ada Lovelace")
    assert (identity.email, identity.email_verified) == ("ada@example.com", True)
    assert identity.picture == identity.claims["avatar_url"] == "https://x/y"
    provider.on("/userinfo", Answer(body={"name": "nobody"}))
    with pytest.raises(ProviderError):
        make_client(provider, userinfo_url="userinfo").fetch_identity(
            redeem_code(provider) or Token()
        )


@pytest.mark.security("C1")
def test_no_secret_is_in_a_repr(provider: Provider) -> None:
    token = redeem_code(provider)
    assert token is not None
    shown = f"{token!r} {token} {[token]} {make_client(provider)!r}"
    for secret in (token["access_token"], token["refresh_token"], "the-secret"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("client_id", "client_secret"),
    [
        ("", "s"),
        (None, "s"),
        (" id", "s"),
        ("id\n", "s"),
        ("id", "s\n"),
        ("id", '"s"'),
        ("id", " s"),
    ],
)
def test_mangled_credentials_are_a_configuration_error(
    client_id: t.Any, client_secret: t.Any
) -> None:
    with pytest.raises(ConfigurationError):
        OAuth2(client_id, client_secret, "https://p.example")


def test_every_error_has_one_base(provider: Provider) -> None:
    provider.on("/token", Answer(status=500))
    with pytest.raises(OAuth2Error):
        redeem_code(provider)


def rfc8414(provider: Provider) -> None:
    """Have a provider serve its metadata as a plain OAuth 2.0 server does."""
    provider.on("/.well-known/openid-configuration", Answer(404))
    provider.on(
        "/.well-known/oauth-authorization-server",
        lambda _request: Answer(200, provider.metadata()),
    )


@pytest.mark.security("A4")
@pytest.mark.parametrize(
    ("overrides", "status"),
    [
        ({}, 302),
        ({"iss": "https://evil.example"}, 400),
        ({"iss": REMOVED}, 400),
        ({"iss": REMOVED, "code": REMOVED, "error": "access_denied"}, 400),
    ],
)
def test_a_plain_provider_may_have_an_issuer(
    provider: Provider, make_app: MakeApp, overrides: dict[str, t.Any], status: int
) -> None:
    rfc8414(provider)
    handler = OAuth2("the-client", "the-secret", issuer=provider.issuer, api_url=provider.api_url)
    browser = Browser(make_app(OAuth2Login(handler, scope="read")), provider)
    response = browser.sign_in(**overrides)
    assert response.status_code == status
    assert len(provider.calls("/token")) == (status == 302)
    assert ("cancelled" in response.text) is ("error" in overrides)
    if status == 302:
        assert browser.fetch("/me").get_json()["id"] == "ada"
        assert "nonce" not in provider.authorizations[-1]
        assert len(provider.calls("/.well-known/*")) == 1


@pytest.mark.security("A4")
def test_iss_is_checked_where_the_endpoints_are_given(
    provider: Provider, make_app: MakeApp
) -> None:
    handler = make_handler(provider, issuer=provider.issuer)
    browser = Browser(make_app(OAuth2Login(handler, scope="read")), provider)
    assert browser.sign_in(iss="https://evil.example").status_code == 400
    assert browser.sign_in().status_code == 302
    assert browser.sign_in(iss=REMOVED).status_code == 302
    assert not provider.calls("/.well-known/*")


def test_a_preset_with_an_issuer_may_be_plain(provider: Provider, make_app: MakeApp) -> None:
    rfc8414(provider)
    row = {"issuer": provider.issuer, "protocol": "oauth2", "token_types": ["MAC-less"]}
    config = {
        "OAUTH2_LOGIN_PROVIDERS": {"plain": row},
        "PLAIN_CLIENT_ID": "the-client",
        "PLAIN_CLIENT_SECRET": "the-secret",
    }
    browser = Browser(make_app(OAuth2Login("plain", scope="openid"), **config), provider)
    assert browser.sign_in().status_code == 302
    assert not provider.calls("/jwks")


@pytest.mark.parametrize("kind", [OAuth2, OpenIDConnect])
def test_a_path_that_is_given_counts_before_the_metadata(
    provider: Provider, kind: type[OAuth2]
) -> None:
    issuer: t.Any = {"issuer": provider.issuer}
    handler = kind("c", "s", **issuer, authorization_url="oauth/authorize", token_url="oauth/token")
    assert handler.endpoint("authorization_url") == f"{provider.url}/oauth/authorize"
    assert handler.endpoint("token_url") == f"{provider.url}/oauth/token"
    assert OAuth2("c", "s", provider.url).endpoint("token_url") == f"{provider.url}/oauth/token"


@pytest.mark.parametrize("name", ["metadata_url", "internal_url"])
def test_metadata_need_an_issuer(name: str) -> None:
    options: dict[str, t.Any] = {name: "https://inside.example"}
    with pytest.raises(ConfigurationError, match=f"{name} needs an issuer"):
        OAuth2("c", "s", "https://sso.example", **options)
