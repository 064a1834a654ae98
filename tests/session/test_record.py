"""SECURITY part C: tokens at rest and in flight."""

from __future__ import annotations

import logging
import threading
import typing as t

import pytest
import requests
from flask import Flask, session

from flask_oauth2_login import (
    ConfigurationError,
    LoginRequired,
    OAuth2,
    OAuth2Login,
    OAuth2Session,
    ProviderError,
    current_oauth_session,
    login_required,
)
from tests.conftest import MakeApp, MakeProvider
from tests.support.assertions import is_signed_in
from tests.support.handlers import make_handler, make_session
from tests.support.provider import CUT_IN_HEADERS, REDIRECT, Answer, Browser, Hold, Provider

RECORD = "oauth2_login_oauth2"


# -- C1


@pytest.mark.security("C1")
@pytest.mark.parametrize("bearer_method", ["header", "query"])
def test_no_secret_reaches_a_log_or_an_exception(
    make_app: MakeApp, provider: Provider, caplog: pytest.LogCaptureFixture, bearer_method: str
) -> None:
    caplog.set_level(logging.DEBUG)
    app = make_app(OAuth2Login(make_handler(provider, bearer_method=bearer_method)))
    browser = Browser(app, provider)
    browser.sign_in()
    browser.fetch("/call/x")
    provider.grants.expire_access()
    browser.fetch("/call/x")
    provider.on("/api/*", CUT_IN_HEADERS)
    with pytest.raises(ValueError, match="line 1"):
        browser.fetch("/call/x")
    provider.off()
    provider.down()
    assert browser.fetch("/call/x").status_code == 503
    browser.sign_in(code="a-code-that-nobody-knows", provider=provider)
    form = provider.calls("/token")[0].form
    used = {str(call.access_token()) for call in provider.calls("/userinfo")}
    told = "\n".join(f"{record.getMessage()} {record.exc_text}" for record in caplog.records)
    sent = {form["code"], form["code_verifier"], form["client_secret"]}
    for secret in sent | used | {"a-code-that-nobody-knows"}:
        assert secret not in told
    assert "access_token=" not in told


@pytest.mark.security("C1")
def test_cookies_tell_nothing(browser: Browser, provider: Provider) -> None:
    browser.sign_in()
    token = provider.calls("/userinfo")[-1].access_token()
    assert token
    for cookie in browser.cookies:
        assert token not in cookie.value
        assert "Ada" not in cookie.value
        assert cookie.httponly


# -- C2


def changed(value: str) -> list[str]:
    return [
        "", "x", "." * 50, value[:-1], value[1:], value + "A", value[:20] + "A" + value[21:],
        value.swapcase(), value * 50, "é" * 20, "A" * 5000, "-_-_" * 30,
    ]  # fmt: skip


@pytest.mark.security("C2")
@pytest.mark.parametrize("number", range(12))
def test_a_changed_record_is_as_good_as_none(browser: Browser, number: int) -> None:
    import dataclasses

    browser.sign_in()
    cookie = browser.cookie(RECORD)
    assert cookie is not None
    browser.jar.put(dataclasses.replace(cookie, value=changed(cookie.value)[number]))
    assert browser.fetch("/me").status_code == 401


@pytest.mark.security("C2")
def test_another_apps_or_logins_record_opens_nothing(provider: Provider, make_app: MakeApp) -> None:
    import dataclasses

    one = OAuth2Login(make_handler(provider), name="one")
    two = OAuth2Login(make_handler(provider), name="two")
    browser = Browser(make_app(one, two), provider)
    browser.sign_in("/one/login")
    browser.sign_in("/two/login")
    cookie = browser.cookie("oauth2_login_one")
    assert cookie is not None
    browser.jar.put(dataclasses.replace(cookie, name="oauth2_login_two"))
    assert (browser.get("/me").get_json() or {})["provider"] == "one"


@pytest.mark.security("C2")
def test_the_record_counts_with_its_mark_only(app: Flask, provider: Provider) -> None:
    ada, bob = Browser(app, provider), Browser(app, provider)
    ada.sign_in()
    bob.sign_in(person={"sub": "bob"})
    record = ada.cookie(RECORD)
    assert record is not None
    bob.jar.put(record)
    assert not is_signed_in(bob)


@pytest.mark.security("C2")
def test_older_secrets_open_and_foreign_ones_do_not(app: Flask, browser: Browser) -> None:
    browser.sign_in()
    older, app.config["SECRET_KEY"] = app.config["SECRET_KEY"], "newer"
    assert not is_signed_in(browser)
    app.config["SECRET_KEY_FALLBACKS"] = [older]
    browser.sign_in()
    assert is_signed_in(browser)


# -- C3


@pytest.mark.security("C3")
@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "http://evil.example/",
        "//evil.example/x://",
        "https://evil.example\\@{host}/",
        "http://{host}@evil.example/",
        "http://127.0.0.1.evil.example/",
        "http://127.0.0.1:1/",
        "https://{host}/",
        "ftp://{host}/",
    ],
)
def test_the_token_goes_to_the_provider_only(provider: Provider, url: str) -> None:
    api = make_session(provider)
    before = len(provider.requests)
    with pytest.raises(ConfigurationError, match=r"api_origins|http_hosts"):
        api.get(url.replace("{host}", provider.url.partition("://")[2]))
    assert len(provider.requests) == before


@pytest.mark.security("C3")
def test_another_origin_can_be_allowed(provider: Provider, make_provider: MakeProvider) -> None:
    other = make_provider()
    api = make_session(provider, api_origins=[other.url])
    api.get(f"{other.url}/api/x")
    assert other.calls("/api/x")[0].access_token() is not None


@pytest.mark.security("C3")
@pytest.mark.parametrize("bearer_method", ["header", "query", "header:X-Token"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_elsewhere_does_not_take_the_token_along(
    provider: Provider, make_provider: MakeProvider, status: int, bearer_method: str
) -> None:
    other = make_provider()
    api = make_session(provider, bearer_method=bearer_method, headers={"X-Key": "key"})
    provider.on("/api/redirect", REDIRECT(f"{other.url}/elsewhere", status))
    api.get("redirect")
    (call,) = other.calls("/elsewhere")
    headers = {name.lower() for name in call.headers}
    assert headers.isdisjoint({"authorization", "x-token", "x-key", "cookie"})
    assert "access_token" not in call.query


@pytest.mark.security("C3")
def test_a_redirect_at_the_provider_is_signed_again(provider: Provider) -> None:
    api = make_session(provider)
    answer = api.get("redirect", params={"to": f"{provider.api_url}/x"})
    assert answer.json()["sub"] == "ada"


@pytest.mark.security("C3")
@pytest.mark.parametrize("bearer_method", ["header", "query", "header:X-Token"])
@pytest.mark.parametrize("hops", [1, 2])
def test_a_redirect_that_was_elsewhere_comes_back_without_the_token(
    provider: Provider, make_provider: MakeProvider, bearer_method: str, hops: int
) -> None:
    other = make_provider()
    api = make_session(provider, bearer_method=bearer_method, headers={"X-Key": "key"})
    provider.on("/api/redirect", REDIRECT(f"{other.url}/elsewhere"))
    other.on("/elsewhere", REDIRECT(f"{provider.api_url}/delete-everything"))
    if hops == 2:
        provider.on("/api/delete-everything", REDIRECT(f"{provider.api_url}/once-more"))
    api.get("redirect")
    for call in [*provider.calls("/api/delete-everything"), *provider.calls("/api/once-more")]:
        headers = {name.lower() for name in call.headers}
        assert headers.isdisjoint({"authorization", "x-token", "x-key"})
        assert "access_token" not in call.query
    assert len(provider.calls("/api/*")) == 1 + hops
    # The session itself goes on.
    api.get("x")
    (call,) = provider.calls("/api/x")
    sent = {name.lower() for name in call.headers} | set(call.query)
    assert sent & {"authorization", "x-token", "access_token"}


@pytest.mark.security("C3")
@pytest.mark.parametrize(
    "header", ["Host", "host", "X-Forwarded-Host", "Forwarded", "X-Original-URL", "X-Rewrite-URL"]
)
@pytest.mark.parametrize("where", ["request", "session", "prepared"])
def test_no_header_of_the_caller_leads_the_token_to_another_host(
    provider: Provider, header: str, where: str
) -> None:
    api = make_session(provider)
    named = {header: "evil.example"}
    if where == "session":
        api.headers.update(named)
    request = requests.Request("GET", f"{provider.api_url}/x")
    prepared = api.prepare_request(request)
    if where == "prepared":
        prepared.headers.update(named)
        api.send(prepared)
    else:
        api.get("x", headers=named if where == "request" else None)
    (call,) = provider.calls("/api/x")
    assert call.access_token()
    assert "evil.example" not in str(call.headers)
    # The developer's own handler may know of a gateway.
    api = make_session(provider, headers=named)
    api.get("gateway")
    (call,) = provider.calls("/api/gateway")
    assert "evil.example" in str(call.headers)


@pytest.mark.security("C3")
def test_nothing_replaces_the_token(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, tmp_path: t.Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login mallory password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    api = make_session(provider)
    host = provider.api_url.partition("://")[2]
    answers = [
        api.get("x"),
        api.get("x", headers={"Authorization": "Bearer other"}),
        api.get("x", auth=("mallory", "secret")),
        api.get(f"http://mallory:secret@{host}/x"),
    ]
    assert [answer.json()["sub"] for answer in answers] == ["ada"] * 4
    api.get("redirect", params={"to": f"{provider.api_url}/x"})
    assert all("Basic" not in str(call.headers) for call in provider.calls("/api/x"))


# -- C4


@pytest.mark.security("C4")
def test_a_record_too_large_for_a_cookie_names_the_stores(
    make_provider: MakeProvider, make_app: MakeApp
) -> None:
    provider = make_provider(access_token_size=6000)
    browser = Browser(make_app(OAuth2Login(make_handler(provider))), provider)
    with pytest.raises(ConfigurationError, match="sqlite:///"):
        browser.sign_in()
    assert not browser.jar.refused
    assert not is_signed_in(browser)


def test_a_typical_login_has_small_cookies(make_provider: MakeProvider, make_app: MakeApp) -> None:
    provider = make_provider(access_token_size=1200, refresh_token_size=64)
    browser = Browser(make_app(OAuth2Login(make_handler(provider))), provider)
    browser.sign_in()
    assert sum(len(f"{cookie.name}={cookie.value}") for cookie in browser.cookies) <= 1700


# -- C5


@pytest.mark.security("C5")
def test_every_call_carries_its_own_visitors_token(app: Flask, provider: Provider) -> None:
    wrong: list[t.Any] = []

    @app.get("/many")
    @login_required
    def many() -> list[str]:
        return [current_oauth_session.get("x").json()["sub"] for _ in range(100)]

    def visit(name: str) -> None:
        browser = Browser(app, provider)
        browser.sign_in(person={"sub": name})
        for _ in range(10):
            called = browser.get("/many").get_json()
            wrong.extend(sub for sub in t.cast("list[str]", called) if sub != name)

    visitors = [threading.Thread(target=visit, args=(f"visitor-{n}",)) for n in range(8)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert wrong == []
    assert len(provider.calls("/api/x")) == 8000


@pytest.mark.security("C5")
def test_no_cookie_of_an_api_reaches_another_visitor(app: Flask, provider: Provider) -> None:
    from tests.support.provider import Answer

    provider.on("/api/*", Answer(body={}, headers={"Set-Cookie": "whose=adas; Path=/"}))
    ada, bob = Browser(app, provider), Browser(app, provider)
    ada.sign_in()
    bob.sign_in(person={"sub": "bob"})
    ada.fetch("/call/x")
    bob.fetch("/call/y")
    assert "Cookie" not in provider.calls("/api/y")[0].headers


def test_an_api_call_opens_no_new_connection(
    app: Flask, browser: Browser, provider: Provider
) -> None:
    browser.sign_in()
    for _ in range(5):
        browser.fetch("/call/x")
    assert len({call.connection for call in provider.calls("/api/x")}) == 1


# -- C7


@pytest.mark.security("C7")
def test_a_token_that_the_api_rejects_is_renewed_once_and_the_call_sent_once_more(
    browser: Browser, provider: Provider
) -> None:
    browser.sign_in()
    provider.grants.expire_access()
    assert browser.fetch("/call/x").status_code == 200
    assert len(provider.calls("/token", grant_type="refresh_token")) == 1
    assert len(provider.calls("/api/x")) == 2


@pytest.mark.security("C7")
def test_there_is_no_loop(browser: Browser, provider: Provider) -> None:
    from tests.support.provider import Answer

    challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    provider.on("/api/x", Answer(status=401, body={}, headers=challenge))
    provider.on("/api/y", Answer(status=401, body={}))
    browser.sign_in()
    assert browser.fetch("/call/x").status_code == 401
    assert len(provider.calls("/api/x")) == 2
    assert browser.fetch("/call/y").status_code == 401
    assert len(provider.calls("/token", grant_type="refresh_token")) == 1


@pytest.mark.security("C7")
@pytest.mark.parametrize(("data", "times"), [(b"bytes", 2), ("generator", 1)])
def test_a_body_that_cannot_be_replayed_is_not_sent_again(
    app: Flask, browser: Browser, provider: Provider, data: t.Any, times: int
) -> None:
    @app.get("/send")
    @login_required
    def send() -> tuple[str, int]:
        body = (part for part in [b"a", b"b"]) if data == "generator" else data
        return "", current_oauth_session.post("x", data=body).status_code

    browser.sign_in()
    provider.grants.expire_access()
    assert browser.fetch("/send").status_code == (200 if times == 2 else 401)
    assert len(provider.calls("/api/x")) == times


# -- C8


@pytest.mark.security("C8")
@pytest.mark.parametrize("kind", ["cookie", "permanent", "Flask-Session"])
@pytest.mark.parametrize("meanwhile", ["sign-out", "somebody else", "renewal", "second login"])
def test_a_slow_request_brings_nobody_back_and_loses_nobody(
    provider: Provider, make_app: MakeApp, tmp_path: t.Any, kind: str, meanwhile: str
) -> None:
    one = OAuth2Login(make_handler(provider), name="one")
    two = OAuth2Login(make_handler(provider), name="two")
    app = make_app(one, two)
    if kind == "Flask-Session":
        from cachelib import FileSystemCache
        from flask_session import Session

        app.config |= {
            "SESSION_TYPE": "cachelib",
            "SESSION_CACHELIB": FileSystemCache(str(tmp_path / "sessions")),
        }
        Session(app)

    @app.before_request
    def last() -> None:
        session.permanent = kind == "permanent"

    @app.get("/slow")
    @login_required
    def slow() -> str:
        current_oauth_session.get("x")
        try:
            current_oauth_session.get("hold")
        except (ProviderError, LoginRequired):
            return "ended"
        session["slow"] = True
        return "done"

    browser = Browser(app, provider)
    browser.sign_in("/one/login")
    hold = Hold(handled=False)
    provider.on("/api/hold", hold, times=1)
    slow_browser = Browser(app, provider)
    slow_browser.jar = browser.jar.copy()
    answers: list[t.Any] = []
    request = threading.Thread(target=lambda: answers.append(slow_browser.get("/slow")))
    request.start()
    hold.wait()
    if meanwhile == "sign-out":
        browser.post("/one/logout")
    elif meanwhile == "somebody else":
        browser.sign_in("/one/login", person={"sub": "bob"})
    elif meanwhile == "renewal":
        provider.grants.expire_access()
        assert browser.fetch("/call/x").status_code == 200
    else:
        browser.sign_in("/two/login")
    hold.release()
    request.join()
    # The browser takes the slow answer's cookies too, for what they are.
    for line in answers[0].headers.getlist("Set-Cookie"):
        name, _, value = line.partition(";")[0].partition("=")
        for cookie in slow_browser.cookies:
            if cookie.name == name and cookie.value == value:
                browser.jar.put(cookie)
    who = browser.get("/me").get_json() if meanwhile != "sign-out" else None
    if meanwhile == "sign-out":
        assert browser.fetch("/me").status_code == 401
    elif meanwhile == "somebody else":
        assert (who or {})["id"] == "bob"
    elif meanwhile == "second login":
        assert (who or {})["provider"] == "two"
    else:
        spent = len(provider.calls("/token", grant_type="refresh_token"))
        assert browser.fetch("/call/x").status_code == 200
        assert len(provider.calls("/token", grant_type="refresh_token")) == spent


def test_a_session_of_the_handler_alone(provider: Provider) -> None:
    assert make_session(provider).get("x").json()["sub"] == "ada"
    assert isinstance(make_session(provider), OAuth2Session)
    assert isinstance(make_handler(provider), OAuth2)


@pytest.mark.security("C1")
@pytest.mark.parametrize("redirected", [False, True])
def test_an_answers_url_has_no_token_in_it(provider: Provider, redirected: bool) -> None:
    api = make_session(provider, bearer_method="query")
    if redirected:
        provider.on("/api/moved", Answer(status=302, headers={"Location": "/api/x?page=2"}))
    provider.on("/api/x", Answer(status=500))
    answer = api.get("moved" if redirected else "x?page=2")
    assert answer.url == f"{provider.url}/api/x?page=2"
    assert [len(call.query["access_token"]) > 0 for call in provider.calls("/api/x")] == [True]
    assert all("access_token" not in former.url for former in answer.history)
    with pytest.raises(requests.HTTPError) as caught:
        answer.raise_for_status()
    assert "access_token" not in str(caught.value)
