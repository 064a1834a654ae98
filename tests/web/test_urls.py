"""The redirect URI: the same in both requests, whatever host a request names."""

from __future__ import annotations

import secrets
import typing as t
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Flask

from flask_oauth2_login import OAuth2Login
from tests.conftest import MakeApp
from tests.support.assertions import query_of
from tests.support.handlers import make_handler
from tests.support.provider import Browser, Provider


@pytest.mark.security("A7")
def test_the_redirect_uri_is_the_same_where_the_port_is_not(app: Flask, provider: Provider) -> None:
    client = app.test_client()
    begun = client.get("/login", base_url="http://localhost").location
    callback = urlsplit(provider.consent(begun))
    url = f"{callback.path}?{callback.query}"
    assert client.get(url, base_url="http://localhost:8080").status_code == 302
    (call,) = provider.calls("/token")
    assert call.form["redirect_uri"] == query_of(begun)["redirect_uri"]


@pytest.mark.security("A7")
def test_the_redirect_uri_has_the_blueprints_subdomain(provider: Provider, tmp_path: Path) -> None:
    app = Flask("the_app", instance_path=str(tmp_path), subdomain_matching=True)
    app.config |= {"SECRET_KEY": secrets.token_hex(), "SERVER_NAME": "app.example"}
    app.register_blueprint(OAuth2Login(make_handler(provider), subdomain="auth"))
    browser = Browser(app, provider, base_url="http://auth.app.example")
    url = browser.begin()
    assert query_of(url)["redirect_uri"] == "http://auth.app.example/callback"
    assert browser.finish(url).status_code == 302


@pytest.mark.security("A7")
def test_the_redirect_uri_is_the_same_in_both_requests(
    browser: Browser, provider: Provider
) -> None:
    url = browser.begin("/login")
    browser.finish(url)
    (call,) = provider.calls("/token")
    assert call.form["redirect_uri"] == query_of(url)["redirect_uri"] == "http://localhost/callback"


@pytest.mark.security("A7")
@pytest.mark.parametrize(
    ("config", "options", "expected"),
    [
        ({"SERVER_NAME": "app.example"}, {}, "http://app.example/callback"),
        (
            {"SERVER_NAME": "app.example", "PREFERRED_URL_SCHEME": "https"},
            {},
            "https://app.example/callback",
        ),
        ({}, {"redirect_uri": "https://app.example/cb"}, "https://app.example/cb"),
        ({"TRUSTED_HOSTS": ["app.example"]}, {}, None),
    ],
)
def test_a_forged_host_does_not_change_it(
    provider: Provider, make_app: MakeApp, config: t.Any, options: t.Any, expected: str | None
) -> None:
    app = make_app(OAuth2Login(make_handler(provider, **options)), **config)
    response = app.test_client().get("/login", headers={"Host": "evil.example"})
    if expected is None:
        assert response.status_code == 400
    else:
        assert query_of(response.location)["redirect_uri"] == expected
