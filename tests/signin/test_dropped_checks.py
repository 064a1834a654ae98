"""Checks that the rest of the tests would not miss, because the browser or another check helps out.

A thief's cookies do not expire, and a check that stands behind another one is tried by itself.
"""

from __future__ import annotations

import dataclasses
import typing as t
from pathlib import Path

import pytest
from flask import session

from flask_oauth2_login import Identity, OAuth2Login, OpenIDConnect, Token
from tests.conftest import MakeApp
from tests.support.apps import add_cart
from tests.support.assertions import is_signed_in
from tests.support.clock import Clock
from tests.support.provider import Browser, Provider
from tests.support.provider.browser import next_step


def make_login(provider: Provider, name: str = "sso", **options: t.Any) -> OAuth2Login:
    sso = OpenIDConnect(provider.client_id, provider.client_secret, provider.issuer)
    return OAuth2Login(sso, name=name, scope="email", **options)


def keep_forever(browser: Browser) -> None:
    """Send the cookies from now on, whatever was said of their end, as a program does."""
    for cookie in browser.cookies:
        browser.jar.put(dataclasses.replace(cookie, expires_at=None))


# -- ten minutes of `state`


@pytest.mark.security("A1")
@pytest.mark.parametrize(("seconds", "counts"), [(590, True), (610, False)])
def test_an_attempts_cookie_counts_for_ten_minutes_however_long_it_is_kept(
    provider: Provider,
    make_app: MakeApp,
    monkeypatch: pytest.MonkeyPatch,
    seconds: int,
    counts: bool,
) -> None:
    browser = Browser(make_app(make_login(provider)), provider)
    clock = Clock(monkeypatch)
    authorize_url = browser.begin()
    keep_forever(browser)
    clock.ahead = seconds
    assert browser.finish(authorize_url).status_code == (302 if counts else 400)
    assert is_signed_in(browser) is counts
    assert bool(provider.calls("/token")) is counts


# -- an answer that waits on its way home


@pytest.fixture
def strict(provider: Provider, make_app: MakeApp) -> Browser:
    """A browser of an app whose session cookie does not come along with the callback."""
    return Browser(make_app(make_login(provider), SESSION_COOKIE_SAMESITE="Strict"), provider)


def come_home(browser: Browser, provider: Provider) -> str:
    """Bring the provider's answer to the app, as far as the page that goes on by itself.

    :returns: where the page goes.
    """
    answer = provider.answer(browser.begin())
    target, by_page = next_step(browser.get(answer.url, site="cross-site"))
    assert by_page
    assert target is not None
    return target


@pytest.mark.security("A10")
@pytest.mark.parametrize(("seconds", "counts"), [(50, True), (70, False)])
def test_an_answer_waits_for_a_minute_however_long_it_is_kept(
    strict: Browser,
    provider: Provider,
    monkeypatch: pytest.MonkeyPatch,
    seconds: int,
    counts: bool,
) -> None:
    clock = Clock(monkeypatch)
    target = come_home(strict, provider)
    keep_forever(strict)
    clock.ahead = seconds
    assert strict.get(target, site="same-origin").status_code == (302 if counts else 400)
    assert is_signed_in(strict) is counts
    assert bool(provider.calls("/token")) is counts


@pytest.mark.security("A10")
def test_no_other_site_can_have_a_waiting_answer_used(strict: Browser, provider: Provider) -> None:
    authorize_url = strict.begin()
    before = {cookie.name for cookie in strict.cookies}
    answer = provider.answer(authorize_url)
    target, _ = next_step(strict.get(answer.url, site="cross-site"))
    assert target is not None
    waiting = [cookie for cookie in strict.cookies if cookie.name not in before]
    assert [(cookie.samesite, cookie.max_age) for cookie in waiting] == [("Strict", 60)]
    assert strict.get(target, site="cross-site").status_code == 400
    assert not provider.calls("/token")
    assert strict.get(target, site="same-origin").status_code == 302
    assert is_signed_in(strict)


# -- another owner


@pytest.mark.security("A10")
def test_another_owner_at_another_login_finds_nothing_of_the_one_before(
    provider: Provider, make_app: MakeApp
) -> None:
    one, two = (make_login(provider, name) for name in ("one", "two"))
    app = make_app(one, two)
    add_cart(app)
    for login in (one, two):

        @login.on_login
        def name_owner(identity: Identity, _token: Token) -> None:
            identity.owner = str(identity.email)
            session["welcome"] = identity.owner

    browser = Browser(app, provider)
    browser.sign_in("/one/login")
    browser.get("/cart/book")
    browser.sign_in("/two/login")
    assert browser.get("/cart/pen").get_json() == ["book", "pen"], "it is the same owner"
    browser.sign_in("/two/login", person={"email": "eve@example.com"})
    assert browser.get("/cart/hat").get_json() == ["hat"]


@pytest.mark.security("A10")
def test_an_account_that_went_to_another_owner_finds_nothing_of_the_one_before(
    provider: Provider, make_app: MakeApp
) -> None:
    login, owners = make_login(provider), iter(["first", "second"])
    app = make_app(login)
    add_cart(app)

    @login.on_login
    def name_owner(identity: Identity, _token: Token) -> None:
        identity.owner = session["welcome"] = next(owners)

    @app.get("/welcome")
    def welcome() -> str:
        return str(session["welcome"])

    browser = Browser(app, provider)
    browser.sign_in()
    browser.get("/cart/book")
    browser.sign_in()
    assert browser.get("/cart/hat").get_json() == ["hat"]
    assert browser.get("/welcome").text == "second", "what the hook has written is the new owner's"


# -- a logout token that names a session and a person


@pytest.mark.security("D4")
@pytest.mark.parametrize(("sub", "ends"), [("ada", True), ("bob", False)])
def test_a_logout_token_ends_a_session_of_its_own_person_only(
    provider: Provider, make_app: MakeApp, tmp_path: Path, sub: str, ends: bool
) -> None:
    app = make_app(make_login(provider, store=f"sqlite:///{tmp_path}/logins.db"))
    browser = Browser(app, provider)
    browser.sign_in()
    # Its `sid` is that of ada's session.
    token = provider.logout_token({"sub": sub})
    app.test_client().post("/backchannel-logout", data={"logout_token": token})
    assert is_signed_in(browser) is not ends
