"""Slow requests, whose login ends or is replaced while they run."""

from __future__ import annotations

import secrets
import threading
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flask import Flask, session

from flask_oauth2_login import (
    Identity,
    LoginRequired,
    OAuth2Login,
    ProviderError,
    current_oauth_session,
    login_required,
)
from tests.conftest import MakeApp
from tests.support.apps import keep_sessions_on_the_server, make_sessions_permanent
from tests.support.assertions import is_signed_in
from tests.support.clock import Clock
from tests.support.handlers import make_handler
from tests.support.provider import Browser, Hold, Provider
from tests.support.visitors import SlowRequest


@pytest.mark.security("C8")
@pytest.mark.parametrize("kind", ["cookie", "permanent", "Flask-Session"])
def test_a_slow_sign_out_ends_nobody_elses_login(
    app: Flask, browser: Browser, tmp_path: Path, kind: str
) -> None:
    if kind == "permanent":
        make_sessions_permanent(app)
    elif kind == "Flask-Session":
        keep_sessions_on_the_server(app, tmp_path)
    login = t.cast(OAuth2Login, app.blueprints["oauth2"])
    arrived, goes_on = threading.Event(), threading.Event()

    @login.on_logout
    def take_time(_identity: Identity) -> None:
        arrived.set()
        goes_on.wait(30)

    browser.sign_in()
    former = browser.jar.copy()
    slow = SlowRequest(browser, app, lambda visitor: visitor.post("/logout"))
    assert arrived.wait(30)
    browser.sign_in(person={"sub": "bob"})
    goes_on.set()
    assert slow.finish().status_code == 303
    assert (browser.get("/me").get_json() or {})["id"] == "bob"
    browser.jar = former
    assert not is_signed_in(browser)


@pytest.mark.security("C8")
def test_a_slow_request_at_another_machine_loses_nobody(
    provider: Provider, make_app: MakeApp, tmp_path: Path
) -> None:
    store, key = f"sqlite:///{tmp_path}/logins.db", secrets.token_hex()
    # Each has an instance folder of its own, and so knows of the other by the store alone.
    here, there = (
        make_app(OAuth2Login(make_handler(provider), store=store), SECRET_KEY=key) for _ in range(2)
    )
    for machine in (here, there):
        make_sessions_permanent(machine)
    browser = Browser(here, provider)
    browser.sign_in()
    hold = Hold()
    provider.on("/api/hold", hold, times=1)
    slow = SlowRequest(browser, there, lambda visitor: visitor.fetch("/call/hold"))
    hold.wait()
    browser.sign_in(person={"sub": "bob"})
    hold.release()
    slow.finish()
    assert (browser.get("/me").get_json() or {})["id"] == "bob"


@pytest.fixture(params=["cookie", "session", "sqlite"])
def site(
    request: pytest.FixtureRequest, provider: Provider, make_app: MakeApp, tmp_path: Path
) -> Flask:
    kind = request.param
    store = f"sqlite:///{tmp_path}/logins.db" if kind == "sqlite" else kind
    return make_app(OAuth2Login(make_handler(provider), store=store))


@pytest.mark.security("C8")
@pytest.mark.parametrize("ahead", [-30, -5, 5, 30])
@pytest.mark.parametrize("meanwhile", ["sign-out", "somebody else"])
def test_a_slow_request_on_a_machine_with_another_clock_loses_nobody(
    provider: Provider,
    make_app: MakeApp,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    meanwhile: str,
    ahead: int,
) -> None:
    def make_machine() -> Flask:
        login = OAuth2Login(make_handler(provider), store=f"sqlite:///{tmp_path}/logins.db")
        return make_app(login, SECRET_KEY="the same on both machines")

    here, there = make_machine(), make_machine()
    clock_of, wall = threading.local(), time.time
    monkeypatch.setattr(time, "time", lambda: wall() + getattr(clock_of, "ahead", 0))

    @there.get("/slow")
    @login_required
    def slow() -> str:
        login = t.cast(OAuth2Login, there.blueprints["oauth2"])
        login.session.get("hold")
        session["slow"] = True
        return "done"

    browser, slow_browser = Browser(here, provider), Browser(there, provider)
    # Long ago: Flask takes no session from the future.
    clock_of.ahead = -40
    assert browser.sign_in().status_code == 302
    clock_of.ahead = 0
    slow_browser.jar = browser.jar.copy()
    hold = Hold()
    provider.on("/api/hold", hold, times=1)

    def request_slowly() -> t.Any:
        clock_of.ahead = ahead
        return slow_browser.get("/slow")

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(request_slowly)
        hold.wait(5)
        if meanwhile == "sign-out":
            browser.post("/logout")
        else:
            browser.sign_in(person={"sub": "bob"})
        hold.release()
        assert not answer.result().headers.getlist("Set-Cookie")
    who = t.cast("dict[str, str]", browser.fetch("/me").get_json())
    assert who.get("id") == (None if meanwhile == "sign-out" else "bob")


@pytest.mark.parametrize("kind", ["cookie", "sqlite"])
def test_a_browser_that_never_got_the_answer_of_a_sign_out_has_a_session_again(
    provider: Provider,
    make_app: MakeApp,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kind: str,
) -> None:
    store = f"sqlite:///{tmp_path}/logins.db" if kind == "sqlite" else kind
    site = make_app(OAuth2Login(make_handler(provider), store=store))

    @site.get("/cart")
    def cart() -> str:
        session["cart"] = session.get("cart", 0) + 1
        return str(session["cart"])

    browser = Browser(site, provider)
    browser.sign_in()
    lost = browser.jar.copy()
    browser.post("/logout")
    browser.jar = lost
    clock = Clock(monkeypatch)
    clock.ahead += 61 if kind == "sqlite" else 0
    assert [browser.get("/cart").text for _ in range(2)] == ["1", "2"]
    assert browser.sign_in().status_code == 302
    assert is_signed_in(browser)


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
