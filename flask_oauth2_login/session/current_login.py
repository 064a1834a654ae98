"""Who is signed in: from the session's entries to opened records, each opened once a request."""

from __future__ import annotations

import logging
import typing as t

from ..client.session import OAuth2Session
from ..protocol.errors import LoginRequired
from ..protocol.identity import Identity
from ..stores.sealing import hashed_name
from .extension import current_extension
from .flask_session import SessionEntries, SessionEntry, end_entry, this_minute, touch_entry
from .registration import Registration
from .request_scope import RequestScope, request_scope
from .stored_login import StoredLogin

log = logging.getLogger("flask_oauth2_login")


def find_login(registration: Registration) -> StoredLogin | None:
    """Return this visitor's login; None if nobody is signed in there.

    :raises StoreError: the store can't say.
    """
    scope = request_scope()
    entry = scope.read_entries().get(registration.name)
    return _find(scope, registration, entry) if entry is not None else None


def find_logins(entries: SessionEntries) -> dict[str, StoredLogin]:
    """Return all of a session's logins that have not ended, by the record's id."""
    scope = request_scope()
    found = {entry.id: _find(scope, registration, entry) for registration, entry in _live(entries)}
    return {id: login for id, login in found.items() if login is not None}


def find_registration() -> Registration | None:
    """Return the login that let this request pass, else the one that was signed in last."""
    scope = request_scope()
    if scope.admitted is not None:
        return current_extension().get(scope.admitted)
    current = _find_newest(scope)
    return current[0] if current is not None else None


def find_current_login() -> tuple[Registration, StoredLogin] | None:
    """Return the login of :func:`find_registration`; None if nobody is signed in there."""
    scope = request_scope()
    if scope.admitted is None:
        return _find_newest(scope)
    registration = current_extension().get(scope.admitted)
    login = find_login(registration)
    return (registration, login) if login is not None else None


def _find_newest(scope: RequestScope) -> tuple[Registration, StoredLogin] | None:
    """Return the newest of the logins that have not ended."""
    entries = scope.read_entries()
    if not entries.all:
        return None
    logins = current_extension().logins
    for entry in reversed(entries.all):
        # Of several accounts at a login, the newest counts, even if it has ended.
        registration = logins.get(entry.login)
        if entry.id and registration is not None and entries.get(entry.login) is entry:
            login = _find(scope, registration, entry)
            if login is not None:
                return registration, login
    return None


def find_identity(registration: Registration | None) -> Identity | None:
    """Return who is signed in at a login; None if nobody is."""
    login = find_login(registration) if registration is not None else None
    return login.record.identity if login is not None else None


def find_session(registration: Registration | None) -> OAuth2Session:
    """Return this request's session for a login.

    :raises LoginRequired: nobody is signed in there.
    """
    if registration is None:
        raise LoginRequired
    sessions = request_scope().sessions
    if registration.name not in sessions:
        login = find_login(registration)
        login = login.token_source if login is not None else None
        if login is None:
            raise LoginRequired(login=registration.name)
        sessions[registration.name] = current_extension().make_session(registration, login)
    return sessions[registration.name]


def live_records(entries: SessionEntries) -> list[tuple[Registration, str]]:
    """Return the logins of a session that have not ended, with each record's name in its store."""
    return [
        (registration, hashed_name("record", entry.id)) for registration, entry in _live(entries)
    ]


def _live(entries: SessionEntries) -> list[tuple[Registration, SessionEntry]]:
    if not entries.all:
        return []
    logins = current_extension().logins
    return [(logins[entry.login], entry) for entry in entries.live if entry.login in logins]


def _find(
    scope: RequestScope, registration: Registration, entry: SessionEntry
) -> StoredLogin | None:
    if scope.is_store_down:
        return None
    key = (registration.name, entry.id)
    if key not in scope.opened:
        scope.opened[key] = _open(scope, registration, entry) if entry.id else None
    return t.cast("StoredLogin | None", scope.opened[key])


def _open(
    scope: RequestScope, registration: Registration, entry: SessionEntry
) -> StoredLogin | None:
    config = registration.config
    idle = (this_minute() - entry.last_used) * 60
    # The time of the last use is kept in minutes, so nothing has to be done within one.
    is_touched = idle > 0 and idle >= config.touch_seconds
    if is_touched and idle > config.idle_seconds + config.touch_seconds:
        log.info("%s: a login has ended. It was not used for %d s.", registration.name, idle)
        end_entry(scope.read_entries(), entry.id)
        return None
    login = StoredLogin(registration, entry.id)
    if login.reload() is None or (source := login.token_source) is None:
        return None
    if source is not login:
        # A refresh changes the claims of the grant only.
        login.record.identity.claims = source.record.identity.claims
        login.record.identity.roles = source.record.identity.roles
    if is_touched:
        login.touch()
        touch_entry(scope.read_entries(), entry.id)
    return login
