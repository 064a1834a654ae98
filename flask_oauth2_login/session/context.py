"""The current request, session and app without Flask's proxies, which look them up at each use."""

from __future__ import annotations

import typing as t

from flask import Flask, Request, current_app, request, session
from flask import globals as flask_globals
from flask.sessions import SessionMixin

# The context that holds the session: from Flask 3.2 on, there is only the app's.
_CONTEXT = "request_ctx" if "request_ctx" in vars(flask_globals) else "app_ctx"

#: Returns the context of the current request.
this_context: t.Callable[[], t.Any] = getattr(flask_globals, _CONTEXT)._get_current_object

#: Returns the current request.
this_request: t.Callable[[], Request] = request._get_current_object  # type: ignore[attr-defined]

#: Returns the current session.
this_session: t.Callable[[], SessionMixin] = session._get_current_object  # type: ignore[attr-defined]

#: Returns the app that handles the current request.
this_app: t.Callable[[], Flask] = current_app._get_current_object  # type: ignore[attr-defined]


def session_attribute(context: t.Any) -> str:
    """Return the name of a context's attribute that has the session.

    To read it does not mark the session accessed, which would add ``Vary: Cookie`` to the response.
    """
    return "_session" if "_session" in context.__dict__ else "session"


def peek(session: t.Any, key: str) -> t.Any:
    """Return a value of a session, or None, without marking the session accessed."""
    # In Flask 3.1.1 the session's own methods mark it accessed.
    return dict.get(session, key) if isinstance(session, dict) else session.get(key)
