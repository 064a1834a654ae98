"""`current_oauth_session`, `current_identity`, and views that use neither."""

from __future__ import annotations

import typing as t

from flask import Flask, render_template_string

from flask_oauth2_login import current_identity, current_oauth_session, login_url, logout_button
from tests.support.provider import Browser

PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def test_proxies_where_nobody_is_signed_in(app: Flask) -> None:
    @app.get("/bare")
    def bare() -> t.Any:
        return current_oauth_session.get("x").json()

    with app.test_request_context():
        assert not current_identity
        assert login_url(next="/x", prompt="login") == "/login?next=/x&prompt=login"
        assert logout_button() == ""
    assert app.test_client().get("/bare", headers=PAGE).location == "/login?next=/bare"


def test_is_authenticated_says_whether_somebody_is_signed_in(app: Flask, browser: Browser) -> None:
    @app.get("/who")
    def who() -> str:
        words = "{{ current_identity.is_authenticated }}"
        return f"{current_identity.is_authenticated} {render_template_string(words)}"

    assert browser.get("/who").text == "False False"
    browser.sign_in()
    assert browser.get("/who").text == "True True"
    assert "is_authenticated" not in browser.get("/me").text
    browser.post("/logout")
    assert browser.get("/who").text == "False False"
    with app.test_request_context():
        assert not hasattr(current_identity, "name")


def test_a_plain_view_costs_no_cookie_and_no_vary(app: Flask) -> None:
    answer = app.test_client().get("/")
    assert "Vary" not in answer.headers
    assert "Set-Cookie" not in answer.headers
