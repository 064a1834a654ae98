"""Where a person is signed in, and how to end that."""

from __future__ import annotations

import dataclasses
import typing as t

from flask import has_request_context

from .session.current_login import find_logins
from .session.endings import note_ending, sign_in_name
from .session.last_use import last_use
from .session.lifetime import is_over
from .session.registration import Registration, server_store
from .session.request_scope import read_entries
from .session.store_labels import owner_key
from .session.stored_login import StoredLogin, end_and_revoke, find_stored_logins, open_record
from .signout.logout import end_logins
from .stores.base import all_ids


@dataclasses.dataclass(frozen=True)
class SignIn:
    """A browser in which a person is signed in: see `OAuth2Login.sign_ins`."""

    #: What `OAuth2Login.end_sign_ins` takes. It is a hash, and gives access to nothing.
    id: str
    #: The login's name.
    login: str
    #: When the person signed in, in Unix seconds.
    created_at: int
    #: When the sign-in was last known to be in use, in Unix seconds. Its use is noted once an hour
    #: at most.
    last_used_at: int
    #: The browser's ``User-Agent`` at the sign-in, up to 200 characters; ``""`` if it is unknown.
    #: A browser can send any text.
    user_agent: str
    #: True for the browser of this request.
    current: bool


def list_sign_ins(registration: Registration, owner: str) -> list[SignIn]:
    """Return where a person is signed in: this browser first, then what was used last.

    :raises ConfigurationError: browsers keep the records.
    """
    logins, own = _logins_of(registration, owner), _own_logins(registration, owner)
    found = [_describe(login, is_current=login.record.id in own) for login in logins]
    return sorted(found, key=lambda sign_in: (sign_in.current, sign_in.last_used_at), reverse=True)


def count_sign_ins(registration: Registration) -> int:
    """Return how many browsers are signed in. It reads all records of the login's store.

    :raises ConfigurationError: browsers keep the records.
    """
    store = server_store(registration)
    found = (store.read(id) for id in all_ids(store))
    records = (open_record(registration, stored.sealed) for stored in found if stored)
    return sum(
        record is not None and not record.is_grant and not is_over(registration.config, record)
        for record in records
    )


def end_sign_ins(
    registration: Registration, owner: str, ids: t.Collection[str], *, except_current: bool
) -> int:
    """End these sign-ins of a person, or all of them.

    :returns: how many have ended by now.
    :raises ConfigurationError: there are ids, and browsers keep the records.
    :raises StoreError: some could not be ended. This browser's has not.
    """
    own = _own_logins(registration, owner)
    spared = own if except_current else {}
    if registration.store is None:
        if ids:
            server_store(registration)
        note_ending(registration, owner_key(owner), *(login.record for login in spared.values()))
        ending = list(own.values())
    else:
        ending = _logins_of(registration, owner)
    ending = [
        login
        for login in ending
        if login.record.id not in spared and (not ids or sign_in_name(login.record) in ids)
    ]
    others = [login for login in ending if login.record.id not in own]
    end_and_revoke(others, "ended")
    if here := [login.record.id for login in ending if login.record.id in own]:
        # As a sign-out: the session is cleared, and on_logout is called.
        end_logins([registration.key], "ended", here)
    return len(ending)


def _logins_of(registration: Registration, owner: str) -> list[StoredLogin]:
    """Return a person's logins in browsers that have not ended."""
    return [
        login
        for login in find_stored_logins(registration, owner=owner_key(owner))
        if not login.record.is_grant and login.token_source is not None
    ]


def _own_logins(registration: Registration, owner: str) -> dict[str, StoredLogin]:
    """Return the person's logins in the browser of this request, by the records' ids."""
    if not has_request_context():
        return {}
    return {
        id: login
        for id, login in find_logins(read_entries()).items()
        if login.registration.key == registration.key
        and login.record.identity.owner == owner_key(owner)
    }


def _describe(login: StoredLogin, *, is_current: bool) -> SignIn:
    record = login.record
    return SignIn(
        id=sign_in_name(record),
        login=login.name,
        created_at=record.signed_in_at,
        last_used_at=last_use(login.registration, record),
        user_agent=record.user_agent or "",
        current=is_current,
    )
