"""The current request and app without Flask's proxies, for code that uses them several times.

The proxies `request` and `current_app` look them up at each use.
"""

from __future__ import annotations

import typing as t

from flask import Flask, Request, current_app, request

#: Returns the current request.
this_request: t.Callable[[], Request] = request._get_current_object  # type: ignore[attr-defined]

#: Returns the app that handles the current request.
this_app: t.Callable[[], Flask] = current_app._get_current_object  # type: ignore[attr-defined]
