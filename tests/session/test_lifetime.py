"""How long a login lasts."""

from __future__ import annotations

import datetime
import time
from pathlib import Path

import pytest
from flask import Flask, session

from flask_oauth2_login import OAuth2Login, logged_out
from tests.conftest import MakeApp, MakeSSO
from tests.support.apps import STORES
from tests.support.assertions import is_signed_in
from tests.support.clock import Clock
from tests.support.handlers import make_handler
from tests.support.provider import Browser, Provider


@pytest.mark.security("D1")
@STORES
@pytest.mark.parametrize("permanent", [False, True])
def test_a_login_in_use_outlives_a_short_lifetime(
    make_sso: MakeSSO, clock: Clock, store: str, permanent: bool
) -> None:
    config = {"PERMANENT_SESSION_LIFETIME": datetime.timedelta(minutes=30)}
    _, login, browser = make_sso(store, config)
    login.on_login(lambda *_: setattr(session, "permanent", permanent))
    browser.sign_in()
    for minute in range(5, 95, 5):
        clock.ahead = minute * 60
        assert is_signed_in(browser), f"after {minute} minutes"


@pytest.mark.security("D1")
@STORES
def test_a_short_idle_lifetime_is_over_though_the_session_lives(
    make_sso: MakeSSO, clock: Clock, caplog: pytest.LogCaptureFixture, store: str
) -> None:
    caplog.set_level("INFO", "flask_oauth2_login")
    config = {"PERMANENT_SESSION_LIFETIME": datetime.timedelta(minutes=30)}
    app, login, browser = make_sso(store, config)
    login.on_login(lambda *_: setattr(session, "permanent", True))
    app.add_url_rule("/poll", "poll", lambda: str(session.get("seen")))
    # At the beginning of an hour, lest a coarser clock than ours be right by chance.
    clock.ahead = beginning = 3600 - time.time() % 3600
    browser.sign_in()
    for minute in range(5, 45, 5):
        clock.ahead = beginning + minute * 60
        browser.fetch("/poll")
    assert browser.cookie("session") is not None
    for _ in range(3):
        assert not is_signed_in(browser)
    assert caplog.text.count("a login has ended. It was not used for") == 1


@pytest.mark.parametrize("kind", ["cookie", "session", "sqlite"])
def test_how_long_a_login_lasts(
    provider: Provider,
    make_app: MakeApp,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kind: str,
) -> None:
    where = f"sqlite:///{tmp_path}/logins.db" if kind == "sqlite" else kind
    provider.expires_in = None
    day = 24 * 3600
    site = make_app(
        OAuth2Login(make_handler(provider), store=where),
        PERMANENT_SESSION_LIFETIME=7 * day,
        OAUTH2_LOGIN_LIFETIME=30 * day,
    )
    browser, now = Browser(site, provider), time.time()
    browser.sign_in()
    for days in (5, 10, 15, 20, 25, 29):
        monkeypatch.setattr(time, "time", lambda days=days: now + days * day)
        assert is_signed_in(browser), f"in use after {days} days"
    monkeypatch.setattr(time, "time", lambda: now + 31 * day)
    assert not is_signed_in(browser)
    browser.sign_in()
    monkeypatch.setattr(time, "time", lambda: now + 39 * day)
    assert not is_signed_in(browser)


def test_a_login_lasts_as_long_as_a_session_that_becomes_permanent_later(
    app: Flask, browser: Browser
) -> None:
    @app.get("/remember-me")
    def remember_me() -> str:
        session.permanent = True
        return "for a month"

    browser.sign_in()
    assert {cookie.max_age for cookie in browser.cookies} == {None}
    browser.get("/remember-me")
    assert all(cookie.max_age or cookie.expires_at for cookie in browser.cookies)
    assert is_signed_in(browser)


@pytest.mark.security("C12", "D1")
@STORES
def test_a_login_whose_lifetime_is_over_ends_with_a_reason_and_is_revoked(
    provider: Provider,
    make_sso: MakeSSO,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    store: str,
) -> None:
    caplog.set_level("INFO", "flask_oauth2_login")
    app, _, browser = make_sso(store, {"OAUTH2_LOGIN_LIFETIME": 3600})
    ended = []
    logged_out.connect(lambda _, **given: ended.append(given["reason"]), app, weak=False)
    browser.sign_in()
    clock.ahead = 3700
    for _ in range(3):
        assert not is_signed_in(browser)
    assert caplog.text.count("a login has ended") == 1
    assert "expired" in caplog.text
    assert ended == ["expired"]
    assert {call.form["token_type_hint"] for call in provider.calls("/revoke")} == {
        "access_token",
        "refresh_token",
    }
