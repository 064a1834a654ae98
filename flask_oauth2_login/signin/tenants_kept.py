"""At how many tenants of a login a browser can be signed in: the oldest make room for a new one."""

from __future__ import annotations

import json
import secrets
import typing as t

from ..protocol.errors import ProviderAnswerError
from ..session.flask_session import SessionEntry, write_entries
from ..session.record import Record
from ..session.registration import Registration
from ..session.stored_login import seal_within_room

#: The most tenants of a login that one browser is signed in at. Each takes some 100 bytes of the
#: session's cookie, and some 1,700 bytes of cookies if browsers keep the records.
MAX_TENANTS = 8
#: The most bytes that the names of the other tenants take in the session's cookie.
MAX_NAMES = 1000
#: Characters to leave free for what ``on_login`` adds to the record and to the session.
ROOM_FOR_ON_LOGIN = 256


def keep_tenants(
    registration: Registration, record: Record, others: list[SessionEntry], entry: SessionEntry
) -> list[SessionEntry]:
    """Return those of a session's other entries that stay beside a new one.

    :param record: the record of the new entry.
    """
    if not registration.tenant:
        return others
    older = dict.fromkeys(
        each.tenant
        for each in reversed(others)
        if each.login == registration.name and each.tenant != registration.tenant
    )
    # The newest tenant first.
    tenants = list(older)[: MAX_TENANTS - 1]
    while sum(len(json.dumps(tenant)) for tenant in tenants) > MAX_NAMES:
        tenants.pop()
    kept = _without(others, registration, {*older} - {*tenants})
    if registration.browser_store is None:
        return kept
    _, sealed = seal_within_room(registration, record)
    # Random, because a session's cookie is compressed.
    sealed += secrets.token_urlsafe(ROOM_FOR_ON_LOGIN)[:ROOM_FOR_ON_LOGIN]
    while True:
        # What the session names counts when the room for a record is measured.
        write_entries([*kept, entry])
        try:
            registration.browser_store.check(registration.key, sealed)
        except ProviderAnswerError:
            if not tenants:
                # It is too large by itself. Storing it says so.
                return kept
            kept = _without(kept, registration, {tenants.pop()})
        else:
            return kept


def _without(
    entries: list[SessionEntry], registration: Registration, tenants: t.Collection[str]
) -> list[SessionEntry]:
    name = registration.name
    return [each for each in entries if each.login != name or each.tenant not in tenants]
