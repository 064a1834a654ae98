"""Records that are too large for one cookie."""

from __future__ import annotations

import secrets
import typing as t

import pytest
from flask import session

from flask_oauth2_login import OAuth2Login
from tests.conftest import MakeApp
from tests.support.assertions import is_signed_in
from tests.support.clock import Clock
from tests.support.handlers import make_handler
from tests.support.provider import Browser, Provider

HTTPS = "https://app.example"


@pytest.fixture
def browser(provider: Provider, make_app: MakeApp) -> Browser:
    login = OAuth2Login(make_handler(provider), claims=["groups"])
    return Browser(make_app(login), provider, base_url=HTTPS)


def person(groups: int) -> dict[str, t.Any]:
    """Somebody with groups whose names don't compress."""
    return {"sub": "ada", "groups": [secrets.token_urlsafe(60) for _ in range(groups)]}


def parts(browser: Browser) -> list[str]:
    return sorted(c.name for c in browser.cookies if "__part" in c.name)


@pytest.mark.security("C4")
def test_a_record_is_split_over_cookies(browser: Browser, provider: Provider) -> None:
    somebody = person(50)
    assert browser.sign_in(person=somebody).status_code == 302
    assert parts(browser) == ["oauth2_login_oauth2__part1"]
    assert not browser.jar.refused
    assert (browser.get("/me").get_json() or {})["claims"]["groups"] == somebody["groups"]
    assert browser.fetch("/call/x").status_code == 200


@pytest.mark.security("C4")
def test_signing_out_removes_all_parts(browser: Browser) -> None:
    browser.sign_in(person=person(50))
    browser.post("/logout")
    assert not [c.name for c in browser.cookies if c.name.startswith("oauth2_login_")]


@pytest.mark.security("C4")
def test_a_shorter_record_removes_the_parts_of_a_longer_one(browser: Browser) -> None:
    browser.sign_in(person=person(50))
    browser.sign_in(person=person(1))
    assert not parts(browser)
    assert is_signed_in(browser)


@pytest.mark.security("C4", "C6")
def test_a_split_record_is_renewed(browser: Browser, provider: Provider, clock: Clock) -> None:
    browser.sign_in(person=person(50))
    clock.ahead = 3700
    assert browser.fetch("/call/x").status_code == 200
    assert len(provider.calls("/token", grant_type="refresh_token")) == 1
    assert is_signed_in(browser)


@pytest.mark.security("C2")
def test_a_missing_part_is_as_good_as_no_record(browser: Browser) -> None:
    browser.sign_in(person=person(50))
    (name,) = parts(browser)
    for cookie in browser.cookies:
        if cookie.name == name:
            browser.jar.put(type(cookie)(**{**vars(cookie), "value": "x"}))
    assert not is_signed_in(browser)


@pytest.mark.security("C4")
def test_what_is_too_large_is_a_page_of_ours_and_a_line_in_the_log(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    browser.sign_in()
    page = browser.sign_in(person=person(200))
    assert page.status_code == 502
    assert "<h1>" in page.text
    assert "too large for cookies" in caplog.text
    assert "sqlite:///" in caplog.text
    assert is_signed_in(browser), "whoever was signed in still is"


@pytest.mark.security("C4", "A3")
def test_all_cookies_together_have_a_bound(browser: Browser) -> None:
    url = ""
    for groups in (*range(30, 90, 5), 50):
        if browser.sign_in(person=person(groups)).status_code == 302:
            for _ in range(10):
                url = browser.begin(f"/login?next=/{secrets.token_hex(90)}")
            header = browser.jar.header(
                HTTPS + "/callback", "same-origin", safe=True, top_level=True
            )
            assert len(header) < 8190 - len("Cookie: ")
            assert browser.finish(url, person=person(50)).status_code == 302


@pytest.mark.security("C4")
@pytest.mark.parametrize(("first", "second", "content"), [(40, 40, 0), (40, 30, 2500), (55, 30, 0)])
def test_the_records_of_two_logins_and_the_session_have_one_bound(
    provider: Provider, make_app: MakeApp, first: int, second: int, content: int
) -> None:
    handlers = make_handler(provider), make_handler(provider)
    one, two = (
        OAuth2Login(handler, name=name, claims=["groups"])
        for name, handler in zip(("one", "two"), handlers, strict=True)
    )
    app = make_app(one, two)

    @app.get("/cart")
    def cart() -> str:
        session["cart"] = secrets.token_hex(content)[:content]
        return "Filled."

    browser = Browser(app, provider, base_url=HTTPS)
    browser.get("/cart")
    assert browser.sign_in("/one/login", person=person(first)).status_code == 302
    page = browser.sign_in("/two/login", person=person(second))
    assert page.status_code == 502
    assert "<h1>" in page.text
    assert is_signed_in(browser), "whoever was signed in still is"
    for _ in range(8):
        browser.begin("/one/login")
    header = browser.jar.header(HTTPS + "/", "same-origin", safe=True, top_level=True)
    assert len(header) < 8190 - len("Cookie: ")
    # Somebody else takes the room of whoever was there before.
    eve = {**person(first), "sub": "eve"}
    assert browser.sign_in("/one/login", person=eve).status_code == 302
