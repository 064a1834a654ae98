"""When a login was used last, for logins whose records are in a server-side store.

A store can change when a record expires, but not say it. So each touch, which is at most once an
hour, writes the time into a note beside the record.
"""

from __future__ import annotations

import time

from ..stores.local import overwrite
from ..stores.sealing import hashed_name
from .record import Record
from .registration import Registration


def note_use(registration: Registration, record: Record, expires_at: float) -> None:
    """Note that a login is in use now, unless a browser keeps its record.

    :param expires_at: until when the store keeps the record, in Unix seconds.
    :raises StoreError: it can't be noted.
    """
    if registration.store is not None and not record.is_grant:
        now = str(int(time.time()))
        overwrite(registration.store, hashed_name("used", record.id), now, expires_at)


def last_use(registration: Registration, record: Record) -> int:
    """Return when a login in a server-side store was last known to be in use, in Unix seconds.

    :raises StoreError: the store can't say.
    """
    note = registration.shared_store.read(hashed_name("used", record.id))
    return record.signed_in_at if note is None else int(note.sealed)
