"""The current request and app without Flask's proxies, for code that uses them several times.

The proxies `request` and `current_app` look them up at each use.
"""

from __future__ import annotations

import typing as t

from flask import Flask, Request, current_app, request


def this_request() -> Request:
    """Return the current request."""
    return t.cast(Request, request._get_current_object())  # type: ignore[attr-defined]


def this_app() -> Flask:
    """Return the app that handles the current request."""
    return t.cast(Flask, current_app._get_current_object())  # type: ignore[attr-defined]
