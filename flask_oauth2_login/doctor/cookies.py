"""The settings of the session's cookie, which the extension's own cookies follow."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask

from ..protocol.urls import is_loopback_http
from ..session.registration import Registration
from ..web.redirect_uris import depends_on_host, planned_redirect_uri
from .findings import Finding, Findings

_SAMESITE = (None, "Lax", "Strict", "None")


def check_attributes(app: Flask) -> Findings:
    """Check the attributes that are right or wrong wherever the app is."""
    config = app.config
    same_site, secure = config["SESSION_COOKIE_SAMESITE"], config["SESSION_COOKIE_SECURE"]
    if same_site not in _SAMESITE:
        yield Finding(
            "error",
            "cookie-samesite",
            f"SESSION_COOKIE_SAMESITE={same_site!r} is no value of this attribute.",
            "Flask can't set its cookie, so nobody can sign in.",
            "Set it to 'Lax', or leave it out.",
        )
    elif same_site == "None" and not secure:
        yield Finding(
            "error",
            "cookie-samesite",
            "SESSION_COOKIE_SAMESITE is 'None', and SESSION_COOKIE_SECURE is not set.",
            "Browsers reject such a cookie, so nobody stays signed in.",
            "Set SESSION_COOKIE_SAMESITE to 'Lax', or SESSION_COOKIE_SECURE to True.",
        )
    if not config["SESSION_COOKIE_HTTPONLY"]:
        yield Finding(
            "warning",
            "cookie-httponly",
            "SESSION_COOKIE_HTTPONLY is False.",
            "A script that somebody plants in a page can read the session's cookie.",
            "Leave the setting out.",
        )


def check_cookie_reaches(app: Flask, registration: Registration) -> Findings:
    """Check that the session's cookie is sent to the login's callback, and to no place beside."""
    uri, name = planned_redirect_uri(app, registration), registration.name
    parts = urlsplit(uri)
    has_host = not depends_on_host(registration, app)
    yield from _check_secure(app, uri, name, has_host=has_host)
    path = app.session_interface.get_cookie_path(app)
    if "<" not in parts.path and not f"{parts.path}/".startswith(f"{path.rstrip('/')}/"):
        yield Finding(
            "error",
            "cookie-path",
            f"The session's cookie is for {path} alone, and the callback is at {parts.path}.",
            "The browser does not send it to the callback, so nobody is signed in afterwards.",
            "Leave SESSION_COOKIE_PATH out, or set it to a path that both are below.",
            name,
        )
    domain = app.session_interface.get_cookie_domain(app)
    if not domain:
        return
    host, domain = parts.hostname or "", domain.lstrip(".")
    if has_host and not f".{host}".endswith(f".{domain}"):
        yield Finding(
            "error",
            "cookie-domain",
            f"The session's cookie is for {domain}, and the callback is at {host}.",
            "The browser rejects the cookie, so nobody is signed in.",
            "Leave SESSION_COOKIE_DOMAIN out, or set it to a domain of that host.",
            name,
        )
    else:
        yield Finding(
            "note",
            "cookie-domain",
            f"The session's cookie is sent to all hosts below {domain}.",
            "Whoever runs one of them gets the cookies of everybody who visits it.",
            "Leave SESSION_COOKIE_DOMAIN out, unless several hosts share the session.",
            name,
        )


def _check_secure(app: Flask, uri: str, name: str, *, has_host: bool) -> Findings:
    secure = bool(app.config["SESSION_COOKIE_SECURE"])
    is_https = uri.startswith("https://")
    why = "The session's cookie also travels over plain http, where anybody on the way can read it."
    if is_https and not secure:
        yield Finding(
            "warning",
            "cookie-secure",
            "The app is at https, and SESSION_COOKIE_SECURE is not set.",
            why,
            "Set SESSION_COOKIE_SECURE to True.",
            name,
        )
    elif not secure and not has_host:
        yield Finding(
            "note",
            "cookie-secure",
            "SESSION_COOKIE_SECURE is not set.",
            f"That is right for http on this machine only. {why}",
            "Set SESSION_COOKIE_SECURE to True where the app is at https.",
            name,
        )
    elif secure and not is_https and has_host and not is_loopback_http(uri):
        yield Finding(
            "error",
            "cookie-secure",
            f"SESSION_COOKIE_SECURE is set, and the callback is at {uri}.",
            "Browsers send no such cookie over http, so each sign-in fails with invalid_state.",
            "Serve the app over https, and register that redirect URI.",
            name,
        )
