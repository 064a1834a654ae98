"""What a login sets up once in an app, and what it checks there."""

from __future__ import annotations

import logging
import typing as t
from contextlib import suppress

from flask import Flask, Response, current_app, request
from flask.globals import request_ctx
from flask.sessions import NullSession, SecureCookieSession
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from .globals import current_identity
from .protocol.errors import ConfigurationError, StoreError
from .session.browser_record import BrowserRecords, has_copies, send_copies
from .session.entries import KEY, parse_marks
from .session.extension import SECRET_KEY_FIX, current_extension, extension_of
from .session.request_scope import current_visit, live_records, were_displaced
from .web.error_handlers import keep_mistakes_out, register_error_handlers
from .web.guard import refuse_unguarded
from .web.links import login_url, logout_button
from .web.pages import keep_private, render_error
from .web.urls import is_own_view

if t.TYPE_CHECKING:
    from werkzeug.routing import MapAdapter

log = logging.getLogger("flask_oauth2_login")


def require_secret_key(app: Flask) -> None:
    """See that there is something to make keys of.

    :raises ConfigurationError: there is not.
    """
    if not app.config.get("SECRET_KEY"):
        raise ConfigurationError(SECRET_KEY_FIX)


def require_free(app: Flask, name: str) -> None:
    """See that no blueprint has a login's name already.

    :raises ConfigurationError: one has.
    """
    if name in app.blueprints:
        raise ConfigurationError(
            f"This app has a blueprint named {name!r} already. Give the login a name of its own:"
            f" OAuth2Login(…, name='another'), or register_blueprint(login, name='another')."
        )


def require_own_urls(app: Flask, name: str) -> None:
    """See that nobody else answers at a login's URLs.

    :raises ConfigurationError: somebody does.
    """
    rules = list(app.url_map.iter_rules())
    own = [rule for rule in rules if rule.endpoint.rpartition(".")[0] == name]
    for rule in own:
        for other in rules:
            same = (rule.rule, rule.subdomain, rule.host) == (
                other.rule, other.subdomain, other.host,
            )  # fmt: skip
            if same and other.endpoint != rule.endpoint and _methods(rule) & _methods(other):
                raise ConfigurationError(
                    f"{rule.rule!r} is taken by {other.endpoint!r}, so the login {name!r} can't"
                    f" have it. Register it at another place:"
                    f" app.register_blueprint(login, url_prefix='/{name.replace('.', '/')}')."
                )


def _methods(rule: t.Any) -> set[str]:
    return (rule.methods or set()) - {"OPTIONS"}


def attach(app: Flask, name: str) -> None:
    """Set up in an app what its logins share: once, whatever their number."""
    require_own_urls(app, name)
    if not extension_of(app).once("hooks"):
        return
    # First of all hooks: other extensions' may refuse a request before ours is asked.
    app.url_value_preprocessors.setdefault(None, []).insert(0, _begin_request)
    app.after_request(_end_request)
    app.context_processor(_template_context)
    register_error_handlers(app)


def _begin_request(endpoint: str | None, values: dict[str, t.Any] | None) -> None:  # noqa: ARG001
    visit, (_, session) = current_visit(), _raw_session()
    visit.marks, visit.was_permanent = _peek(session, KEY), bool(_peek(session, "_permanent"))
    if current_extension().once("blueprints"):
        # All blueprints are registered by now: Flask accepts none after the first request.
        keep_mistakes_out(current_app)
    refuse_unguarded(endpoint)
    if request.method == "POST" and is_own_view(endpoint):
        csrf = current_app.extensions.get("csrf")
        if csrf is not None:
            # Flask-WTF's. Our POSTs come from elsewhere, or have checks of their own; those of
            # views that an app adds to the blueprint don't.
            csrf.exempt(current_app.view_functions[str(endpoint)])


def _end_request(response: Response) -> Response:
    """Send what the browser keeps of its logins.

    But write nothing, the session neither, where the login ended or was displaced while this
    request ran: it would wipe out whoever signed in meanwhile.
    """
    if isinstance(request.routing_exception, MethodNotAllowed) and _is_ours():
        # No view has answered, and so no hook of the blueprint's.
        keep_private(response)
    visit = current_visit()
    attribute, session = _raw_session()
    # Flask's own is written when it has changed, or is permanent; another one, at any time.
    idle = isinstance(session, SecureCookieSession) and not session.modified
    permanent = bool(_peek(session, "_permanent"))
    if visit.marks and permanent and not visit.was_permanent:
        # From now on the session outlasts the browser, and the records' cookies do as it does.
        for login, id in live_records(parse_marks(visit.marks)):
            if isinstance(login.records, BrowserRecords):
                login.records.send_again(id)
    writes = not idle or permanent or has_copies()
    unsaved = visit.came_without_session or (visit.marks and writes and were_displaced(visit))
    if not unsaved:
        try:
            send_copies(response)
        except StoreError as error:
            # It is unknown which copy is the newest, so the browser keeps the one that it has.
            log.warning("%s %s: %s", request.method, request.path, error)
            response, unsaved = render_error(error), True
    if unsaved:
        setattr(request_ctx, attribute, _Unsaved(session))
        # Flask would have added this if it had written the session.
        response.vary.add("Cookie")
    if visit.admitted is not None:
        _keep_from_shared_caches(response)
    return response


def _keep_from_shared_caches(response: Response) -> None:
    """Mark the answer of a guarded view private, unless the view has set its own caching rules.

    Proxies and content networks may store other answers: RFC 9111, section 5.2.2.
    """
    said = response.cache_control
    if not (said.public or said.private or said.no_store or said.s_maxage is not None):
        said.private = True


def _is_ours() -> bool:
    """Whether a login answers at this URL, to another method."""
    adapter = t.cast("MapAdapter", request_ctx.url_adapter)
    with suppress(HTTPException):
        for method in adapter.allowed_methods():
            endpoint, _ = adapter.match(method=method)
            if endpoint.rpartition(".")[0] in current_extension().logins:
                return True
    return False


def _raw_session() -> tuple[str, t.Any]:
    """This request's session past the proxy: looked at there, it varies the answer by cookie."""
    context = request_ctx._get_current_object()  # type: ignore[attr-defined]
    attribute = "_session" if "_session" in context.__dict__ else "session"
    return attribute, getattr(context, attribute)


def _peek(session: t.Any, key: str) -> t.Any:
    # Flask 3.1.1 notes in the session's own methods that it was looked at.
    return dict.get(session, key) if isinstance(session, dict) else session.get(key)


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
    return {
        "current_identity": current_identity,
        "login_url": login_url,
        "logout_button": logout_button,
    }
