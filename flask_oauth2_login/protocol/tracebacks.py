"""Tracebacks without secrets: debuggers and error trackers show the local variables of frames."""

from __future__ import annotations

import functools
import traceback
import typing as t
from contextlib import suppress

P = t.ParamSpec("P")
R = t.TypeVar("R")

# What has secrets in its hands: this package, and what it calls with them.
_PACKAGES = frozenset({"flask_oauth2_login", "requests", "urllib3"})


def without_locals(function: t.Callable[P, R]) -> t.Callable[P, R]:
    """Decorator: what a function raises has no local variables of ours in its traceback.

    For functions to which codes, tokens and secrets are given, or which fetch them. Files and lines
    stay, and so do the variables of an app's own functions.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            clear_locals(error)
            # This frame is in the traceback, too.
            del args, kwargs
            raise

    return wrapper


def clear_locals(error: BaseException) -> None:
    """Clear the variables of those frames of ours in an error's tracebacks that have ended."""
    errors: list[BaseException | None] = [error]
    # It grows while it is read: what an error came from has a traceback of its own.
    for one in errors:
        if one is None:
            continue
        errors += [other for other in (one.__cause__, one.__context__) if other not in errors]
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if str(frame.f_globals.get("__name__")).partition(".")[0] in _PACKAGES:
                # One that still runs is cleared further up.
                with suppress(RuntimeError):
                    frame.clear()
