"""An app with this extension is tested by pytest-flask as any other app is."""

from __future__ import annotations

import pytest
from flask import Flask, url_for
from flask.testing import FlaskClient

# The fixtures that tests/conftest.py replaces, as the plugin has them.
from pytest_flask.plugin import (  # type: ignore[import-untyped]
    _configure_application as _configure_application,
)
from pytest_flask.plugin import _monkeypatch_response_class as _monkeypatch_response_class
from pytest_flask.plugin import _push_request_context as _push_request_context

from flask_oauth2_login import current_identity
from tests.support.provider import Browser, Provider


def test_the_request_context_around_a_test_is_nobodys(
    app: Flask, client: FlaskClient, browser: Browser
) -> None:
    assert url_for("oauth2.login") == "/login"
    assert not current_identity
    browser.sign_in()
    assert browser.get("/me").status_code == 200
    assert client.get("/me").status_code == 401
    assert not current_identity


def test_a_client_signs_in(client: FlaskClient, provider: Provider) -> None:
    location = client.get("/login").location
    assert location is not None
    assert client.get(provider.consent(location)).status_code == 302
    identity = client.get("/me").json
    assert identity is not None
    assert identity["id"] == "ada"


@pytest.mark.options(oauth2_login_default_next="/me")
def test_a_setting_of_a_mark_counts(client: FlaskClient, provider: Provider) -> None:
    location = client.get("/login").location
    assert location is not None
    assert client.get(provider.consent(location)).location == "/me"
