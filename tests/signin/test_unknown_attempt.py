"""Responses that belong to no attempt: what the log and the visitor are told, and where they go."""

from __future__ import annotations

import dataclasses
import re
import secrets
import typing as t

import pytest
from flask import Flask

from flask_oauth2_login import OAuth2Login
from tests.conftest import MakeApp
from tests.support.assertions import assert_rejected, is_signed_in, query_of
from tests.support.clock import Clock
from tests.support.handlers import make_handler
from tests.support.provider import REMOVED, Browser, Provider
from tests.support.visitors import keep_forever

#: What Keycloak sends where somebody has signed in in another tab meanwhile.
EXPIRED: dict[str, t.Any] = {
    "code": REMOVED,
    "error": "temporarily_unavailable",
    "error_description": "authentication_expired",
}


def again_url(page: str) -> str:
    found = re.search('href="([^"]*)">Try again', page)
    assert found is not None, page
    return found[1]


@pytest.mark.security("A1")
def test_the_log_says_that_a_cookie_came_which_does_not_open(
    app: Flask, browser: Browser, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    url = browser.begin()
    app.config["SECRET_KEY"] = secrets.token_hex()
    assert_rejected(browser, provider, browser.finish(url))
    assert "a cookie of its state came, and does not open" in caplog.text
    assert "SECRET_KEY" in caplog.text


@pytest.mark.security("A1")
def test_the_log_says_that_no_cookie_came(
    app: Flask, browser: Browser, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = Browser(app, provider)
    assert_rejected(stranger, provider, stranger.finish(browser.begin()))
    assert "no cookie of its state came to 'localhost'" in caplog.text
    assert "SECRET_KEY" not in caplog.text


def test_the_log_names_both_hosts_if_the_redirect_uri_is_at_another_one(
    provider: Provider, make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    handler = make_handler(provider, redirect_uri="http://localhost/callback")
    app = make_app(OAuth2Login(handler))
    browser = Browser(app, provider, base_url="http://127.0.0.1:5000")
    callback = provider.consent(browser.begin())
    browser.origin = browser.base_url = "http://localhost"
    assert_rejected(browser, provider, browser.get(callback, site="cross-site"))
    assert "'127.0.0.1:5000'" in caplog.text
    assert "'localhost'" in caplog.text


def test_the_log_says_that_a_sign_in_was_begun_on_http(
    app: Flask, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    browser = Browser(app, provider)
    state = query_of(browser.begin())["state"]
    browser.origin = browser.base_url = "https://localhost"
    assert browser.get(f"/callback?code=x&state={state}", site="cross-site").status_code == 400
    assert "its cookie was set on http" in caplog.text


@pytest.mark.security("A1")
def test_the_log_says_that_it_was_used_before(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    url = browser.begin()
    copy = browser.jar.copy()
    browser.finish(url)
    browser.jar = copy
    assert "This answer was used before." in browser.finish(url).text
    assert "its state has been used already" in caplog.text


@pytest.mark.security("A1")
@pytest.mark.parametrize("is_kept", [True, False])
def test_a_page_left_open_overnight_still_leads_to_next(
    browser: Browser,
    provider: Provider,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    is_kept: bool,
) -> None:
    url = browser.begin("/login?next=/me")
    if is_kept:
        keep_forever(browser)
    clock.ahead = 9 * 3600
    page = browser.finish(url)
    assert_rejected(browser, provider, page)
    if is_kept:
        assert "its cookie is 3240" in caplog.text
    assert again_url(page.text) == "/login?next=/me"
    browser.sign_in(again_url(page.text))
    late = browser.finish(url)
    assert (late.status_code, late.location) == (302, "/me")
    assert len(provider.calls("/token")) == 1


@pytest.mark.security("A1", "A3")
def test_tabs_that_come_back_after_one_has_signed_in_go_on_to_their_pages(
    browser: Browser, provider: Provider, clock: Clock
) -> None:
    urls = [browser.begin(f"/login?next=/tab/{number}") for number in range(20)]
    clock.ahead = 3600
    assert browser.finish(urls[-1]).status_code == 400
    assert browser.sign_in("/login?next=/me").location == "/me"
    found = [browser.finish(url).location for url in urls]
    assert found[-12:] == [f"/tab/{number}" for number in range(8, 20)]
    assert set(found[:-12]) <= {"/", *(f"/tab/{number}" for number in range(8))}
    assert len(provider.calls("/token")) == 1


@pytest.mark.security("A8", "A13")
@pytest.mark.parametrize("page", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_no_other_host_is_remembered(browser: Browser, clock: Clock, page: str) -> None:
    url = browser.begin(f"/login?next={page}")
    clock.ahead = 700
    assert again_url(browser.finish(url).text) == "/login"


@pytest.mark.security("A3")
@pytest.mark.parametrize("base_url", ["http://localhost", "https://localhost"])
def test_attempts_and_their_pages_have_one_bound(
    app: Flask, provider: Provider, base_url: str
) -> None:
    browser = Browser(app, provider, base_url=base_url)
    url = ""
    for size in (10, 150, 190, 195, 199, 199, 199, 199, 199, 700, 30, 60):
        url = browser.begin(f"/login?next=/{secrets.token_hex(size)[:size]}")
        sent = browser.jar.header(
            browser.origin + "/callback", "same-origin", safe=True, top_level=True
        )
        assert len(sent) <= 3000
    assert browser.finish(url).status_code == 302


@pytest.mark.security("A1")
def test_who_is_signed_in_goes_on_where_the_providers_page_has_expired(
    browser: Browser, provider: Provider
) -> None:
    first, second = browser.begin("/login?next=/one"), browser.begin("/login?next=/two")
    assert browser.finish(first).location == "/one"
    response = browser.finish(second, **EXPIRED)
    assert (response.status_code, response.location) == (302, "/two")
    assert len(provider.calls("/token")) == 1


def test_an_expired_page_signs_nobody_in(browser: Browser) -> None:
    page = browser.finish(browser.begin("/login?next=/one"), **EXPIRED)
    assert page.status_code == 400
    assert again_url(page.text) == "/login?next=/one"
    assert not is_signed_in(browser)


def test_an_expired_page_fulfils_no_demand(browser: Browser) -> None:
    browser.sign_in()
    url = browser.begin("/login?next=/one&prompt=login")
    assert browser.finish(url, **EXPIRED).status_code == 400


@pytest.mark.security("C2")
def test_remembered_pages_of_another_app_are_as_good_as_none(
    browser: Browser, app: Flask, provider: Provider, clock: Clock
) -> None:
    url = browser.begin("/login?next=/me")
    (cookie,) = (each for each in browser.cookies if each.name.endswith("__next"))
    browser.jar.put(dataclasses.replace(cookie, value=cookie.value[:-2] + "xx"))
    clock.ahead = 700
    assert again_url(browser.finish(url).text) == "/login"
