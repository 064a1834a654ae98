"""Errors and the app's handlers; what a log line and a traceback may hold (SECURITY C1, C13)."""

from __future__ import annotations

import typing as t

import pytest
from flask import Blueprint
from flask import Flask
from werkzeug.exceptions import HTTPException

from flask_oauth2_login import ConfigurationError
from flask_oauth2_login import OAuth2Error
from flask_oauth2_login import OAuth2Login
from flask_oauth2_login import current_oauth_session
from flask_oauth2_login import login_required

from .conftest import MakeApp
from .provider import Browser
from .provider import Provider
from .test_part_a_authorization import make_handler

#: Handlers that an app has for its visitors' errors.
KINDS = [OAuth2Error, HTTPException, Exception]


def for_visitors(error: Exception) -> tuple[str, int]:
    return "For visitors.", getattr(error, "code", None) or 400


def make_site(make_app: MakeApp, provider: Provider) -> tuple[Flask, dict[str, t.Any]]:
    """An app whose views do what no provider allows, each where an error handler can stand."""
    login = OAuth2Login(make_handler(provider))
    outer, inner = Blueprint("outer", __name__), Blueprint("inner", __name__)

    @login_required
    def mistake() -> str:
        return current_oauth_session.get("https://elsewhere.example/").text

    site = make_app(login)
    site.add_url_rule("/mistake", "mistake", mistake)
    outer.add_url_rule("/outer", "mistake", mistake)
    inner.add_url_rule("/inner", "mistake", mistake)
    return site, {"": site, "outer": outer, "inner": inner}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", ["", "outer", "inner"])
def test_a_mistake_of_the_developer_is_no_visitors_error(
    make_app: MakeApp, provider: Provider, kind: type[Exception], where: str
) -> None:
    site, places = make_site(make_app, provider)
    places[where].register_error_handler(kind, for_visitors)
    places["outer"].register_blueprint(places["inner"])
    site.register_blueprint(places["outer"])
    browser = Browser(site, provider)
    browser.sign_in()
    for path in ("/mistake", "/outer", "/inner"):
        with pytest.raises(ConfigurationError, match="elsewhere"):
            browser.get(path)
    site.testing = False
    for path in ("/mistake", "/outer", "/inner"):
        assert browser.get(path).status_code == 500
    # Visitors' errors are still theirs to handle.
    if kind is OAuth2Error:
        provider.down()
        answer = browser.get("/call/x")
        assert answer.status_code == 503
        assert (answer.text == "For visitors.") == (where == "")


@pytest.mark.parametrize("where", ["", "outer", "inner"])
def test_an_app_may_handle_its_mistakes_by_their_own_class(
    make_app: MakeApp, provider: Provider, where: str
) -> None:
    site, places = make_site(make_app, provider)
    places["inner"].register_error_handler(OAuth2Error, for_visitors)
    places[where].register_error_handler(
        ConfigurationError, lambda error: (f"Mend it: {error}", 501)
    )
    places["outer"].register_blueprint(places["inner"])
    site.register_blueprint(places["outer"])
    browser = Browser(site, provider)
    browser.sign_in()
    answer = browser.get("/inner")
    assert answer.status_code == 501
    assert "api_origins" in answer.text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["app", "login"])
def test_a_mistake_in_a_view_of_ours_is_no_visitors_error(
    make_app: MakeApp, provider: Provider, kind: type[Exception], place: str
) -> None:
    handler = make_handler(provider)
    # A secret would go in the clear.
    handler.token_url = "http://provider.example/token"
    login = OAuth2Login(handler)
    if place == "login":
        login.register_error_handler(kind, for_visitors)
    site = make_app(login)
    if place == "app":
        site.register_error_handler(kind, for_visitors)
    browser = Browser(site, provider)
    with pytest.raises(ConfigurationError, match="token_url"):
        browser.sign_in()
    site.testing = False
    assert browser.sign_in().status_code == 500
    # A refusal is still the handler's.
    refused = browser.sign_in(state="wrong")
    assert refused.status_code == 400
    assert refused.text == "For visitors." or kind is not OAuth2Error


# -- logs


def test_c1_a_request_writes_no_line_of_its_own_into_a_log(
    make_app: MakeApp, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_app(OAuth2Login(make_handler(provider)))
    browser = Browser(site, provider)
    browser.sign_in()
    provider.down()
    assert browser.fetch("/call/x%0dWARNING%20forged%1b[2J%e2%80%a8").status_code == 503
    (line,) = [message for message in caplog.messages if "/call/x" in message]
    assert line.isprintable()
