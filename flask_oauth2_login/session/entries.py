"""The mark in `flask.session`: which logins this browser has, and who it was.

It is a list, for sessions are cookies: first an id of the marks as they stand, drawn anew at each
sign-in and sign-out, then one row a login, the one signed in last at the end.
"""

from __future__ import annotations

import dataclasses
import secrets
import time
import typing as t

from flask import request, session

KEY = "_oauth2"
#: The beginning of 2025, in Unix seconds: a short number is enough, in a cookie.
EPOCH = 1_735_689_600


@dataclasses.dataclass
class Mark:
    """One login of this browser, or one that it had."""

    login: str
    #: The record's id; ``""`` where the login has ended and only the fingerprint is left.
    id: str
    #: A keyed hash of who it was at the provider; ``""`` where nobody can say.
    who: str
    #: The minute, counted from 2025, in which the login was last known to be in use.
    minute: int = 0
    #: A keyed hash of the app's own key for the person, where it set one.
    owner: str = ""


@dataclasses.dataclass
class Marks:
    """All that the session says of logins."""

    id: str = ""
    rows: list[Mark] = dataclasses.field(default_factory=list)

    def get(self, login: str) -> Mark | None:
        """The newest of a login: one may have several accounts, linked to each other."""
        return next((row for row in reversed(self.rows) if row.login == login), None)

    @property
    def live(self) -> list[Mark]:
        """Those with a login, the newest last."""
        return [row for row in self.rows if row.id]


def read_marks() -> Marks:
    """The session's marks; none where it has none, or something else under their key."""
    value = session.get(KEY)
    # A request asks several times. What is written is another list.
    kept = request._get_current_object().__dict__  # type: ignore[attr-defined]
    known, marks = kept.get("_oauth2_login_marks", (None, None))
    if marks is None or known is not value:
        kept["_oauth2_login_marks"] = value, (marks := parse_marks(value))
    return t.cast(Marks, marks)


def parse_marks(value: t.Any) -> Marks:
    """The marks that a session holds under :data:`KEY`."""
    if not value:
        return Marks()
    try:
        marks = Marks(str(value[0]), [Mark(*row) for row in value[1:]])
    except (TypeError, KeyError, IndexError):
        return Marks()
    return marks if all(map(_is_mark, marks.rows)) else Marks()


def write_marks(rows: t.Iterable[Mark]) -> None:
    """Put marks in the session, under a new id."""
    session[KEY] = [secrets.token_urlsafe(6), *map(_row, rows)]


def renew_marks_id(kept: dict[str, t.Any]) -> None:
    """Replace the id of the marks in a copy of a session, as :func:`write_marks` does."""
    if parse_marks(kept.get(KEY)).rows:
        kept[KEY] = [secrets.token_urlsafe(6), *kept[KEY][1:]]


def touch_mark(id: str) -> None:
    """Note that the login with this record is in use; the session is written by that."""
    marks = read_marks()
    for mark in (row for row in marks.rows if row.id == id):
        mark.minute = this_minute()
        session[KEY] = [marks.id, *map(_row, marks.rows)]


def this_minute() -> int:
    return int((time.time() - EPOCH) // 60)


def _is_mark(mark: Mark) -> bool:
    """Whether a row is what this release writes."""
    texts = (mark.login, mark.id, mark.who, mark.owner)
    return all(isinstance(text, str) for text in texts) and type(mark.minute) is int


def _row(mark: Mark) -> list[t.Any]:
    row = [mark.login, mark.id, mark.who, mark.minute]
    return [*row, mark.owner] if mark.owner else row
