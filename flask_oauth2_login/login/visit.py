"""One request's view of its visitor: which logins are there, each read once."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from flask import request

from ..protocol.identity import Identity
from ..protocol.session import OAuth2Session
from ..stores.sealing import name_of
from .extension import Login
from .extension import current_extension
from .home import RecordHome
from .mark import Mark
from .mark import Marks
from .mark import read_marks
from .mark import this_hour
from .mark import touch_mark

#: Seconds for which a request may run after its login was displaced, and still be known for old.
SLOWEST_REQUEST = 24 * 3600


@dataclasses.dataclass
class Visit:
    """What this request has found out so far."""

    #: Unix seconds; what was displaced later than this was displaced while the request ran.
    started: float = dataclasses.field(default_factory=time.time)
    #: Where a sign-in that this request takes up would have led.
    attempted_next: str | None = None
    #: Where a person may try again what has just failed.
    again_url: str | None = None
    #: What the session said of logins when it came.
    marks: t.Any = None
    has_written_marks: bool = False
    #: The login of the guard that let this request in.
    admitted: str | None = None
    homes: dict[str, RecordHome | None] = dataclasses.field(default_factory=dict)
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


def find_home(login: Login) -> RecordHome | None:
    """Where this visitor's record of a login rests; None where nobody is signed in there."""
    homes = current_visit().homes
    if login.name not in homes:
        homes[login.name] = _open_home(login)
    return homes[login.name]


def current_login() -> Login | None:
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


def find_identity(login: Login | None) -> Identity | None:
    home = find_home(login) if login is not None else None
    return home.record.identity if home is not None else None


def find_homes(marks: Marks) -> dict[str, RecordHome]:
    """By login's name, where the records of all the logins are that live."""
    logins = current_extension().logins
    found = {row.login: find_home(logins[row.login]) for row in marks.live if row.login in logins}
    return {name: home for name, home in found.items() if home is not None}


def displace_marks(marks: Marks) -> None:
    """Note that a session with these marks is an old one, for requests that still have it."""
    current_visit().has_written_marks = True
    if marks.id:
        name, now = name_of("marks", marks.id), time.time()
        machine = current_extension().machine
        machine.delete(name)
        machine.create(name, repr(now), {}, now + SLOWEST_REQUEST)


def were_displaced(visit: Visit) -> bool:
    """Whether the marks that came with a request were displaced while it ran."""
    note = current_extension().machine.read(name_of("marks", str(visit.marks[0])))
    return note is not None and float(note.sealed) >= visit.started


def _open_home(login: Login) -> RecordHome | None:
    mark = read_marks().get(login.name)
    if mark is None or not mark.id or _idle(mark):
        return None
    home = RecordHome(login, mark.id)
    if home.reload() is None:
        return None
    if mark.hour < this_hour():
        home.touch()
        touch_mark(login.name)
    return home


def _idle(mark: Mark) -> bool:
    """Whether a login was not used for so long that it has ended."""
    return time.time() - (mark.hour + 1) * 3600 > current_extension().lifetime()
