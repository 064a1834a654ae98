"""The redirect URI of a login, and the URI to come back to after signing out at the provider."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import current_app, request

from ..config import prefers_https, server_name
from ..session.registration import Registration
from .view_urls import rule_variables, url_of


def redirect_uri(registration: Registration) -> str:
    """Return the redirect URI, as it is registered with the provider.

    It is the handler's own; else it is made of SERVER_NAME, or else of the request's host.
    """
    if registration.handler.redirect_uri:
        return registration.handler.redirect_uri
    host = server_name()
    if not host:
        return url_of(registration, "callback", _external=True)
    endpoint = f"{registration.name}.callback"
    secure = request.is_secure or prefers_https()
    adapter = current_app.url_map.bind(
        host, request.script_root or "/", url_scheme="https" if secure else "http"
    )
    values = rule_variables(endpoint)
    current_app.inject_url_defaults(endpoint, values)
    return adapter.build(endpoint, values, force_external=True)


def post_logout_redirect_uri(registration: Registration) -> str:
    """Return where the provider sends the browser back to after signing out there."""
    callback = urlsplit(redirect_uri(registration))
    path = url_of(registration, "logout", _external=False)
    return callback._replace(path=urlsplit(path).path, query="", fragment="").geturl()
