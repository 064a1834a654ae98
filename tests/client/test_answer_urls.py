"""URLs that a provider's answers complete, and that lead to no other host than its own."""

from __future__ import annotations

import logging
import typing as t

import pytest

from flask_oauth2_login import (
    AuthorizationError,
    ConfigurationError,
    OAuth2,
    OAuth2Login,
    ProviderError,
    Token,
)
from flask_oauth2_login.client.answer_urls import complete
from tests.conftest import MakeApp
from tests.support.assertions import is_signed_in
from tests.support.handlers import make_handler
from tests.support.provider import Answer, Browser, Provider

DOMAINS = ["provider.example"]


@pytest.mark.security("B2", "C3")
@pytest.mark.parametrize(
    ("url", "value", "completed"),
    [
        ("https://{token.x}/api", "eu.provider.example", "https://eu.provider.example/api"),
        ("https://{token.x}/api", "provider.example", "https://provider.example/api"),
        ("https://{token.x}.provider.example/api", "acme", "https://acme.provider.example/api"),
        ("{token.x}/api", "https://eu.provider.example/", "https://eu.provider.example/api"),
        ("{token.x}", "https://eu.provider.example/v1/", "https://eu.provider.example/v1"),
        ("https://a.example/u/{token.x}?f=1", "a b/../c", "https://a.example/u/a%20b%2F..%2Fc?f=1"),
        ("https://a.example/u/{token.x}", 7, "https://a.example/u/7"),
        ("https://a.example/u?id={token.x}", "a&b=c", "https://a.example/u?id=a%26b%3Dc"),
    ],
)
def test_a_url_is_completed(url: str, value: t.Any, completed: str) -> None:
    assert complete("api_url", url, {"token": {"x": value}}, DOMAINS) == completed


EVIL: list[t.Any] = [
    "evil.example", "provider.example.evil.example", "evilprovider.example", "a@provider.example",
    "evil.example/.provider.example", "evil.example#.provider.example", "provider.example:443",
    "evil.example\\.provider.example", "evil.example?.provider.example", ".provider.example",
    "a..provider.example", "a\n.provider.example", "https://provider.example", "", None, True, [],
    {"a": 1}, "127.0.0.1", "[::1]", "ä.provider.example", "%2e.provider.example", "x" * 600,
    "\N{KELVIN SIGN}.provider.example",
]  # fmt: skip


@pytest.mark.security("B2", "C3")
@pytest.mark.parametrize("value", EVIL)
def test_an_answer_leads_to_no_other_host(value: t.Any) -> None:
    for source, error in (("token", ProviderError), ("callback", AuthorizationError)):
        for url in (f"https://{{{source}.x}}/api", f"{{{source}.x}}/api"):
            given = value
            if url.startswith("{") and isinstance(value, str):
                given = f"https://{value}" if value != "https://provider.example" else "http://a"
            with pytest.raises(error) as told:
                complete("token_url", url, {source: {"x": given, "other": "a-secret"}}, DOMAINS)
            assert "a-secret" not in str(told.value)


@pytest.mark.security("B2", "C3")
@pytest.mark.parametrize("value", ["evil.example/", "a/b", "a@b", "a.", ".", "a:b", "a#", "a b"])
def test_a_label_stays_below_the_domain_that_the_url_names(value: str) -> None:
    with pytest.raises(ProviderError, match=r"leads to no host at shops\.example"):
        complete("api_url", "https://{token.x}.shops.example/", {"token": {"x": value}}, [])


@pytest.mark.parametrize("value", [".", "..", "a\nb", ""])
def test_a_part_of_a_path_is_one(value: str) -> None:
    with pytest.raises(ProviderError, match="does not fit the options"):
        complete("userinfo_url", "https://a.example/{token.x}/b", {"token": {"x": value}}, [])


@pytest.mark.security("B2", "C3")
@pytest.mark.parametrize(
    "options",
    [
        {"api_url": "https://{token.host}/api"},
        {"api_url": "https://{token.host}.com/api"},
        {"api_url": "https://a.{token.host}/api"},
        {"api_url": "{token.url}/api"},
        {"api_url": "https://a.example/{token.access_token}/"},
        {
            "userinfo_url": "https://{token.access_token}.a.example/",
            "answer_domains": ["a.example"],
        },
        {"token_url": "https://{token.host}.a.example/"},
        {"userinfo_url": "https://{userinfo.host}.a.example/"},
        {"revoke_url": "https://{callback.host}.a.example/"},
        {"authorization_url": "https://{callback.host}.a.example/"},
    ],
)
def test_a_url_that_an_answer_could_lead_anywhere_is_refused(options: dict[str, t.Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        OAuth2("c", "s", "https://a.example", **options)


@pytest.mark.security("B2", "C3")
@pytest.mark.parametrize(
    "rest", ["api/", ".evil.example/", "{token.more}/", "@evil.example", ":8443/", "\\a", "://a"]
)
def test_nothing_is_appended_to_a_host_that_an_answer_names(rest: str) -> None:
    with pytest.raises(ConfigurationError, match=r"write a slash after \{token\.x\}"):
        OAuth2("c", "s", "https://a.example", api_url=f"{{token.x}}{rest}", answer_domains=DOMAINS)


# -- over HTTP


def token_with(**members: t.Any) -> t.Callable[[t.Any], Answer]:
    return lambda _: Answer(body={"access_token": "at-1", "token_type": "Bearer", **members})


def test_who_somebody_is_can_be_asked_at_a_path_of_the_token(
    provider: Provider, make_app: MakeApp
) -> None:
    provider.on("/token", token_with(uid="u/1"))
    provider.on("/user/u%2F1", Answer(body={"id": "u-1", "org": {"id": 9}}))
    provider.on("/orgs/9/email", Answer(body={"email": "ada@example.com"}))
    handler = make_handler(
        provider, userinfo_url="user/{token.uid}", email_url="orgs/{userinfo.org.id}/email"
    )
    browser = Browser(make_app(OAuth2Login(handler)), provider)
    assert browser.sign_in().status_code == 302
    me = browser.fetch("/me").json or {}
    assert (me["id"], me["email"]) == ("u-1", "ada@example.com")


@pytest.mark.security("C1")
def test_a_token_in_a_path_reaches_no_log_and_no_error(
    provider: Provider, make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    provider.on("/token", token_with())
    provider.on("/infos/at-1", Answer(503), times=1)
    provider.on("/infos/at-1", Answer(302, headers={"Location": "/x/at-1"}), times=1)
    provider.on("/infos/at-1", Answer(body={"id": 1}))
    handler = make_handler(provider, userinfo_url="infos/{token.access_token}")
    browser = Browser(make_app(OAuth2Login(handler)), provider)
    assert [browser.sign_in().status_code for _ in range(3)] == [503, 502, 302]
    assert "/infos/…" in caplog.text
    assert "at-1" not in caplog.text


def test_the_answer_of_a_token_request_names_the_place_of_the_api(
    provider: Provider, make_app: MakeApp
) -> None:
    provider.on("/token", token_with(account=4711))
    provider.on("/userinfo", Answer(body={"id": 1}))
    provider.on("/api/*", Answer(body={}))
    handler = make_handler(provider, api_url=f"{provider.url}/api/{{token.account}}/")
    browser = Browser(make_app(OAuth2Login(handler)), provider)
    assert browser.sign_in().status_code == 302
    assert browser.fetch("/call/x").status_code == 200
    assert len(provider.calls("/api/4711/x")) == 1


@pytest.mark.security("C3")
def test_an_answer_with_another_host_costs_only_the_api(
    provider: Provider, make_app: MakeApp
) -> None:
    provider.on("/token", token_with(api="evil.example"))
    provider.on("/userinfo", Answer(body={"id": 1}))
    handler = make_handler(
        provider, api_url="https://{token.api}/", answer_domains=["provider.example"]
    )
    browser = Browser(make_app(OAuth2Login(handler)), provider)
    assert browser.sign_in().status_code == 302
    assert browser.fetch("/me").status_code == 200
    assert browser.fetch("/call/x").status_code == 502
    with pytest.raises(ProviderError, match=r"leads to no host at provider\.example"):
        handler.session({"access_token": "at-1", "api": "evil.example"})
    good = handler.session({"access_token": "at-1", "api": "eu.provider.example"})
    with pytest.raises(ConfigurationError, match="api_origins"):
        good.get("https://evil.example/")


def test_the_answer_of_userinfo_may_name_the_place_of_the_api(
    provider: Provider, make_app: MakeApp
) -> None:
    provider.on("/token", token_with())
    provider.on("/userinfo", Answer(body={"id": 1, "dc": "us7"}))
    provider.on("/api/*", Answer(body={}))
    handler = make_handler(provider, api_url=f"{provider.url}/api/{{userinfo.dc}}/")
    browser = Browser(make_app(OAuth2Login(handler)), provider)
    assert browser.sign_in().status_code == 302
    assert browser.fetch("/call/x").status_code == 200
    assert len(provider.calls("/api/us7/x")) == 1


def test_what_came_with_the_code_goes_into_token_requests_and_the_api(
    provider: Provider, make_app: MakeApp
) -> None:
    provider.on("/realms/r-1/token", token_with(refresh_token="rt-1"))
    provider.on("/userinfo", Answer(body={"id": 1}))
    provider.on("/api/*", Answer(body={}))
    handler = make_handler(
        provider,
        token_url="realms/{callback.realm}/token",
        token_params={"device_id": "{callback.device_id}", "state": "{callback.state}"},
        refresh_params={"device_id": "{callback.device_id}"},
        api_url=f"{provider.url}/api/{{callback.realm}}/",
    )
    browser = Browser(make_app(OAuth2Login(handler)), provider)
    assert browser.sign_in(realm="r-1", device_id="d-1").status_code == 302
    (call,) = provider.calls("/realms/r-1/token")
    assert call.form["device_id"] == "d-1"
    assert call.form["state"]
    assert browser.fetch("/call/x").status_code == 200
    assert len(provider.calls("/api/r-1/x")) == 1
    token = handler.get_token("code", answer={"realm": "r-1", "device_id": "d-1", "state": "s"})
    assert token is not None
    assert token["callback"] == {"realm": "r-1", "device_id": "d-1"}
    newer = handler.renew(token)
    assert newer is not None
    assert newer["callback"] == token["callback"]
    assert provider.calls("/realms/r-1/token", grant_type="refresh_token")[0].form["device_id"]


@pytest.mark.security("B2")
@pytest.mark.parametrize("answer", [{}, {"realm": ".."}, {"realm": "evil.example/x"}])
def test_what_the_visitor_changes_in_the_answer_sends_no_code_elsewhere(
    provider: Provider, make_app: MakeApp, answer: dict[str, t.Any]
) -> None:
    handler = make_handler(provider, token_url="https://{callback.realm}.provider.example/token")
    browser = Browser(make_app(OAuth2Login(handler)), provider)
    assert browser.sign_in(**answer).status_code == 400
    assert not is_signed_in(browser)


# -- who somebody is, by the token's response alone


def test_an_identity_may_be_in_the_token_response_alone(
    provider: Provider, make_app: MakeApp
) -> None:
    provider.on("/token", token_with(user={"id": 3, "name": "Ada", "email": "ada@example.com"}))
    paths = {"id": "token:user.id", "name": "token:user.name", "email": "token:user.email"}
    handler = make_handler(provider, userinfo_url=None, identity=paths)
    browser = Browser(make_app(OAuth2Login(handler)), provider)
    assert browser.sign_in().status_code == 302
    me = browser.fetch("/me").json or {}
    assert (me["id"], me["name"], me["email"]) == ("3", "Ada", "ada@example.com")
    provider.off()
    provider.on("/token", token_with(user={}))
    assert browser.sign_in().status_code == 502
    assert handler.fetch_identity(Token(access_token="a", user={"id": 0})) is not None
