"""`flask.session`, emptied or put back as a whole."""

from __future__ import annotations

import typing as t

from flask import session


def clear_session() -> None:
    """Empty the session, but for how long it lasts."""
    permanent = session.permanent
    session.clear()
    if permanent:
        session.permanent = True


def restore_session(before: dict[str, t.Any]) -> None:
    """Put the session back as it was; a message flashed since then stays."""
    flashes = session.get("_flashes")
    session.clear()
    session.update(before)
    if flashes:
        session["_flashes"] = flashes
