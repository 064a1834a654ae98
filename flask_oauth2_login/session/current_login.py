"""Who is signed in: from the session's entries to opened records, each opened once a request."""

from __future__ import annotations

import typing as t

from ..protocol.identity import Identity
from ..stores.sealing import hashed_name
from .extension import current_extension
from .flask_session import SessionEntries, SessionEntry, this_minute, touch_entry
from .registration import Registration
from .request_scope import request_scope
from .stored_login import StoredLogin


def find_login(registration: Registration) -> StoredLogin | None:
    """Return this visitor's login; None if nobody is signed in there.

    :raises StoreError: the store can't say.
    """
    entry = request_scope().read_entries().get(registration.name)
    return _find(registration, entry) if entry is not None else None


def find_logins(entries: SessionEntries) -> dict[str, StoredLogin]:
    """Return all of a session's logins that have not ended, by the record's id."""
    found = {entry.id: _find(registration, entry) for registration, entry in _live(entries)}
    return {id: login for id, login in found.items() if login is not None}


def find_registration() -> Registration | None:
    """Return the login that let this request pass, else the one that was signed in last."""
    scope = request_scope()
    if scope.admitted is not None:
        return current_extension().get(scope.admitted)
    for registration, _ in reversed(_live(scope.read_entries())):
        if find_login(registration) is not None:
            return registration
    return None


def find_identity(registration: Registration | None) -> Identity | None:
    """Return who is signed in at a login; None if nobody is."""
    login = find_login(registration) if registration is not None else None
    return login.record.identity if login is not None else None


def live_records(entries: SessionEntries) -> list[tuple[Registration, str]]:
    """Return the logins of a session that have not ended, with each record's name in its store."""
    return [
        (registration, hashed_name("record", entry.id)) for registration, entry in _live(entries)
    ]


def _live(entries: SessionEntries) -> list[tuple[Registration, SessionEntry]]:
    logins = current_extension().logins
    return [(logins[entry.login], entry) for entry in entries.live if entry.login in logins]


def _find(registration: Registration, entry: SessionEntry) -> StoredLogin | None:
    scope, key = request_scope(), (registration.name, entry.id)
    if scope.is_store_down:
        return None
    if key not in scope.opened:
        scope.opened[key] = _open(registration, entry) if entry.id else None
    return t.cast("StoredLogin | None", scope.opened[key])


def _open(registration: Registration, entry: SessionEntry) -> StoredLogin | None:
    config = registration.config
    idle = (this_minute() - entry.last_used) * 60
    if idle > config.idle_seconds + config.touch_seconds:
        return None
    login = StoredLogin(registration, entry.id)
    if login.reload() is None or (source := login.token_source) is None:
        return None
    if source is not login:
        # A refresh changes the claims of the grant only.
        login.record.identity.claims = source.record.identity.claims
    if idle >= config.touch_seconds:
        login.touch()
        touch_entry(request_scope().read_entries(), entry.id)
    return login
