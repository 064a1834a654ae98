"""Signing out: from our own pages only, completely, and without delay."""

from __future__ import annotations

import time
import typing as t

import pytest
from flask import Flask, session
from flask_wtf import CSRFProtect

from flask_oauth2_login import Identity, OAuth2Login, login_required, logout_button
from tests.conftest import SSO, MakeApp, MakeSSO
from tests.support.apps import EVE, accounts, make_sessions_permanent, own
from tests.support.assertions import is_signed_in
from tests.support.clock import Clock
from tests.support.handlers import make_handler
from tests.support.provider import HANG, Browser, Provider
from tests.support.visitors import Thief, set_clock, visits

#: Seconds that nobody may be kept waiting by a provider that hangs.
DELAY = 2


@pytest.mark.security("C8")
@pytest.mark.parametrize("lifetime", [2 * 24 * 3600, 7 * 24 * 3600])
def test_a_copy_of_cookies_that_were_signed_out_never_counts_again(
    app: Flask, browser: Browser, monkeypatch: pytest.MonkeyPatch, lifetime: int
) -> None:
    clock = set_clock(monkeypatch)
    app.config["PERMANENT_SESSION_LIFETIME"] = lifetime
    make_sessions_permanent(app)
    browser.sign_in()
    thief = Thief(app, browser)
    assert thief.get("/me") == 200
    browser.post("/logout")
    signed_out_at = clock.ahead
    for seconds in visits(lifetime):
        clock.ahead = signed_out_at + seconds
        assert thief.get("/") == 200  # which keeps his session fresh
        assert thief.get("/me") == 401


@pytest.mark.security("D3")
@pytest.mark.parametrize("every", ["", "1"])
def test_signing_out_ends_all_accounts_that_this_browser_linked(
    provider: Provider, sso: SSO, every: str
) -> None:
    app, login, browser = sso.app, sso.login, sso.browser
    login.on_login(own)
    browser.sign_in()
    browser.sign_in(browser.link_path(), person=EVE)
    assert sorted(map(str, accounts(app, login, "user-ada"))) == ["ada", "eve"]
    browser.post("/logout", {"every": every})
    assert accounts(app, login, "user-ada") == []
    assert len(provider.wait_for("/revoke", 4)) == 4
    assert not is_signed_in(browser)


@pytest.mark.security("D3")
@pytest.mark.parametrize("fresh", [True, False])
def test_metadata_that_hangs_delays_nobody(
    provider: Provider, make_sso: MakeSSO, clock: Clock, fresh: bool
) -> None:
    app, _, browser = make_sso()
    browser.sign_in()
    if fresh:
        # A worker that has just started, and has not read them yet.
        _, _, there = make_sso(config={"SECRET_KEY": app.config["SECRET_KEY"]})
        there.jar, browser = browser.jar, there
    else:
        clock.ahead = 25 * 3600
    assert is_signed_in(browser)
    provider.on("/.well-known/*", HANG)
    began = time.monotonic()
    assert browser.post("/logout").status_code < 400
    assert time.monotonic() - began < DELAY
    assert not is_signed_in(browser)


@pytest.mark.security("D3")
def test_many_logins_at_a_dead_provider_delay_nobody(provider: Provider, make_app: MakeApp) -> None:
    handler = make_handler(provider, revoke_url="revoke")
    names = [f"login-{number}" for number in range(6)]
    browser = Browser(make_app(*(OAuth2Login(handler, name=name) for name in names)), provider)
    for name in names:
        browser.sign_in(f"/{name}/login")
    provider.on("/revoke", HANG)
    began = time.monotonic()
    browser.post(f"/{names[0]}/logout", {"every": "1"})
    assert time.monotonic() - began < DELAY
    assert len(provider.wait_for("/revoke", len(names))) == len(names)
    assert not is_signed_in(browser)


@pytest.mark.security("D3")
def test_a_hook_that_fails_keeps_nobody_signed_in(
    make_sso: MakeSSO, caplog: pytest.LogCaptureFixture
) -> None:
    _, login, browser = make_sso("cookie")

    @login.on_logout
    def fail(_identity: Identity) -> None:
        raise RuntimeError("the app's own mistake")

    browser.sign_in()
    assert browser.post("/logout").status_code < 400
    assert not is_signed_in(browser)
    assert "the app's own mistake" in caplog.text


@pytest.mark.security("D3")
def test_a_page_on_an_international_host_can_sign_out(
    provider: Provider, make_sso: MakeSSO
) -> None:
    app, *_ = make_sso("cookie")
    app.add_url_rule("/form", "form", login_required(lambda: "sent"), methods=["POST"])
    # Plain http: no Sec-Fetch-Site, only an Origin.
    browser = Browser(app, provider, base_url="http://xn--bcher-kva.example")
    browser.sign_in()
    assert is_signed_in(browser)
    assert browser.post("/logout").status_code < 400
    assert not is_signed_in(browser)
    headers = {"Referer": f"{browser.origin}/form"}
    assert "next=/form" in browser.post("/form", headers=headers).text


@pytest.mark.security("D3")
@pytest.mark.parametrize(
    ("headers", "ends"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Origin": "http://localhost"}, True),
        ({"Origin": "http://localhost:1"}, False),
        ({"Origin": "https://localhost"}, False),
        ({"Origin": "http://app.localhost"}, False),
        ({"Origin": "null"}, False),
        ({}, False),
    ],
)
def test_only_a_post_of_our_own_signs_out(
    app: Flask, provider: Provider, headers: dict[str, str], ends: bool
) -> None:
    client = app.test_client()
    callback = provider.consent(client.get("/login").location)
    client.get(callback.partition("localhost")[2])
    client.post("/logout", headers=headers)
    assert (client.get("/me").status_code == 401) is ends


@pytest.mark.security("D3")
def test_a_token_in_the_form_does_where_nothing_else_tells(app: Flask, provider: Provider) -> None:
    client = app.test_client()
    client.get(provider.consent(client.get("/login").location).partition("localhost")[2])
    page = client.get("/logout").text
    assert client.get("/me").status_code == 200, "a GET asks"
    token = page.partition('name="token" value="')[2].partition('"')[0]
    assert client.post("/logout", data={"token": token + "x"}).status_code == 403
    assert client.post("/logout", data={"token": token}).status_code in {204, 303}
    assert client.get("/me").status_code == 401


@pytest.mark.security("D3")
def test_everything_of_the_login_is_gone(browser: Browser, provider: Provider, app: Flask) -> None:
    @app.get("/button")
    def button() -> str:
        session["left"] = "behind"
        return logout_button("Bye")

    browser.sign_in()
    assert "Bye" in browser.get("/button").text
    response = browser.post("/logout")
    assert response.location == "/logout"
    assert browser.cookies == []
    assert provider.calls("/revoke")
    assert browser.get("/button").text == ""
    assert browser.get("/logout").status_code == 200, "it does not sign straight in again"


@pytest.mark.security("D3")
def test_fetch_gets_no_content_and_next_is_checked(browser: Browser) -> None:
    browser.sign_in()
    assert browser.fetch("/logout", method="POST").status_code == 204
    browser.sign_in()
    assert browser.post("/logout", {"next": "/bye"}).location == "/bye"
    browser.sign_in()
    assert browser.post("/logout", {"next": "//evil.example"}).location == "/logout"


@pytest.mark.security("D3")
def test_signing_out_nobody_takes_nothing_from_a_visitor(app: Flask, browser: Browser) -> None:
    @app.get("/cart")
    def cart() -> list[str]:
        session["cart"] = [*session.get("cart", []), "book"]
        return t.cast("list[str]", session["cart"])

    browser.get("/cart")
    browser.post("/logout")
    assert browser.get("/cart").get_json() == ["book", "book"]


@pytest.mark.security("D3")
def test_a_dead_provider_delays_nobody(browser: Browser, provider: Provider) -> None:
    import time

    browser.sign_in()
    provider.on("/revoke", HANG)
    began = time.monotonic()
    assert browser.post("/logout").status_code == 303
    assert time.monotonic() - began < 2
    assert not is_signed_in(browser)


def test_the_forms_of_flask_wtf_do_not_disturb(provider: Provider, make_app: MakeApp) -> None:
    login = OAuth2Login(make_handler(provider, response_mode="form_post"))

    @login.post("/of-the-apps-own")
    def of_the_apps_own() -> str:
        return "done"

    app = make_app(login)
    CSRFProtect(app)
    browser = Browser(app, provider)
    assert browser.sign_in().status_code == 302
    assert browser.post("/of-the-apps-own").status_code == 400
    assert browser.post("/logout").status_code == 303
    assert browser.post("/of-the-apps-own").status_code == 400


def test_each_end_of_a_login_is_in_the_log(
    make_sso: MakeSSO, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "flask_oauth2_login")
    _, _, browser = make_sso()
    browser.sign_in()
    browser.sign_in(person={"sub": "eve"})
    browser.post("/logout")
    ends = [line for line in caplog.messages if "a login has ended" in line]
    assert [line.rpartition(" ")[2] for line in ends] == ["replaced.", "asked."]


@pytest.mark.security("D3")
def test_signing_out_clears_the_browsers_cache_of_pages(browser: Browser) -> None:
    browser.sign_in()
    assert "Clear-Site-Data" not in browser.get("/logout").headers
    assert browser.post("/logout").headers["Clear-Site-Data"] == '"cache"'
    assert "Clear-Site-Data" not in browser.post("/logout", site="cross-site").headers


@pytest.mark.security("D3")
def test_the_page_after_a_sign_out_clears_the_cache_of_the_page_that_was_left(
    browser: Browser,
) -> None:
    browser.sign_in()
    page = browser.get(browser.post("/logout").location)
    assert '<img src="/logout?clear=1"' in page.text
    image = browser.get("/logout?clear=1", site="same-origin", mode="no-cors", dest="image")
    assert (image.status_code, image.headers["Clear-Site-Data"]) == (204, '"cache"')
    for site in ("cross-site", "same-site", "none"):
        other = browser.get("/logout?clear=1", site=site, mode="no-cors", dest="image")
        assert "Clear-Site-Data" not in other.headers
