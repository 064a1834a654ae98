"""Tracebacks without secrets: debuggers and error trackers show the local variables of frames."""

from __future__ import annotations

import functools
import traceback
import typing as t
from contextlib import suppress

P = t.ParamSpec("P")
R = t.TypeVar("R")

# The packages that handle secrets: this one, and those that it passes secrets to.
_PACKAGES = frozenset({"flask_oauth2_login", "requests", "urllib3"})


def without_locals(function: t.Callable[P, R]) -> t.Callable[P, R]:
    """Decorate a function: clear the local variables of our frames when it raises an error.

    It is for functions that receive or fetch codes, tokens or secrets. The traceback keeps files
    and lines, and the variables of the app's own functions.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            clear_locals(error)
            # This frame is in the traceback too, so its own arguments must go.
            del args, kwargs
            raise

    return wrapper


def clear_locals(error: BaseException) -> None:
    """Clear the local variables of our finished frames in the tracebacks of an error."""
    errors: list[BaseException | None] = [error]
    # The list grows during the loop: the causes of an error have tracebacks too.
    for one in errors:
        if one is None:
            continue
        errors += [other for other in (one.__cause__, one.__context__) if other not in errors]
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if str(frame.f_globals.get("__name__")).partition(".")[0] in _PACKAGES:
                # A frame that still runs can't be cleared here; a decorator further up clears it.
                with suppress(RuntimeError):
                    frame.clear()
