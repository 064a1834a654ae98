"""The redirect URI of each login: as it will be sent, and what may be wrong with it."""

from __future__ import annotations

import typing as t
from urllib.parse import urlsplit

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from ..protocol.urls import is_loopback_http
from ..session.registration import Registration
from ..web.redirect_uris import depends_on_host, planned_redirect_uri
from .findings import Finding, Findings

#: The names of this machine, of which browsers and providers take each for another host.
LOOPBACK = {"localhost": "127.0.0.1", "127.0.0.1": "localhost"}

PROXY_FIX = (
    "If a proxy ends TLS in front of the app, let the app read its headers: from"
    " werkzeug.middleware.proxy_fix import ProxyFix; app.wsgi_app = ProxyFix(app.wsgi_app,"
    " x_proto=1, x_host=1)."
)


def check_redirect_uri(app: Flask, registration: Registration) -> Findings:
    """Say which redirect URI to register, and check that it can be used."""
    uri, name = planned_redirect_uri(app, registration), registration.name
    if depends_on_host(registration, app):
        yield from _of_each_request(app, uri, name)
    else:
        yield Finding(
            "note",
            "redirect-uri",
            f"The redirect URI is {uri}.",
            "The provider compares it as text: scheme, host, port, path and a slash at the end.",
            "Register exactly this one with the provider.",
            name,
        )
        yield from _of_one_host(registration, uri)


def _of_one_host(registration: Registration, uri: str) -> Findings:
    name, parts = registration.name, urlsplit(uri)
    if other := LOOPBACK.get(parts.hostname or ""):
        yield Finding(
            "note",
            "redirect-loopback",
            f"The sign-in comes back to {parts.netloc}, on this machine.",
            f"Whoever opens the app at {other} comes back without the cookie of the sign-in, which"
            " then fails with invalid_state.",
            f"Open the app at {parts.scheme}://{parts.netloc}.",
            name,
        )
    elif parts.scheme == "http" and not is_loopback_http(uri):
        own = registration.handler.redirect_uri
        yield Finding(
            "error" if own else "warning",
            "redirect-http",
            f"The redirect URI {uri} is not https.",
            "Most providers refuse it, and anybody on the way can read the code.",
            "Write https in the handler's redirect_uri."
            if own
            else f"Set PREFERRED_URL_SCHEME to 'https'. {PROXY_FIX}",
            name,
        )


def _of_each_request(app: Flask, uri: str, name: str) -> Findings:
    path = urlsplit(uri).path
    yield Finding(
        "note",
        "redirect-uri",
        f"The redirect URI is made of the address at which the app is opened: {uri}.",
        "The provider compares it as text, and localhost and 127.0.0.1 are different hosts.",
        f"Register it for each address: on this machine http://127.0.0.1:5000{path} or"
        f" http://localhost:5000{path}, whichever you open, and https://<host>{path} where the app"
        " will be.",
        name,
    )
    if not app.config.get("TRUSTED_HOSTS"):
        yield Finding(
            "warning",
            "forged-host",
            "The redirect URI has the host that a request names, whatever it is.",
            "A forged Host header changes it. A provider that compares it loosely would then send"
            " the code elsewhere.",
            "Set TRUSTED_HOSTS or SERVER_NAME, or give the handler its redirect_uri.",
            name,
        )
    fix = find_proxy_fix(app)
    is_at_https = app.config["SESSION_COOKIE_SECURE"] or uri.startswith("https://")
    if fix is not None and not fix.x_proto:
        yield Finding(
            "warning",
            "proxy",
            "ProxyFix does not read the header X-Forwarded-Proto (x_proto=0).",
            "Behind a proxy that ends TLS the redirect URI begins with http, which the provider"
            " does not know.",
            "Use ProxyFix(app.wsgi_app, x_proto=1, x_host=1).",
            name,
        )
    elif fix is None and is_at_https:
        yield Finding(
            "warning",
            "proxy",
            "The settings are for https, and no ProxyFix reads the headers of a proxy.",
            "Behind a proxy that ends TLS the redirect URI begins with http, or has the name of an"
            " inner host, and the provider refuses it.",
            f"{PROXY_FIX} If there is no proxy, nothing is to be done.",
            name,
        )


def find_proxy_fix(app: Flask) -> ProxyFix | None:
    """Return the ProxyFix around an app; None if there is none."""
    inner: t.Any = app.wsgi_app
    for _ in range(20):
        if inner is None or isinstance(inner, ProxyFix):
            return inner
        inner = getattr(inner, "app", getattr(inner, "wsgi_app", None))
    return None
