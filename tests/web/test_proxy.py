"""An app behind a proxy that ends TLS."""

from __future__ import annotations

import pytest
from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_oauth2_login import OAuth2Login
from tests.conftest import MakeApp
from tests.support.assertions import query_of
from tests.support.handlers import make_handler
from tests.support.provider import Provider

HTTPS_BEFORE = [
    {"X-Forwarded-Proto": "https"},
    {"X-Forwarded-Proto": "HTTPS, http"},
    {"X-Forwarded-Ssl": "on"},
    {"Forwarded": 'for=192.0.2.1;proto="https";host=app.example'},
]


@pytest.mark.parametrize("headers", HTTPS_BEFORE)
def test_a_proxy_that_the_app_does_not_read_is_warned_of_once(
    app: Flask, caplog: pytest.LogCaptureFixture, headers: dict[str, str]
) -> None:
    client = app.test_client()
    for _ in range(3):
        assert client.get("/login", headers=headers).status_code == 302
    assert caplog.text.count("ProxyFix(") == 1
    assert "says https, and the request says http" in caplog.text
    assert "http://localhost/callback" in caplog.text


def test_the_host_that_the_proxy_says_is_named(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    app.test_client().get("/login", headers={"X-Forwarded-Host": "app.example\x1b[1m"})
    assert "X-Forwarded-Host says 'app.example [1m', and the request says 'localhost'" in (
        caplog.text
    )


@pytest.mark.parametrize(
    "headers", [{}, {"X-Forwarded-Proto": "http"}, {"Forwarded": "for=x;proto=http, proto=https"}]
)
def test_nothing_is_said_where_nothing_is_wrong(
    app: Flask, caplog: pytest.LogCaptureFixture, headers: dict[str, str]
) -> None:
    app.test_client().get("/login", headers=headers)
    assert not caplog.records


def test_nothing_is_said_if_the_app_reads_the_headers(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1, x_host=1)  # type: ignore[method-assign]
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "app.example"}
    location = app.test_client().get("/login", headers=headers).location
    assert query_of(location)["redirect_uri"] == "https://app.example/callback"
    assert not caplog.records


def test_a_host_that_is_not_read_is_no_matter_where_the_redirect_uri_is_given(
    provider: Provider, make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    handler = make_handler(provider, redirect_uri="http://app.example/callback")
    client = make_app(OAuth2Login(handler)).test_client()
    client.get("/login", headers={"X-Forwarded-Host": "app.example"})
    assert not caplog.records
