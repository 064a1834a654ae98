"""Apps below a path, behind a proxy, on subdomains and on several hosts."""

from __future__ import annotations

import typing as t
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_oauth2_login import ConfigurationError, OAuth2Login, current_identity, login_required
from tests.support.handlers import make_handler
from tests.support.provider import Provider


def redirect_uri_of(location: str | None) -> str:
    assert location is not None
    return parse_qs(urlsplit(location).query)["redirect_uri"][0]


def make_app(provider: Provider, *args: t.Any, **options: t.Any) -> Flask:
    app = Flask(__name__, **options)
    app.secret_key = "x" * 32
    return app


def add_page(app: Flask, **rule: t.Any) -> None:
    @app.get("/page", **rule)
    @login_required
    def page(**_host: str) -> dict[str, t.Any]:
        return current_identity.to_dict()


def sign_in(client: t.Any, provider: Provider, base: str, page: str = "/page") -> t.Any:
    """Sign in from a guarded page, at a host; return the page."""
    html = {"Accept": "text/html"}
    guarded = client.get(f"{base}{page}", headers=html)
    begun = client.get(_absolute(base, guarded.location), headers=html)
    back = client.get(provider.consent(str(begun.location)))
    return client.get(_absolute(base, back.location))


def _absolute(base: str, location: str) -> str:
    scheme, host = urlsplit(base)[:2]
    return location if "://" in location else f"{scheme}://{host}{location}"


def test_an_application_root(provider: Provider) -> None:
    app = make_app(provider)
    app.register_blueprint(OAuth2Login(make_handler(provider)))
    add_page(app)
    app.wsgi_app = DispatcherMiddleware(Flask("outer"), {"/shop": app.wsgi_app})  # type: ignore[method-assign]
    app.config["APPLICATION_ROOT"] = "/shop"
    client = app.test_client()
    begun = client.get("/login", base_url="http://localhost/")
    assert begun.status_code == 404
    outer = Flask("outer")
    outer.wsgi_app = app.wsgi_app  # type: ignore[method-assign]
    page = sign_in(outer.test_client(), provider, "http://localhost", "/shop/page")
    assert page.json["id"] == "ada"


def test_proxy_fix(provider: Provider) -> None:
    app = make_app(provider)
    app.register_blueprint(OAuth2Login(make_handler(provider)))
    app.wsgi_app = ProxyFix(app.wsgi_app, x_host=1, x_prefix=1)  # type: ignore[method-assign]
    forwarded = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "shop.example",
        "X-Forwarded-Prefix": "/app",
    }
    begun = app.test_client().get("/login", headers=forwarded)
    assert redirect_uri_of(begun.location) == "https://shop.example/app/callback"


def test_subdomains(provider: Provider, tmp_path: Path) -> None:
    app = make_app(provider, subdomain_matching=True)
    app.config.update(
        SERVER_NAME="shop.example",
        # All subdomains have the session, and the records are on the server.
        SESSION_COOKIE_DOMAIN="shop.example",
        OAUTH2_LOGIN_STORE=f"sqlite:///{tmp_path}/logins.db",
        OAUTH2_LOGIN_DEFAULT_NEXT="http://shop.example/page",
    )
    app.register_blueprint(OAuth2Login(make_handler(provider), subdomain="auth"))
    add_page(app)
    client = app.test_client()
    begun = client.get("http://auth.shop.example/login")
    assert redirect_uri_of(begun.location) == "http://auth.shop.example/callback"
    page = sign_in(client, provider, "http://shop.example")
    assert page.json["id"] == "ada"


@pytest.mark.parametrize("host", ["shop.example", "club.example"])
def test_host_matching(host: str, provider: Provider) -> None:
    app = make_app(provider, host_matching=True, static_host="static.example")
    app.register_blueprint(OAuth2Login(make_handler(provider), url_prefix="/auth", host="<host>"))
    add_page(app, host="<host>")
    client = app.test_client()
    begun = client.get(f"http://{host}/auth/login")
    assert redirect_uri_of(begun.location) == f"http://{host}/auth/callback"
    assert sign_in(client, provider, f"http://{host}").json["id"] == "ada"
    # The cookies are of that host alone.
    assert client.get("http://other.example/page", headers={"Accept": "text/html"}).location


def test_host_matching_needs_a_host(provider: Provider) -> None:
    app = make_app(provider, host_matching=True, static_host="static.example")
    with pytest.raises(ConfigurationError, match="host='<host>' for any"):
        app.register_blueprint(OAuth2Login(make_handler(provider)))
