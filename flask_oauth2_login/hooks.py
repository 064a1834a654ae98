"""What runs before and after every request of an app, once for all of its logins."""

from __future__ import annotations

import logging
import typing as t
from contextlib import suppress

from flask import Flask, Request, Response, current_app, request
from flask.sessions import NullSession, SecureCookieSession
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from .globals import current_identity
from .protocol.errors import StoreError
from .session.browser_record import BrowserRecords
from .session.context import peek, session_attribute, this_context
from .session.current_login import live_records
from .session.extension import NAME, current_extension, extension_of
from .session.flask_session import KEY, parse_entries
from .session.request_scope import RequestScope, find_request_scope, scope_of
from .session.superseded import was_superseded
from .signin.redirect_uri_hints import tell_of_response_without_view
from .web.error_handlers import exempt_configuration_errors, register_error_handlers
from .web.links import login_url, logout_button
from .web.login_required import refuse_unguarded
from .web.macros import add_template_global
from .web.pages import render_error, set_no_store
from .web.view_urls import is_own_view

if t.TYPE_CHECKING:
    from werkzeug.routing import MapAdapter

log = logging.getLogger("flask_oauth2_login")


def attach(app: Flask) -> None:
    """Add the hooks to an app, once for all of its logins."""
    if not extension_of(app).once("hooks"):
        return
    # First of all hooks, because hooks of other extensions may refuse a request.
    app.url_value_preprocessors.setdefault(None, []).insert(0, _begin_request)
    app.after_request(_end_request)
    app.context_processor(_template_context)
    register_error_handlers(app)


def _begin_request(endpoint: str | None, values: dict[str, t.Any] | None) -> None:
    context = this_context()
    app, session = context.app, getattr(context, session_attribute(context))
    extension = app.extensions[NAME]
    if extension.has_tenants:
        # Before other functions may take a variable out of the view's arguments.
        scope_of(context.request).url_values = dict(values or {})
    if entries := peek(session, KEY):
        scope = scope_of(context.request)
        scope.receive_session(entries, is_permanent=bool(peek(session, "_permanent")))
    # A view is checked before its first request, and again if another one has taken its place.
    checked = extension.checked_views.get(endpoint, _UNCHECKED)
    if checked is not app.view_functions.get(endpoint):
        _check_view(app, endpoint)
    if context.request.method == "POST" and is_own_view(endpoint):
        csrf = current_app.extensions.get("csrf")
        if csrf is not None:
            # Flask-WTF's. Our POSTs come from elsewhere, or have checks of their own; those of
            # views that an app adds to the blueprint don't.
            csrf.exempt(current_app.view_functions[str(endpoint)])


def _check_view(app: Flask, endpoint: str | None) -> None:
    extension = extension_of(app)
    if extension.once("blueprints"):
        # All blueprints are registered by now: Flask accepts none after the first request.
        exempt_configuration_errors(app)
    refuse_unguarded(app, endpoint)
    extension.checked_views[endpoint] = app.view_functions.get(endpoint or "")


def _end_request(response: Response) -> Response:
    context = this_context()
    request: Request = context.request
    if request.routing_exception is not None:
        _answer_without_view(context, request.routing_exception, response)
    scope = find_request_scope(request)
    if scope is None:
        # This request has read and written nothing of a login.
        return response
    response = _send_records(context, scope, response)
    scope.can_peek = False
    if scope.has_peeked or scope.admitted is not None:
        _tell_caches(response, is_guarded=scope.admitted is not None)
    return response


def _answer_without_view(context: t.Any, error: Exception, response: Response) -> None:
    """Do what the blueprint's own hook does, which has not run, and help with a wrong URL."""
    if isinstance(error, MethodNotAllowed) and _is_ours(context):
        set_no_store(response)
    if isinstance(error, NotFound):
        tell_of_response_without_view(context.request)


def _send_records(context: t.Any, scope: RequestScope, response: Response) -> Response:
    """Send the browser the records that it keeps.

    If another request has replaced this request's session meanwhile, send neither records nor the
    session: they would overwrite the newer login.
    """
    attribute = session_attribute(context)
    session = getattr(context, attribute)
    # Flask's own session is written if it has changed or is permanent; others are always written.
    idle = isinstance(session, SecureCookieSession) and not session.modified
    permanent = bool(peek(session, "_permanent"))
    if idle and not (permanent or scope.pending or scope.without_session_cookie):
        return response
    if scope.received_entries and permanent and not scope.was_permanent:
        # The session now outlasts the browser, so the cookies of its records must do so too.
        for registration, id in live_records(parse_entries(scope.received_entries)):
            if isinstance(registration.records, BrowserRecords):
                registration.records.send_again(id)
    writes = not idle or permanent or bool(scope.pending)
    unsaved = scope.without_session_cookie or (
        scope.received_entries and writes and was_superseded()
    )
    if not unsaved:
        try:
            scope.send_pending(response)
        except StoreError as error:
            # It is unknown which copy is the newest, so the browser keeps the one that it has.
            log.warning("%s %s: %s", request.method, request.path, error)
            response, unsaved = render_error(error), True
    if unsaved:
        setattr(context, attribute, _Unsaved(session))
        # Flask would have added this if it had written the session.
        response.vary.add("Cookie")
    return response


def _tell_caches(response: Response, *, is_guarded: bool) -> None:
    """Say that an answer depends on the cookies, and that of a guarded view is private.

    Proxies and content networks may store other answers: RFC 9111, sections 4.1 and 5.2.2. A view
    may have set its own caching rules.
    """
    headers = response.headers
    # Werkzeug raises and catches an error to find out that a header is missing.
    names = [name.lower() for name, _ in headers]
    if "vary" in names:
        response.vary.add("Cookie")
    else:
        headers.add("Vary", "Cookie")
    if not is_guarded:
        return
    if "cache-control" not in names:
        headers.add("Cache-Control", "private")
        return
    said = response.cache_control
    if not (said.public or said.private or said.no_store or said.s_maxage is not None):
        said.private = True


def _is_ours(context: t.Any) -> bool:
    """Return True if a login's view answers at this URL, to another method."""
    adapter = t.cast("MapAdapter", context.url_adapter)
    with suppress(HTTPException):
        for method in adapter.allowed_methods():
            endpoint, _ = adapter.match(method=method)
            if endpoint.rpartition(".")[0] in current_extension().logins:
                return True
    return False


# Stands for a view that was never checked. None is what an unknown endpoint has.
_UNCHECKED = object()


class _Unsaved(NullSession):
    """A session that is not written. Hooks that run after ours may still use it."""

    __setitem__ = dict.__setitem__  # type: ignore[assignment]
    __delitem__ = dict.__delitem__  # type: ignore[assignment]
    clear = dict.clear  # type: ignore[assignment]
    pop = dict.pop
    popitem = dict.popitem  # type: ignore[assignment]
    update = dict.update  # type: ignore[assignment]
    setdefault = dict.setdefault


def _template_context() -> dict[str, t.Any]:
    # The environment is there by now. Making it at registration would fix the app's options.
    add_template_global()
    return {
        "current_identity": current_identity,
        "login_url": login_url,
        "logout_button": logout_button,
    }
