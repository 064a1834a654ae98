"""Pages: nobody else's, in no frame, with a button for each login."""

from __future__ import annotations

import typing as t

import pytest
from flask import Flask, Response, request

from flask_oauth2_login import (
    AuthorizationError,
    Identity,
    OAuth2Login,
    Token,
    current_identity,
    login_required,
    logout_button,
)
from tests.conftest import MakeApp
from tests.support.apps import make_sessions_permanent
from tests.support.handlers import make_handler
from tests.support.provider import Browser, Hold, Provider
from tests.support.visitors import SlowRequest


@pytest.mark.security("A9")
def test_an_answer_with_a_referrer_policy_of_its_own_is_private_too(
    app: Flask, browser: Browser
) -> None:
    own = {"Referrer-Policy": "origin"}
    login = t.cast(OAuth2Login, app.blueprints["oauth2"])

    @login.on_login
    def welcome(_identity: Identity, _token: Token) -> Response:
        return Response("Welcome!", headers=own)

    @app.errorhandler(AuthorizationError)
    def explain(_error: AuthorizationError) -> Response:
        return Response("No.", 400, headers=own)

    # Refused is whom nobody knows: who is signed in already is sent on.
    refused = browser.get("/callback?code=x&state=x")
    for response in (refused, browser.sign_in()):
        assert response.text in {"Welcome!", "No."}
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Referrer-Policy"] == "origin"


@pytest.mark.security("D1")
def test_an_answer_behind_a_guard_says_that_it_is_private(app: Flask, provider: Provider) -> None:
    @app.get("/said/<path:said>")
    @login_required
    def say(said: str) -> Response:
        return Response("", headers={"Cache-Control": said})

    browser = Browser(app, provider)
    browser.sign_in()
    assert browser.get("/me").headers["Cache-Control"] == "private"
    for said in ("public, max-age=60", "no-store", "private, max-age=60", "s-maxage=9"):
        assert browser.get(f"/said/{said}").headers["Cache-Control"] == said
    assert browser.get("/said/no-cache").cache_control.private
    assert "Cache-Control" not in browser.get("/").headers


@pytest.mark.security("D1")
def test_an_answer_that_depends_on_who_is_signed_in_varies_by_cookie(
    provider: Provider, make_app: MakeApp
) -> None:
    app = make_app(OAuth2Login(make_handler(provider)))

    @app.get("/greeting")
    def greet() -> Response:
        return Response(f"{current_identity.is_authenticated}", headers={"Vary": "Accept"})

    def greet_later(response: Response) -> Response:
        if request.path == "/later":
            response.set_data(f"{current_identity.is_authenticated}")
        return response

    # As one that was registered before the blueprint, it runs after ours.
    app.after_request_funcs[None].insert(0, greet_later)
    app.add_url_rule("/later", "later", lambda: "")
    browser = Browser(app, provider)
    for is_signed_in in (False, True):
        for path in ("/me", "/greeting", "/later"):
            answer = browser.fetch(path)
            assert "Cookie" in answer.vary, path
            assert len(answer.vary) == 1 + (path == "/greeting")
            assert path == "/me" or answer.text == str(is_signed_in)
        assert "Vary" not in browser.get("/").headers
        browser.sign_in()


@pytest.mark.security("D1")
def test_an_answer_whose_session_was_not_written_varies_by_cookie(
    provider: Provider, make_app: MakeApp
) -> None:
    app = make_app(OAuth2Login(make_handler(provider)))
    make_sessions_permanent(app)
    browser = Browser(app, provider)
    browser.sign_in()
    hold = Hold()
    provider.on("/api/hold", hold, times=1)
    slow = SlowRequest(browser, app, lambda visitor: visitor.fetch("/call/hold"))
    hold.wait()
    browser.sign_in(person={"sub": "bob"})
    hold.release()
    answer = slow.finish()
    assert "session=" not in str(answer.headers.getlist("Set-Cookie"))
    assert "Cookie" in answer.headers.get("Vary", "")
    assert answer.cache_control.private


def test_the_button_of_a_login_shows_where_somebody_is_signed_in_there(
    provider: Provider, make_app: MakeApp
) -> None:
    app = make_app(*(OAuth2Login(make_handler(provider), name=name) for name in ("one", "two")))
    app.add_url_rule("/menu", "menu", lambda: logout_button(name="one") + logout_button(name="two"))
    browser = Browser(app, provider)
    assert browser.get("/menu").text == ""
    browser.sign_in("/two/login")
    assert "/two/logout" in browser.get("/menu").text
    assert "/one/logout" not in browser.get("/menu").text


@pytest.mark.security("A9")
def test_answers_are_private_and_pages_cannot_be_framed(browser: Browser) -> None:
    url = browser.begin("/login")
    answers = [browser.get("/login"), browser.get("/callback"), browser.finish(url)]
    page = browser.get("/logout")
    for response in (*answers, page):
        assert response.headers["Cache-Control"] == "no-store"
    assert {response.headers["Referrer-Policy"] for response in answers} == {"no-referrer"}
    assert page.headers["Referrer-Policy"] == "same-origin"
    for response in (answers[1], page):
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
