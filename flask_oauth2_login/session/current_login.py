"""Who is signed in: from the session's entries to opened records, each opened once a request."""

from __future__ import annotations

import logging
import typing as t

from flask import has_request_context

from ..client.session import OAuth2Session
from ..protocol.errors import ConfigurationError, LoginRequired
from ..protocol.identity import Identity
from ..protocol.token import Token
from ..stores.sealing import hashed_name
from .context import this_request
from .exchanged_token import session_of_login
from .extension import current_extension
from .flask_session import SessionEntries, SessionEntry, end_entry, this_minute, touch_entry
from .login_options import LoginHooks
from .record import copy_members
from .registration import Login, Registration, records_of
from .request_scope import RequestScope, request_scope
from .stored_login import StoredLogin
from .tenants import find_here, registration_here, registration_of

log = logging.getLogger("flask_oauth2_login")


def find_login(registration: Registration) -> StoredLogin | None:
    """Return this visitor's login; None if nobody is signed in there.

    :raises StoreError: the store can't say.
    """
    scope = request_scope()
    entry = scope.read_entries().get(registration.name, registration.tenant)
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
        return find_here(scope.admitted)
    current = _find_newest(scope)
    return current.registration if current is not None else None


def find_own_login(hooks: LoginHooks, name: str) -> Login:
    """Return a blueprint's login in the current app.

    If it has several names there, return the one that the request is for, or else the one where
    somebody is signed in.

    :param hooks: the blueprint's hooks, by which it is recognised.
    :param name: the blueprint's name, for the error.
    :raises ConfigurationError: the app has no such login.
    """
    logins = [login for login in current_extension().logins.values() if login.hooks is hooks]
    if not logins:
        raise ConfigurationError(
            f"The login {name!r} is not registered with this app: app.register_blueprint(login).",
            row="login-not-registered",
        )
    if not has_request_context():
        return logins[0]
    requested = {this_request().blueprint, request_scope().admitted}
    for login in logins:
        if login.name in requested:
            return login
    if len(logins) > 1:
        for login in logins:
            registration = registration_here(login)
            if registration is not None and find_login(registration):
                return login
    return logins[0]


def find_current_login(scope: RequestScope) -> StoredLogin | None:
    """Return the login of :func:`find_registration`; None if nobody is signed in there.

    :param scope: the state of this request.
    """
    if scope.admitted is None:
        return _find_newest(scope)
    registration = find_here(scope.admitted)
    return find_login(registration) if registration is not None else None


def _find_newest(scope: RequestScope) -> StoredLogin | None:
    """Return the newest of the logins that have not ended."""
    entries = scope.read_entries()
    if not entries.all:
        return None
    logins = current_extension().logins
    for entry in reversed(entries.all):
        # Of several accounts at a login, the newest counts, even if it has ended.
        if not entry.id or entry.login not in logins:
            continue
        registration = registration_here(logins[entry.login])
        if registration is not None and entries.get(entry.login, registration.tenant) is entry:
            login = _find(scope, registration, entry)
            if login is not None:
                return login
    return None


def end_unusable(entries: t.Iterable[SessionEntry]) -> None:
    """End the records of tenants that can't be used now, among those of these entries.

    Such a record can't be opened, so its token can't be revoked. But a copy of the browser's
    cookies must open nothing once the tenant can be used again.

    :raises StoreError: one can't be ended.
    """
    for entry in entries:
        login = current_extension().logins.get(entry.login)
        if login is not None and entry.tenant and registration_of(entry) is None:
            records_of(login, entry.key).delete(hashed_name("record", entry.id))


def find_identity(registration: Registration | None) -> Identity | None:
    """Return who is signed in at a login; None if nobody is."""
    login = find_login(registration) if registration is not None else None
    return login.identity if login is not None else None


def find_token(registration: Registration) -> Token | None:
    """Return a copy of the token of who is signed in at a login; None if nobody is."""
    login = find_login(registration)
    source = login.token_source if login is not None else None
    if source is None:
        return None
    token = Token(copy_members(source.record.token))
    token.dpop_key = source.record.token.dpop_key
    return token


def find_session(registration: Registration | None) -> OAuth2Session:
    """Return this request's session for a login.

    :raises LoginRequired: nobody is signed in there.
    """
    if registration is None:
        raise LoginRequired
    sessions, key = request_scope().sessions, registration.key
    if key not in sessions:
        login = find_login(registration)
        login = login.token_source if login is not None else None
        if login is None:
            raise LoginRequired(login=registration.name)
        sessions[key] = session_of_login(login)
    return sessions[key]


def live_records(entries: SessionEntries) -> list[tuple[Registration, str]]:
    """Return the logins of a session that have not ended, with each record's name in its store."""
    return [
        (registration, hashed_name("record", entry.id)) for registration, entry in _live(entries)
    ]


def _live(entries: SessionEntries) -> list[tuple[Registration, SessionEntry]]:
    """Return the entries of logins that have not ended, of all tenants, and the registrations."""
    found = ((registration_of(entry), entry) for entry in entries.live)
    return [(registration, entry) for registration, entry in found if registration is not None]


def _find(
    scope: RequestScope, registration: Registration, entry: SessionEntry
) -> StoredLogin | None:
    if scope.is_store_down:
        return None
    key, opened = (registration.key, entry.id), scope.opened
    if key not in opened:
        opened[key] = _open(scope, registration, entry) if entry.id else None
    login: StoredLogin | None = opened[key]
    return login


def _open(
    scope: RequestScope, registration: Registration, entry: SessionEntry
) -> StoredLogin | None:
    config = registration.config
    idle = (this_minute() - entry.last_used) * 60
    # The time of the last use is kept in minutes, so nothing has to be done within one.
    is_touched = idle > 0 and idle >= config.touch_seconds
    if is_touched and idle > config.idle_seconds + config.touch_seconds:
        log.info("%s: a login has ended. It was not used for %d s.", registration.log_name, idle)
        end_entry(scope.read_entries(), entry.id)
        return None
    login = StoredLogin(registration, entry.id)
    if login.reload() is None or login.token_source is None:
        return None
    if is_touched:
        login.touch()
        touch_entry(scope.read_entries(), entry.id)
    return login
