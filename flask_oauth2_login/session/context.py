"""The current request, session and app without Flask's proxies, which look them up at each use."""

from __future__ import annotations

import typing as t

from flask import Flask, Request, current_app, request, session
from flask.sessions import SessionMixin

#: Returns the current request.
this_request: t.Callable[[], Request] = request._get_current_object  # type: ignore[attr-defined]

#: Returns the current session.
this_session: t.Callable[[], SessionMixin] = session._get_current_object  # type: ignore[attr-defined]

#: Returns the app that handles the current request.
this_app: t.Callable[[], Flask] = current_app._get_current_object  # type: ignore[attr-defined]
