"""The current request and app themselves, for code that uses them several times.

Flask's `request` and `current_app` look them up anew at each use.
"""

from __future__ import annotations

import typing as t

from flask import Flask, Request, current_app, request


def this_request() -> Request:
    """Return the request that is handled."""
    return t.cast(Request, request._get_current_object())  # type: ignore[attr-defined]


def this_app() -> Flask:
    """Return the app that handles it."""
    return t.cast(Flask, current_app._get_current_object())  # type: ignore[attr-defined]
