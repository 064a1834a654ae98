"""What `flask.session` holds of logins: which ones the browser has, and whose they are.

It is a list, because sessions are cookies: first an id, which is drawn anew at each sign-in and
sign-out, then one row for each login, the one that was signed in last at the end. Each tenant of a
login has rows of its own.
"""

from __future__ import annotations

import dataclasses
import secrets
import time
import typing as t

from flask import session

from ..stores.sealing import hashed_name

KEY = "_oauth2"
#: The beginning of 2025 in Unix seconds. Minutes are counted from it, to need fewer digits.
EPOCH = 1_735_689_600


def login_key(login: str, tenant: str = "") -> str:
    """Return the name of a login, or of one tenant's, for cookies and the request's dictionaries.

    It is short, however long the tenant's name is.
    """
    return f"{login}~{hashed_name('tenant', tenant)[:16]}" if tenant else login


def has_tenant(key: str) -> bool:
    """Return True if a `login_key` is that of a tenant."""
    return "~" in key


@dataclasses.dataclass
class SessionEntry:
    """One login that the browser has or had."""

    #: The login's name.
    login: str
    #: The record's id; ``""`` if the login has ended.
    id: str
    #: A keyed hash of the person's id at the provider; ``""`` if that is unknown.
    subject_hash: str
    #: The minute since `EPOCH` in which the login was last known to be in use.
    last_used: int = 0
    #: A keyed hash of the app's own key for the person; ``""`` if the app has set none.
    owner_hash: str = ""
    #: The tenant; ``""`` if the login has none.
    tenant: str = ""

    @property
    def key(self) -> str:
        """The `login_key` of this entry."""
        return login_key(self.login, self.tenant)


@dataclasses.dataclass
class SessionEntries:
    """Everything that a session says of logins."""

    id: str = ""
    all: list[SessionEntry] = dataclasses.field(default_factory=list)

    def get(self, login: str, tenant: str = "") -> SessionEntry | None:
        """Return the newest entry of a login, which may have several linked accounts."""
        for entry in reversed(self.all):
            if entry.login == login and entry.tenant == tenant:
                return entry
        return None

    @property
    def live(self) -> list[SessionEntry]:
        """The entries whose login has not ended, the newest last."""
        return [entry for entry in self.all if entry.id]


def parse_entries(value: t.Any) -> SessionEntries:
    """Return the entries that a session has under `KEY`; none if the value is not valid."""
    if not value:
        return SessionEntries()
    try:
        entries = SessionEntries(str(value[0]), [SessionEntry(*row) for row in value[1:]])
    except (TypeError, KeyError, IndexError):
        return SessionEntries()
    for entry in entries.all:
        if not _is_valid(entry):
            return SessionEntries()
    return entries


def write_entries(entries: t.Iterable[SessionEntry]) -> None:
    """Write entries to the session, under a new id."""
    session[KEY] = [secrets.token_urlsafe(6), *map(_as_row, entries)]


def renew_entries_id(copy: dict[str, t.Any]) -> None:
    """Change the id of the entries in a copy of a session, as `write_entries` does."""
    if parse_entries(copy.get(KEY)).all:
        copy[KEY] = [secrets.token_urlsafe(6), *copy[KEY][1:]]


def touch_entry(entries: SessionEntries, id: str) -> None:
    """Write to the session that the login with this record is in use."""
    for entry in entries.all:
        if entry.id == id:
            entry.last_used = this_minute()
            session[KEY] = [entries.id, *map(_as_row, entries.all)]


def end_entry(entries: SessionEntries, id: str) -> None:
    """Write to the session that the login with this record has ended."""
    for entry in entries.all:
        if entry.id == id:
            entry.id = ""
            session[KEY] = [entries.id, *map(_as_row, entries.all)]


def this_minute() -> int:
    """Return the number of the current minute since `EPOCH`."""
    return int((time.time() - EPOCH) // 60)


def _is_valid(entry: SessionEntry) -> bool:
    return (
        type(entry.login) is type(entry.id) is type(entry.subject_hash) is str
        and type(entry.owner_hash) is type(entry.tenant) is str
        and type(entry.last_used) is int
    )


def _as_row(entry: SessionEntry) -> list[t.Any]:
    row = [entry.login, entry.id, entry.subject_hash, entry.last_used]
    if entry.tenant:
        return [*row, entry.owner_hash, entry.tenant]
    return [*row, entry.owner_hash] if entry.owner_hash else row


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
