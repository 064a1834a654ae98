"""The URLs of a login's own views."""

from __future__ import annotations

import typing as t
from urllib.parse import urlsplit

from flask import current_app, request, url_for

from ..config import prefers_https, server_name
from ..protocol.urls import is_absolute
from ..session.extension import current_extension
from ..session.registration import Registration

#: Paths below ``url_prefix``, each with its methods; a view is named for its path.
VIEWS: t.Mapping[str, list[str]] = {
    "login": ["GET", "POST"],
    "callback": ["GET", "POST"],
    "logout": ["GET", "POST"],
    "backchannel-logout": ["POST"],
    "frontchannel-logout": ["GET"],
}


def endpoint_of(path: str) -> str:
    """Return the endpoint of the view at a path."""
    return path.replace("-", "_")


_ENDPOINTS = frozenset(map(endpoint_of, VIEWS))


def is_own_view(endpoint: str | None) -> bool:
    """Return True for the endpoints of our own views, which have checks of their own."""
    name, _, view = (endpoint or "").rpartition(".")
    return view in _ENDPOINTS and name in current_extension().logins


def url_of(registration: Registration, view: str, /, **params: t.Any) -> str:
    """Return the URL of a login's view: a path, if it is on this request's host.

    Variables that its URL rule shares with this request's (``/<lang>/…``) keep their values.
    """
    endpoint = f"{registration.name}.{view}"
    return url_for(endpoint, **{**_variables(endpoint), **params})


def login_url_of(registration: Registration, target: str | None, /, **params: t.Any) -> str:
    """Return the URL that starts a sign-in.

    :param target: a checked path to come back to. It is dropped if the view is on another host.
    """
    url = url_of(registration, "login", next=target, **params)
    return url_of(registration, "login", **params) if target and is_absolute(url) else url


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
    values = _variables(endpoint)
    current_app.inject_url_defaults(endpoint, values)
    return adapter.build(endpoint, values, force_external=True)


def post_logout_redirect_uri(registration: Registration) -> str:
    """Return where the provider sends the browser back to after signing out there."""
    callback = urlsplit(redirect_uri(registration))
    path = url_of(registration, "logout", _external=False)
    return callback._replace(path=urlsplit(path).path, query="", fragment="").geturl()


def _variables(endpoint: str) -> dict[str, t.Any]:
    expects = current_app.url_map.is_endpoint_expecting
    given = request.view_args or {}
    return {name: value for name, value in given.items() if expects(endpoint, name)}
