"""Clear or restore `flask.session` as a whole."""

from __future__ import annotations

import typing as t

from flask import session


def clear_session() -> None:
    """Clear the session, but keep whether it is permanent."""
    permanent = session.permanent
    session.clear()
    if permanent:
        session.permanent = True


def restore_session(before: dict[str, t.Any]) -> None:
    """Restore the session, but keep messages that were flashed meanwhile."""
    flashes = session.get("_flashes")
    session.clear()
    session.update(before)
    if flashes:
        session["_flashes"] = flashes
