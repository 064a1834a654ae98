"""Sessions that a sign-in or sign-out has replaced, while a slow request still carries them."""

from __future__ import annotations

import time

from ..protocol.errors import StoreError
from ..stores.base import SharedStore
from ..stores.local import overwrite
from ..stores.sealing import hashed_name
from .cookies import CLOCK_SKEW
from .extension import current_extension
from .flask_session import SessionEntries, parse_entries
from .request_scope import request_scope

#: How long (s) a superseded session is remembered, to recognise slow requests that still carry it.
REMEMBERED_SECONDS = 24 * 3600


def mark_superseded(entries: SessionEntries) -> None:
    """Note that a session with these entries has been replaced by this request.

    :raises StoreError: it can't be noted.
    """
    scope = request_scope()
    # A request may do this several times, once for each login that it ends. Its notes must all have
    # the same time, by which it knows them as its own.
    now = scope.superseded_at = scope.superseded_at or time.time()
    if not entries.id:
        return
    name = hashed_name("marks", entries.id)
    for store in _shared_stores(entries):
        overwrite(store, name, repr(now), now + REMEMBERED_SECONDS)


def was_superseded() -> bool:
    """Return True if another request has replaced this request's session while this one ran.

    If this request replaced the session too, only a later replacement counts.
    """
    scope = request_scope()
    entries = parse_entries(scope.received_entries)
    if not entries.id:
        return False
    name, local_store = hashed_name("marks", entries.id), current_extension().local_store
    for store in _shared_stores(entries):
        try:
            note = store.read(name)
        except StoreError:
            # It is unknown. Whoever looks for a record in this store finds none now.
            continue
        if note is None:
            continue
        at = float(note.sealed)
        if scope.superseded_at is not None:
            return at != scope.superseded_at
        # A note from before this request means that the browser never received the newer entries.
        # If clocks may differ and the order is uncertain, treat the request as the old one.
        if at >= scope.started_at - (0 if store is local_store else CLOCK_SKEW):
            return True
    return False


def _shared_stores(entries: SessionEntries) -> list[SharedStore]:
    """Return the stores where the requests of all these logins look for such notes."""
    extension = current_extension()
    found = (extension.logins.get(entry.login) for entry in entries.all)
    stores = [registration.shared_store for registration in found if registration is not None]
    return list({id(store): store for store in stores or [extension.local_store]}.values())
