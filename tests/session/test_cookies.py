"""Sealed cookies: their names, and what their length tells."""

from __future__ import annotations

import dataclasses
import secrets

import pytest
from flask import Flask

from flask_oauth2_login import OAuth2Login
from tests.conftest import MakeApp
from tests.support.assertions import is_signed_in
from tests.support.handlers import make_handler
from tests.support.provider import Browser, Provider


@pytest.fixture
def app(provider: Provider, make_app: MakeApp) -> Flask:
    return make_app(OAuth2Login(make_handler(provider)))


@pytest.mark.security("C2")
@pytest.mark.parametrize(
    ("one", "two"),
    [("a b", "a_b"), ("x", "x__logout"), ("ä", "å"), ("a_", "a"), ("a%5F_", "a__"), ("A", "a")],
)
def test_no_two_logins_share_a_cookie(
    provider: Provider, make_app: MakeApp, one: str, two: str
) -> None:
    logins = [OAuth2Login(make_handler(provider), name=name) for name in (one, two)]
    app = make_app()
    for number, login in enumerate(logins):
        app.register_blueprint(login, url_prefix=f"/{number}")
    app.add_url_rule("/both", view_func=lambda: [bool(login.identity) for login in logins])
    browser = Browser(app, provider)
    browser.sign_in("/0/login")
    browser.sign_in("/1/login")
    assert browser.get("/both").get_json() == [True, True]
    names = [cookie.name for cookie in browser.cookies]
    assert all(name.isascii() for name in names)
    # Nor is one named as what the other keeps while it signs out at its provider.
    assert f"oauth2_login_{one}__logout" not in names
    browser.post("/1/logout")
    assert browser.get("/1/logout?state=x").status_code == 200
    assert browser.get("/both").get_json() == [True, False]


def record_length(browser: Browser) -> int:
    cookie = browser.cookie("oauth2_login_oauth2")
    assert cookie is not None
    return len(cookie.value)


@pytest.mark.security("C11")
def test_the_length_of_a_cookie_does_not_tell_what_a_token_is(
    provider: Provider, make_app: MakeApp
) -> None:
    app = make_app(OAuth2Login(make_handler(provider, userinfo_url=None)))
    lengths = set()
    for token in ("A" * 800, secrets.token_urlsafe(600), "abcdefgh" * 100, "-_" * 400):
        provider.token_overrides = {"access_token": token, "refresh_token": token[::-1]}
        browser = Browser(app, provider)
        browser.sign_in()
        lengths.add(record_length(browser))
    assert len(lengths) == 1


@pytest.mark.security("C11")
def test_nothing_that_a_person_or_a_link_chooses_is_compressed_with_a_token(
    provider: Provider, make_app: MakeApp
) -> None:
    app = make_app(OAuth2Login(make_handler(provider), scope="read", claims=["nickname"]))
    token = secrets.token_urlsafe(48)
    provider.token_overrides = {"refresh_token": token}
    lengths = set()
    for guess in (token, secrets.token_urlsafe(48), secrets.token_urlsafe(48)):
        # A person's own word of the provider, and a link that a page made.
        person = {"sub": "ada", "name": guess, "nickname": guess}
        browser = Browser(app, provider)
        browser.sign_in(f"/login?login_hint={guess}", person=person)
        lengths.add(record_length(browser) // 8)
    # Deflate itself may make a few bytes more or less of another name.
    assert max(lengths) - min(lengths) <= 2


@pytest.mark.security("C2")
def test_no_spelling_of_a_cookie_but_its_own_counts(browser: Browser) -> None:
    browser.sign_in()
    (cookie,) = (cookie for cookie in browser.cookies if cookie.name == "oauth2_login_oauth2")
    value = cookie.value
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    others = {f"{value}=", f"{value}.", f"{value[:9]}.{value[9:]}", f"{value[:-1]}"}
    others |= {value[:-1] + last for last in alphabet if last != value[-1]}
    for other in others:
        browser.jar.put(dataclasses.replace(cookie, value=other))
        assert not is_signed_in(browser), other[-4:]
    browser.jar.put(cookie)
    assert is_signed_in(browser)
