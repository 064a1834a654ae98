"""The URLs of a login's own views."""

from __future__ import annotations

import typing as t

from flask import current_app, request

from ..protocol.urls import is_absolute
from ..session.context import this_app
from ..session.extension import current_extension
from ..session.registration import Login, Registration

#: Paths below ``url_prefix``, each with its methods; a view is named for its path.
VIEWS: t.Mapping[str, list[str]] = {
    "login": ["GET", "POST"],
    "callback": ["GET", "POST"],
    "logout": ["GET", "POST"],
    "backchannel-logout": ["POST"],
    "frontchannel-logout": ["GET"],
}

#: The path and the endpoint of the client's public keys, at logins that have some.
KEYS_PATH, KEYS_ENDPOINT = "jwks.json", "jwks"

#: The variable of the URL rule of a further callback. Our own URLs lead to the first one.
CALLBACK_SEGMENT = "callback_segment"


def endpoint_of(path: str) -> str:
    """Return the endpoint of the view at a path."""
    return path.replace("-", "_")


_ENDPOINTS = frozenset({*map(endpoint_of, VIEWS), KEYS_ENDPOINT})


def is_own_view(endpoint: str | None) -> bool:
    """Return True for the endpoints of our own views, which have checks of their own."""
    name, _, view = (endpoint or "").rpartition(".")
    return view in _ENDPOINTS and name in current_extension().logins


def url_of(login: Login, view: str, /, **params: t.Any) -> str:
    """Return the URL of a login's view: a path, if it is on this request's host.

    Variables that its URL rule shares with this request's (``/<lang>/…``) keep their values.
    """
    endpoint = f"{login.name}.{view}"
    return this_app().url_for(endpoint, **{**url_values(login, endpoint), **params})


def url_values(login: Login, endpoint: str) -> dict[str, t.Any]:
    """Return the variables of the URL of a login's view, as far as they are known."""
    values = rule_variables(endpoint)
    return {**values, **login.url_values} if isinstance(login, Registration) else values


def login_url_of(login: Login, target: str | None, /, **params: t.Any) -> str:
    """Return the URL that starts a sign-in.

    :param target: a checked path to come back to. It is dropped if the view is on another host.
    """
    url = url_of(login, "login", next=target, **params)
    return url_of(login, "login", **params) if target and is_absolute(url) else url


def rule_variables(endpoint: str) -> dict[str, t.Any]:
    """Return the variables that an endpoint's URL rule shares with this request's."""
    given = request.view_args
    if not given:
        return {}
    expects = current_app.url_map.is_endpoint_expecting
    return {
        name: value
        for name, value in given.items()
        if name != CALLBACK_SEGMENT and expects(endpoint, name)
    }
