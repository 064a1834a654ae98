"""Signing in, from beginning to end: who may begin it, and who is signed in afterwards."""

from __future__ import annotations

import json
import typing as t

import pytest

from flask_oauth2_login import OAuth2Login, TokenError, login_required, login_url
from tests.conftest import SSO, MakeApp, MakeProvider, MakeSSO
from tests.support.assertions import is_signed_in, query_of
from tests.support.handlers import at, issue, make_client, make_handler
from tests.support.provider import REMOVED, Answer, Browser, Provider


def test_rejected_means_that_whoever_was_signed_in_still_is(
    browser: Browser, provider: Provider
) -> None:
    browser.sign_in()
    for answer in (
        Answer(status=500),
        Answer(body="<html>"),
        Answer(status=400, body={"error": "x"}),
    ):
        provider.on("/token", answer, times=1)
        assert browser.sign_in(person={"sub": "bob"}).status_code in {400, 502, 503}
        assert (browser.get("/me").get_json() or {})["id"] == "ada"


def test_two_logins_at_two_providers_live_side_by_side(
    make_provider: MakeProvider, make_app: MakeApp
) -> None:
    first, second = make_provider(), make_provider()
    one = OAuth2Login(make_handler(first), name="one")
    two = OAuth2Login(make_handler(second), name="two")
    browser = Browser(make_app(one, two))
    browser.sign_in("/one/login", provider=first)
    browser.sign_in("/two/login", provider=second, person={"sub": "bob"})
    assert (browser.get("/me").get_json() or {})["provider"] == "two"
    browser.post("/two/logout")
    assert (browser.get("/me").get_json() or {})["provider"] == "one"


def test_another_site_can_begin_a_sign_in(provider: Provider, sso: SSO) -> None:
    browser = sso.browser
    query = f"iss={provider.issuer}&login_hint=ada&target_link_uri=http://localhost/me"
    response = browser.get(f"/login?{query}", site="cross-site")
    assert query_of(response.location)["login_hint"] == "ada"
    assert browser.finish(response.location).location == "/me"
    response = browser.post("/login", {"iss": provider.issuer}, site="cross-site")
    assert response.status_code == 303
    response = browser.follow(response, site="cross-site")
    assert browser.finish(response.location).location == "/"


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/", "http://localhost:1/"]
)
def test_another_site_cannot_choose_another_host(provider: Provider, sso: SSO, target: str) -> None:
    browser = sso.browser
    response = browser.get(f"/login?iss={provider.issuer}&target_link_uri={target}")
    assert browser.finish(response.location).location == "/"


def test_another_issuer_begins_nothing(sso: SSO) -> None:
    browser = sso.browser
    assert browser.get("/login?iss=https://evil.example").status_code == 400


@pytest.mark.security("B4", "C1")
@pytest.mark.parametrize("error", ["invalid_client", "unauthorized_client"])
@pytest.mark.parametrize("status", [200, 400, 401])
def test_a_client_that_is_refused_is_the_developers_affair(
    provider: Provider,
    browser: Browser,
    caplog: pytest.LogCaptureFixture,
    error: str,
    status: int,
) -> None:
    provider.on("/token", Answer(status, {"error": error}))
    response = browser.sign_in()
    assert response.status_code == 502
    assert not is_signed_in(browser)
    (line,) = (record.getMessage() for record in caplog.records if record.levelname == "ERROR")
    assert error in line
    assert "'the-client'" in line
    assert "client_auth='client_secret_post'" in line
    assert "the-secret" not in caplog.text


@pytest.mark.security("C1", "E2", "E3")
@pytest.mark.parametrize(
    ("options", "texts"),
    [
        pytest.param({"key": b"s" * 32, "alg": "HS256"}, ["HS256", "algorithms="], id="HMAC"),
        pytest.param(
            {"claims": {"aud": ["the-client", "another"]}},
            ["another", "trusted_audiences="],
            id="audience of two",
        ),
        pytest.param(
            {"claims": {"aud": "another"}}, ["another", "the-client"], id="audience of another"
        ),
        pytest.param({"claims": {"iss": "https://other.example"}}, ["other.example"], id="issuer"),
        pytest.param({"claims": {"sub": 7}}, ["7", "numeric_sub=True"], id="number"),
        pytest.param(
            {"claims": {"iat": at(400), "exp": at(900)}},
            ["seconds in the future", "leeway="],
            id="clock",
        ),
    ],
)
def test_an_id_token_that_the_options_exclude_is_the_developers_affair(
    provider: Provider,
    sso: SSO,
    caplog: pytest.LogCaptureFixture,
    options: dict[str, t.Any],
    texts: list[str],
) -> None:
    issue(provider, **options)
    response = sso.browser.sign_in()
    assert response.status_code == 502
    assert not is_signed_in(sso.browser)
    (line,) = (record.getMessage() for record in caplog.records if record.levelname == "ERROR")
    assert all(text in line for text in texts), line
    assert "eyJ" not in caplog.text


@pytest.mark.security("E3")
def test_an_encrypted_id_token_is_the_developers_affair(
    provider: Provider, sso: SSO, caplog: pytest.LogCaptureFixture
) -> None:
    provider.id_token_maker = lambda _: "e30.a.b.c.d"
    assert sso.browser.sign_in().status_code == 502
    assert "encrypted" in caplog.text


@pytest.mark.security("B4")
@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, {"error": "incorrect_client_credentials"}),
        Answer(200, {"errcode": 40125, "errmsg": "invalid appsecret"}),
        Answer(400, {"error": {"type": "OAuthException", "message": "Wrong client secret."}}),
        Answer(400, {"message": "Bad Request", "errors": [{"field": "client_secret"}]}),
    ],
)
def test_a_client_that_is_refused_in_other_words_is_the_developers_affair_too(
    provider: Provider, browser: Browser, caplog: pytest.LogCaptureFixture, answer: Answer
) -> None:
    provider.on("/token", answer)
    assert browser.sign_in().status_code == 502
    (line,) = (record.getMessage() for record in caplog.records if record.levelname == "ERROR")
    assert "'the-client'" in line
    assert "client_auth='client_secret_post'" in line


def test_basic_credentials_that_are_refused_name_the_other_method(provider: Provider) -> None:
    handler = make_client(provider, client_auth="client_secret_basic")
    provider.on("/token", Answer(401, {"error": "invalid_client"}))
    with pytest.raises(TokenError, match=r"client_secret_basic.*client_secret_post"):
        handler.get_token("a-code")


@pytest.mark.security("E2")
def test_a_nonce_is_left_out_only_where_that_is_said(provider: Provider, make_sso: MakeSSO) -> None:
    issue(provider, claims={"nonce": REMOVED})
    _, _, strict = make_sso()
    assert strict.sign_in().status_code == 400
    assert "nonce" in provider.authorizations[-1]
    _, _, browser = make_sso(handler={"nonce": False})
    assert browser.sign_in().status_code == 302
    assert "nonce" not in provider.authorizations[-1]
    assert "code_challenge" in provider.authorizations[-1]


def test_a_dictionary_is_json_in_every_request(provider: Provider, make_app: MakeApp) -> None:
    claims, details = {"userinfo": {"email": None}}, [{"type": "payment"}]
    params = {"claims": claims, "authorization_details": details}
    handler = make_handler(provider, authorize_params=params, token_params=params)
    browser = Browser(make_app(OAuth2Login(handler, authorize_params={"extra": claims})), provider)
    assert browser.sign_in().status_code == 302
    asked, (call,) = provider.authorizations[-1], provider.calls("/token")
    assert json.loads(asked["extra"]) == claims
    for sent in (asked, call.form):
        assert json.loads(sent["claims"]) == claims
        assert json.loads(sent["authorization_details"]) == details


def test_a_list_of_dictionaries_is_json_from_a_link_and_a_guard_too(
    provider: Provider, make_app: MakeApp
) -> None:
    app = make_app(OAuth2Login(make_handler(provider)))
    details = [{"type": "payment", "amount": 1}, {"type": "account"}]
    guard = login_required(authorize_params={"authorization_details": details})
    app.add_url_rule("/pay", "pay", guard(lambda: "paid"))
    app.add_url_rule("/link", "link", lambda: login_url(authorization_details=details))
    browser = Browser(app, provider)
    for link in (browser.get("/pay").location, browser.get("/link").text):
        sent = query_of(browser.begin(str(link)))["authorization_details"]
        assert json.loads(sent) == details
