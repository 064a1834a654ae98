"""Error handlers: the responses to errors that reach Flask."""

from __future__ import annotations

import logging
import time
import typing as t

from flask import Flask, Response, current_app, redirect, request
from werkzeug.exceptions import HTTPException, NotFound, ServiceUnavailable
from werkzeug.http import quote_header_value

from ..config import app_name, default_next
from ..look.explanations import BY_STATUS
from ..protocol.errors import (
    ConfigurationError,
    LoginRequired,
    OAuth2Error,
    ProviderError,
    StoreError,
    see,
)
from ..protocol.json_input import to_one_line
from ..protocol.texts import gettext_noop as N_  # noqa: N812  (GNU gettext's own name)
from ..protocol.urls import json_param
from ..session.current_login import find_login, find_registration
from ..session.extension import current_extension
from ..session.request_scope import request_scope
from ..session.tenants import find_here, is_unknown_here
from .demands import COMING_BACK, read_demands
from .links import Link, login_links
from .next_url import current_page, safe_next
from .pages import (
    allow_own_frames,
    error_page,
    render_error,
    render_page,
    render_problem,
    set_no_store,
    translate,
)
from .user_agent import UserAgent, find_user_agent

log = logging.getLogger("flask_oauth2_login")

_ASKED_IN_VAIN = N_("The sign-in service was asked for this just now, and answered with less.")
_IN_A_NEW_TAB = N_(
    "Nothing was saved or sent. Sign in in a new tab and close it. Then go back to your page in"
    " this tab, and try again."
)

#: How long (s) after a sign-in the provider is not asked again for what it did not give.
JUST_NOW = 60


def handle_error(error: OAuth2Error) -> t.Any:
    """Return the response to an error that neither the view nor the app has handled.

    It is registered for the base class, so the app's own handlers for any of our classes, or for a
    status code, take precedence, whenever they are registered. For `LoginRequired` and
    `ConfigurationError` it is registered by class, so that the app's handlers for more general
    classes don't receive these two.
    """
    if isinstance(error, ConfigurationError):
        response = _call_app_handler(error, ConfigurationError)
        if response is None:
            # Only developers should see a mistake in the configuration, in the log.
            raise error
        return response
    if isinstance(error, LoginRequired):
        try:
            if is_unknown_here(error.login):
                return current_app.handle_http_exception(NotFound())
            return _call_app_handler(error, OAuth2Error) or handle_login_required(error)
        except ProviderError as problem:
            # Where to sign in is unknown, because the tenant's provider can't be made.
            error = problem
        except OAuth2Error:
            raise
        except HTTPException as problem:
            # The app's function that reads the tenant refuses the request.
            return current_app.handle_http_exception(problem)
    if isinstance(error, (ProviderError, StoreError)) and not request_scope().again_url:
        log.warning("%s %s: %s", request.method, to_one_line(request.path), error)
    if isinstance(error, StoreError):
        # The app's layout may use current_identity, which would fail too.
        request_scope().is_store_down = True
    if not isinstance(error, HTTPException):
        raise error
    again_url = request_scope().again_url
    return _call_app_handler(error, HTTPException) or render_error(error, again_url)


def register_error_handlers(app: Flask) -> None:
    """Register :func:`handle_error` in an app, for errors that its blueprints don't handle."""
    for code, error in ((LoginRequired.code, LoginRequired), (None, OAuth2Error)):
        app.error_handler_spec[None][code].setdefault(error, handle_error)


def exempt_configuration_errors(app: Flask) -> None:
    """Keep `ConfigurationError` away from general error handlers, also those of blueprints.

    To be called when all blueprints are there: at the first request.

    Flask looks for a handler in the blueprint first. A blueprint's handler for `OAuth2Error` or
    `Exception` would receive a `ConfigurationError` before the app's handler for that class.
    """
    for name in (*app.blueprints, None):
        app.error_handler_spec[name][None].setdefault(ConfigurationError, handle_error)


def _call_app_handler(error: OAuth2Error, kind: type[Exception]) -> t.Any:
    """Return the response of the app's handler for a more general class; None without one.

    Flask finds our handler first, because ours is for the more specific class.
    """
    for name in (*request.blueprints, None):
        handler = current_app.error_handler_spec[name][None].get(kind)
        if handler is not None and handler is not handle_error:
            return current_app.ensure_sync(handler)(error)
    return None


def handle_login_required(error: LoginRequired) -> t.Any:
    """Redirect a browser to the sign-in, and tell other clients where it is."""
    client = find_user_agent(request)
    if client is UserAgent.PREFETCH:
        # A prefetch must not start a sign-in, and its response must not be reused.
        return set_no_store(t.cast(Response, ServiceUnavailable().get_response()))
    if _was_just_requested(error):
        return current_app.handle_http_exception(error_page(403, _ASKED_IN_VAIN))
    name = error.login
    if name is None and error.params and (registration := find_registration()):
        # A login without ID tokens can't prove that the demands are fulfilled.
        provable = registration.handler.openid or not read_demands(error.params)
        name = registration.name if provable else None
    if client is UserAgent.API:
        return _problem(error, name)
    links = _find_links(error, name, current_page())
    if client is UserAgent.HTMX:
        response = _problem(error, name)
        # With several logins, reload the guarded page, which offers the choice.
        guarded = (
            f"{request.script_root}{request.path}" if request.method == "GET" else current_page()
        )
        response.headers["HX-Redirect"] = (
            links[0].url if len(links) == 1 else safe_next(guarded) or default_next()
        )
        return response
    if client is UserAgent.NAVIGATION and len(links) == 1:
        return set_no_store(t.cast(Response, redirect(links[0].url)))
    apart = client is UserAgent.PAGE
    title, text = BY_STATUS[401]
    page = render_page(
        "choose.html",
        401,
        title=_title(title),
        text=translate(_IN_A_NEW_TAB if apart else text),
        links=links,
        apart=apart,
    )
    if request.headers.get("Sec-Fetch-Dest") in {"iframe", "frame"}:
        allow_own_frames(page)
    return _challenge(page)


def _find_links(error: LoginRequired, name: str | None, next: str | None = None) -> list[Link]:
    links = login_links(name, next, **error.params)
    if not links and current_extension().once(f"without a tenant: {request.endpoint}"):
        log.warning(
            "Nobody can sign in for the view %r, because this request of it has no tenant. If the"
            " tenant is a variable of the login's URL, the view's URL must have it too. %s",
            request.endpoint,
            see("which-tenant"),
        )
    return links


def _title(title: str) -> str:
    app = app_name()
    return translate("Sign in to %(app)s", app=app) if app else translate(title)


def _problem(error: LoginRequired, name: str | None) -> Response:
    """Return a 401 that says where to sign in. The page that shows it adds its own ``next``."""
    links = _find_links(error, name)
    if len(links) == 1:
        return _challenge(render_problem(401, error.message, login_url=links[0].url))
    logins = [{"name": link.name, "label": link.label, "login_url": link.url} for link in links]
    return _challenge(render_problem(401, error.message, logins=logins))


def _challenge(response: Response) -> Response:
    # RFC 9110, section 15.5.2, requires a challenge. "Basic" would open a password dialog.
    realm = quote_header_value(current_app.name, allow_token=False)
    response.headers["WWW-Authenticate"] = f"OAuth2Login realm={realm}"
    return response


def _was_just_requested(error: LoginRequired) -> bool:
    """Return True if the last sign-in requested this, and the provider gave too little."""
    # The ID token has just proved max_age, so it counts as requested for a short time only.
    age = read_demands(error.params).max_age
    just_now = JUST_NOW if age is None else min(JUST_NOW, max(COMING_BACK, age))
    wanted = {k: v for k, v in error.params.items() if k not in {"scope", "max_age"}}
    registration = find_here(error.login) if error.login else find_registration()
    login = find_login(registration) if registration is not None else None
    if not wanted or login is None or time.time() - login.record.signed_in_at > just_now:
        return False
    requested = login.record.requested
    return all(str(requested.get(k)) == str(json_param(v)) for k, v in wanted.items())
