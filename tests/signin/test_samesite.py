"""Responses that are held until a request of the same site brings the session's cookie."""

from __future__ import annotations

import dataclasses
import secrets
import time
import typing as t
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from flask_oauth2_login import OAuth2Login
from tests.conftest import MakeApp
from tests.support.apps import add_cart, keep_sessions_on_the_server, make_sessions_permanent
from tests.support.assertions import is_signed_in, query_of
from tests.support.clock import Clock
from tests.support.handlers import make_handler, make_openid_login
from tests.support.provider import Browser, Provider
from tests.support.provider.browser import next_step
from tests.support.visitors import keep_forever

HTTP, HTTPS = "http://localhost", "https://localhost"


@pytest.mark.security("A10")
@pytest.mark.parametrize("kind", ["Strict", "form_post"])
@pytest.mark.parametrize("on_the_server", [False, True])
def test_a_permanent_session_that_did_not_come_along_is_never_overwritten(
    provider: Provider, make_app: MakeApp, tmp_path: Path, kind: str, on_the_server: bool
) -> None:
    options = {"response_mode": "form_post"} if kind == "form_post" else {}
    samesite = "Strict" if kind == "Strict" else "Lax"
    login = OAuth2Login(make_handler(provider, **options))
    app = make_app(login, SESSION_COOKIE_SAMESITE=samesite)
    if on_the_server:
        keep_sessions_on_the_server(app, tmp_path)
    make_sessions_permanent(app)
    add_cart(app)
    browser = Browser(app, provider, base_url="https://localhost")
    browser.get("/cart/book")
    assert browser.sign_in().status_code == 302
    assert browser.get("/cart/pen").get_json() == ["book", "pen"]
    assert is_signed_in(browser)
    # Nor by what another site sends there of its own accord.
    answer = {"error": "access_denied", "state": "x"}
    if kind == "Strict":
        browser.get("/callback?error=access_denied&state=x", site="cross-site")
    else:
        browser.post("/callback", answer, site="cross-site")
        browser.post("/callback", {}, site="cross-site")
    assert browser.get("/cart/cup").get_json() == ["book", "pen", "cup"]
    assert is_signed_in(browser)


def go_home(browser: Browser, provider: Provider, url: str, **overrides: t.Any) -> TestResponse:
    """Take the provider's answer home, and do not go on from there."""
    answer = provider.answer(url, **overrides)
    if answer.mode == "form_post":
        return browser.post(
            answer.redirect_uri, answer.params, site="cross-site", origin=provider.url
        )
    return browser.get(answer.url, site="cross-site")


def go_on(browser: Browser, page: TestResponse) -> TestResponse:
    """Follow a page of the app that goes on by itself."""
    target, by_page = next_step(page)
    assert by_page, page.text
    return browser.get(str(target), site="same-origin")


@pytest.fixture(params=["Strict", "form_post"])
def strict_site(request: pytest.FixtureRequest, provider: Provider, make_app: MakeApp) -> Flask:
    """An app to which answers come without the session's cookie, for one reason or the other."""
    options = {"response_mode": "form_post"} if request.param == "form_post" else {}
    samesite = "Strict" if request.param == "Strict" else "Lax"
    login = OAuth2Login(make_handler(provider, **options))
    return make_app(login, SESSION_COOKIE_SAMESITE=samesite)


@pytest.mark.security("A3")
@pytest.mark.parametrize("base_url", [HTTP, HTTPS])
@pytest.mark.parametrize("order", [1, -1])
def test_tabs_that_come_home_across_sites_each_succeed_in_any_order(
    strict_site: Flask, provider: Provider, base_url: str, order: int
) -> None:
    browser = Browser(strict_site, provider, base_url=base_url)
    urls = [browser.begin(f"/login?next=/tab/{number}") for number in range(3)]
    pages = [go_home(browser, provider, url) for url in urls]
    answers = [go_on(browser, page).location for page in pages[::order]]
    assert answers == [f"/tab/{number}" for number in range(3)][::order]
    assert is_signed_in(browser)
    assert not [cookie.name for cookie in browser.cookies if "held" in cookie.name]


@pytest.mark.security("A3")
def test_another_sites_post_takes_nobodys_place(strict_site: Flask, provider: Provider) -> None:
    browser = Browser(strict_site, provider)
    page = go_home(browser, provider, browser.begin("/login?next=/mine"))
    for state in ("x", secrets.token_hex(16)):
        forged = {"code": "evil", "state": state}
        browser.post("/callback", forged, site="cross-site")
        browser.get(f"/callback?code=evil&state={state}", site="cross-site")
    assert go_on(browser, page).location == "/mine"


@pytest.mark.security("A3")
def test_another_sites_posts_leave_nothing_behind(strict_site: Flask) -> None:
    browser = Browser(strict_site)
    for _ in range(20):
        forged = {"code": secrets.token_urlsafe(1500), "state": secrets.token_hex(16)}
        browser.post("/callback", forged, site="cross-site")
        query = f"code={forged['code']}&state={forged['state']}"
        browser.get(f"/callback?{query}", site="cross-site")
    assert browser.cookies == []


@pytest.mark.security("A3")
def test_an_answer_is_held_for_a_minute_in_a_strict_cookie(
    strict_site: Flask, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Browser(strict_site, provider)
    url = browser.begin()
    state = query_of(url)["state"]
    page = go_home(browser, provider, url)
    (held,) = (cookie for cookie in browser.cookies if "held" in cookie.name)
    assert (held.samesite, held.httponly, held.max_age) == ("Strict", True, 60)
    assert held.path == "/callback"
    assert state not in held.name
    assert state not in page.text
    jar, now = browser.jar.copy(), time.time()
    monkeypatch.setattr(time, "time", lambda: now + 61)
    browser.jar.put(dataclasses.replace(held, expires_at=None))
    assert go_on(browser, page).status_code == 400
    monkeypatch.setattr(time, "time", lambda: now + 50)
    browser.jar = jar
    assert go_on(browser, page).status_code == 302


@pytest.mark.security("A1")
def test_who_is_signed_in_already_goes_on_where_a_held_answer_is_asked_for_again(
    strict_site: Flask, provider: Provider
) -> None:
    browser = Browser(strict_site, provider)
    page = go_home(browser, provider, browser.begin())
    target, _ = next_step(page)
    assert go_on(browser, page).status_code == 302
    again = go_on(browser, page)
    assert (again.status_code, again.location) == (302, "/")
    stranger = Browser(strict_site, provider)
    assert stranger.get(str(target), site="same-origin").status_code == 400
    assert len(provider.calls("/token")) == 1


@pytest.mark.security("A1", "A10")
def test_a_restored_tab_goes_on_where_its_strict_session_says_who_is_signed_in(
    provider: Provider, make_app: MakeApp
) -> None:
    app = make_app(OAuth2Login(make_handler(provider)), SESSION_COOKIE_SAMESITE="Strict")
    browser = Browser(app, provider)
    callback = provider.consent(browser.begin("/login?next=/me"))
    assert browser.follow(browser.get(callback, site="cross-site")).get_json()["id"] == "ada"
    restored = browser.get(callback, site="none")
    assert (restored.status_code, restored.location) == (302, "/me")
    assert browser.get(callback, site="cross-site").status_code == 400, "the session did not come"
    assert is_signed_in(browser)
    assert len(provider.calls("/token")) == 1


@pytest.mark.security("A3")
def test_a_form_comes_home_over_http_from_another_machine_too(
    provider: Provider, make_app: MakeApp
) -> None:
    login = OAuth2Login(make_handler(provider, response_mode="form_post"))
    browser = Browser(make_app(login), provider, base_url="http://intranet.example")
    assert browser.sign_in().status_code == 302
    assert is_signed_in(browser) or browser.get("/me").status_code == 200


@pytest.mark.security("A10")
def test_a_link_to_the_second_leg_does_nothing(provider: Provider, make_app: MakeApp) -> None:
    app = make_app(OAuth2Login(make_handler(provider)), SESSION_COOKIE_SAMESITE="Strict")
    make_sessions_permanent(app)
    add_cart(app)
    browser = Browser(app, provider)
    browser.get("/cart/book")
    page = go_home(browser, provider, browser.begin("/login?next=/mine"))
    target, _ = next_step(page)
    before = [(cookie.name, cookie.value) for cookie in browser.cookies]
    for path in (str(target), "/callback", f"/callback?waiting={'x' * 22}"):
        response = browser.get(path, site="cross-site")
        assert response.status_code == 400
        assert [(cookie.name, cookie.value) for cookie in browser.cookies] == before
    assert go_on(browser, page).location == "/mine"
    assert browser.get("/cart/pen").get_json() == ["book", "pen"]


@pytest.mark.security("A10")
def test_a_strict_session_is_never_overwritten(provider: Provider, make_app: MakeApp) -> None:
    app = make_app(OAuth2Login(make_handler(provider)), SESSION_COOKIE_SAMESITE="Strict")
    add_cart(app)
    browser = Browser(app, provider)
    browser.get("/cart/book")
    assert browser.sign_in().status_code == 302
    assert browser.get("/cart/pen").get_json() == ["book", "pen"]
    assert is_signed_in(browser)
    # A link from elsewhere to the second leg does nothing.
    assert browser.get("/callback", site="cross-site").status_code == 400


@pytest.fixture
def strict(provider: Provider, make_app: MakeApp) -> Browser:
    """A browser of an app whose session cookie does not come along with the callback."""
    return Browser(
        make_app(make_openid_login(provider), SESSION_COOKIE_SAMESITE="Strict"), provider
    )


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
