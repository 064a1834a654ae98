"""The redirect URI of a login, and the URI to come back to after signing out at the provider."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from flask import Flask, current_app, request
from werkzeug.routing import BuildError

from ..config import prefers_https, server_name
from ..protocol.errors import ConfigurationError
from ..session.registration import Registration
from .view_urls import CALLBACK_SEGMENT, url_of, url_values


def redirect_uri(registration: Registration) -> str:
    """Return the redirect URI, as it is registered with the provider.

    It is the handler's own; else it is made of SERVER_NAME, or else of the request's host. If no
    variable of the URL names the tenant, the host may, so then SERVER_NAME does not count.
    """
    if registration.handler.redirect_uri:
        return registration.handler.redirect_uri
    host = server_name()
    if host and registration.tenant and registration.variable is None:
        own = urlsplit(url_of(registration, "callback", _external=True))
        return own._replace(scheme=request.scheme, netloc=request.host).geturl()
    if not host:
        return url_of(registration, "callback", _external=True)
    endpoint = f"{registration.name}.callback"
    secure = request.is_secure or prefers_https()
    adapter = current_app.url_map.bind(
        host, request.script_root or "/", url_scheme="https" if secure else "http"
    )
    values = url_values(registration, endpoint)
    current_app.inject_url_defaults(endpoint, values)
    return adapter.build(endpoint, values, force_external=True)


def planned_redirect_uri(app: Flask, registration: Registration) -> str:
    """Return the redirect URI that will be sent, without a request.

    :returns: a URI with ``<host>`` in it if each request's own host counts, and with the names of
        the URL rule's variables where it has some.
    """
    rule = next(app.url_map.iter_rules(f"{registration.name}.callback"))
    path = app.config["APPLICATION_ROOT"].rstrip("/") + rule.rule
    with app.test_request_context():
        if depends_on_host(registration, app):
            return f"{request.scheme}://<host>{path}"
        try:
            return redirect_uri(registration)
        except BuildError:
            return f"{request.scheme}://{server_name()}{path}"


def depends_on_host(registration: Registration, app: Flask) -> bool:
    """Return True if the redirect URI is made of each request's own host."""
    return not (registration.handler.redirect_uri or app.config["SERVER_NAME"])


def callback_path(app: Flask, registration: Registration) -> str | None:
    """Return the path of the handler's ``redirect_uri`` as URL rules have it; None without one.

    Rules don't contain the path at which the app is mounted. It is known from ``APPLICATION_ROOT``.
    """
    redirect_uri = registration.handler.redirect_uri
    if not redirect_uri:
        return None
    mounted_at = app.config["APPLICATION_ROOT"].rstrip("/")
    path = unquote(urlsplit(redirect_uri).path) or "/"
    return path.removeprefix(mounted_at) if path.startswith(f"{mounted_at}/") else path


def further_callback_rule(app: Flask, registration: Registration) -> str | None:
    """Return a URL rule to serve the callback at the path of the handler's ``redirect_uri``.

    A view of the app's own at that path goes before it, whenever it is added.

    :returns: None if the callback, or a view of the app's own, is at that path already.
    :raises ConfigurationError: the path is not below the login's ``url_prefix``.
    """
    redirect_uri, name = registration.handler.redirect_uri, registration.name
    path = callback_path(app, registration)
    if path is None:
        return None
    if any(rule.rule == path for rule in app.url_map.iter_rules()):
        return None
    rules = [rule.rule for rule in app.url_map.iter_rules(f"{name}.callback")]
    prefixes = [rule.removesuffix("/callback") for rule in rules]
    # A static rule would go before a view of the same path that is added later. This one does not.
    folder, segment, end = re.fullmatch(r"(.*?/)([^/]*)(/?)", path).groups()  # type: ignore[union-attr]
    is_below = any(f"{path}/".startswith(f"{prefix}/") for prefix in prefixes)
    if is_below and re.fullmatch(r"""[^"'\\<>()]+""", segment) and "<" not in folder:
        return f'{folder}<any("{segment}"):{CALLBACK_SEGMENT}>{end}'
    for rule in rules:
        served = "[^/]+".join(map(re.escape, re.split("<[^<>]*>", rule)))
        if re.fullmatch(f"(/.*)?{served}", path):
            return None
    raise ConfigurationError(
        f"redirect_uri={redirect_uri!r} leads to {path!r}, where the login {name!r} does not"
        f" answer: its callback is at {' and '.join(rules)!r}. Register that URL with the provider"
        f" and as redirect_uri, or choose a url_prefix that {path!r} is below:"
        " app.register_blueprint(login, url_prefix=…).",
        row="redirect-uri-path",
    )


def post_logout_redirect_uri(registration: Registration) -> str:
    """Return where the provider sends the browser back to after signing out there."""
    callback = urlsplit(redirect_uri(registration))
    path = url_of(registration, "logout", _external=False)
    return callback._replace(path=urlsplit(path).path, query="", fragment="").geturl()
