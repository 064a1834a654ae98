"""One request's view of its visitor: which logins are there, each read once."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from flask import request

from ..client.session import OAuth2Session
from ..protocol.errors import StoreError
from ..protocol.identity import Identity
from ..stores.base import SharedStore
from ..stores.sealing import hashed_name
from ..stores.shared import overwrite
from .entries import Mark, Marks, parse_marks, read_marks, this_minute, touch_mark
from .extension import current_extension
from .registration import Registration
from .stored_login import RecordHome

#: Seconds for which a request may run after its login was displaced, and still be known for old.
SLOWEST_REQUEST = 24 * 3600
#: How far (s) the clocks of machines that share a store may differ.
CLOCK_SKEW = 60


@dataclasses.dataclass
class Visit:
    """What this request has found out so far."""

    #: Unix seconds; what was displaced later than this was displaced while the request ran.
    started: float = dataclasses.field(default_factory=lambda: time.time())
    #: Where a sign-in that this request takes up would have led.
    attempted_next: str | None = None
    #: Where a person may try again what has just failed.
    again_url: str | None = None
    #: What the session said of logins when it came.
    marks: t.Any = None
    #: Whether it was to outlast the browser.
    was_permanent: bool = False
    #: Unix seconds; when this request has put other marks in their place.
    displaced_at: float | None = None
    #: Whether the session's cookie could not come along: then another must not take its place.
    came_without_session: bool = False
    #: Whether a store that fails is being answered: nobody is signed in on that page.
    is_store_down: bool = False
    #: Whether the sign-in that this request takes up adds an account.
    is_linking: bool = False
    #: The login of the guard that let this request in.
    admitted: str | None = None
    #: Where the records are stored, by the login's name and the record's id.
    homes: dict[tuple[str, str], RecordHome | None] = dataclasses.field(default_factory=dict)
    sessions: dict[str, OAuth2Session] = dataclasses.field(default_factory=dict)

    def forget(self) -> None:
        """Look anew who is signed in."""
        self.homes.clear()
        self.sessions.clear()


def current_visit() -> Visit:
    """This request's visit. It is kept on the request, for an app context may outlive one."""
    kept = request._get_current_object().__dict__  # type: ignore[attr-defined]
    visit: Visit | None = kept.get("_oauth2_login_visit")
    if visit is None:
        visit = kept["_oauth2_login_visit"] = Visit()
    return visit


def find_home(login: Registration) -> RecordHome | None:
    """Where this visitor's record of a login rests; None where nobody is signed in there."""
    mark = read_marks().get(login.name)
    return _find_home(login, mark) if mark is not None else None


def _find_home(login: Registration, mark: Mark) -> RecordHome | None:
    visit = current_visit()
    if visit.is_store_down:
        return None
    homes, key = visit.homes, (login.name, mark.id)
    if key not in homes:
        homes[key] = _open_home(login, mark) if mark.id else None
    return homes[key]


def current_login() -> Registration | None:
    """The login that let this request in, else the one that was signed in last."""
    extension = current_extension()
    admitted = current_visit().admitted
    if admitted is not None:
        return extension.get(admitted)
    for mark in reversed(read_marks().live):
        login = extension.logins.get(mark.login)
        if login is not None and find_home(login) is not None:
            return login
    return None


def find_identity(login: Registration | None) -> Identity | None:
    """Who is signed in at a login; None where nobody is."""
    home = find_home(login) if login is not None else None
    return home.record.identity if home is not None else None


def find_homes(marks: Marks) -> dict[str, RecordHome]:
    """By record's id, where the records of all the logins are that live."""
    logins = current_extension().logins
    found = {
        row.id: _find_home(logins[row.login], row) for row in marks.live if row.login in logins
    }
    return {id: home for id, home in found.items() if home is not None}


def live_records(marks: Marks) -> list[tuple[Registration, str]]:
    """Of marks, the logins that live, each with what its record is called in the store."""
    logins = current_extension().logins
    return [
        (logins[row.login], hashed_name("record", row.id))
        for row in marks.live
        if row.login in logins
    ]


def displace_marks(marks: Marks) -> None:
    """Note that a session with these marks is an old one, for requests that still have it."""
    now = current_visit().displaced_at = time.time()
    if not marks.id:
        return
    name = hashed_name("marks", marks.id)
    for board in _boards(marks):
        overwrite(board, name, repr(now), now + SLOWEST_REQUEST)


def were_displaced(visit: Visit) -> bool:
    """Whether somebody else displaced the marks that came with a request, while it ran.

    If this request displaced them too, return True only if somebody else did so later.
    """
    marks = parse_marks(visit.marks)
    if not marks.id:
        return False
    name, machine = hashed_name("marks", marks.id), current_extension().machine
    for board in _boards(marks):
        try:
            note = board.read(name)
        except StoreError:
            # Nobody knows. Whoever looks for a record there finds none now.
            continue
        if note is None:
            continue
        at = float(note.sealed)
        if visit.displaced_at is not None:
            return at != visit.displaced_at
        # A note from before this request means that the browser never received the newer marks. If
        # the order is uncertain because clocks differ, treat the request as the old one.
        if at >= visit.started - (0 if board is machine else CLOCK_SKEW):
            return True
    return False


def _boards(marks: Marks) -> list[SharedStore]:
    """Where it is noted what was displaced: where the requests of all these logins look."""
    extension = current_extension()
    logins = (extension.logins.get(row.login) for row in marks.rows)
    stores = [login.shared for login in logins if login is not None] or [extension.machine]
    return list({id(store): store for store in stores}.values())


def _open_home(login: Registration, mark: Mark) -> RecordHome | None:
    extension = current_extension()
    idle = (this_minute() - mark.minute) * 60
    if idle > extension.idle_seconds + extension.touch_seconds:
        return None
    home = RecordHome(login, mark.id)
    if home.reload() is None or home.token_home is None:
        return None
    if idle >= extension.touch_seconds:
        home.touch()
        touch_mark(mark.id)
    return home
