"""`current_oauth_session`, `current_identity`, and views that use neither."""

from __future__ import annotations

import typing as t

from flask import Flask

from flask_oauth2_login import current_identity, current_oauth_session, login_url, logout_button

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


def test_a_plain_view_costs_no_cookie_and_no_vary(app: Flask) -> None:
    answer = app.test_client().get("/")
    assert "Vary" not in answer.headers
    assert "Set-Cookie" not in answer.headers
