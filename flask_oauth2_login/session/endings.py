"""Whose sign-ins have all been ended, where browsers keep the records.

Nobody knows which browsers have records of a person. So the local store gets a note that sign-ins
up to now have ended, and each record is compared with it when it is opened.
"""

from __future__ import annotations

import dataclasses
import json
import time
import typing as t

from ..stores.base import ENDINGS
from ..stores.sealing import hashed_name
from .browser_record import GRACE_SECONDS
from .lifetime import is_over
from .record import Record
from .registration import Registration

if t.TYPE_CHECKING:
    from ..stores.local import LocalStore


class Ending(t.NamedTuple):
    """A note that a person's sign-ins have ended."""

    #: Sign-ins up to this time have ended, in Unix seconds.
    until: int
    #: The name of a sign-in that has not; ``""`` for none.
    spared: str


NO_ENDING = Ending(0, "")


def sign_in_name(record: Record) -> str:
    """Return a name for the sign-in of a record. It gives access to nothing."""
    return hashed_name("sign-in", record.id)


def note_ending(registration: Registration, owner: str, spared: Record | None = None) -> None:
    """Note that all sign-ins of a person have ended.

    :param spared: the record of a sign-in that has not.
    """
    former, config = _read(registration, owner), registration.config
    # Another request may have ended the spared one just now.
    is_spared = spared is not None and not _is_ended(spared, former)
    # Somebody may have signed in since the former ending, within the same second.
    ending = Ending(
        max(former.until + 1, int(time.time())),
        sign_in_name(spared) if spared is not None and is_spared else "",
    )
    end = time.time() + config.idle_seconds + config.touch_seconds + GRACE_SECONDS
    for name in _names(registration, owner):
        _local_store(registration).put(name, json.dumps(ending), end)


def find_end(registration: Registration, record: Record) -> str | None:
    """Return why a record that is in its store has ended; None if it has not.

    :returns: a reason of `logged_out`.
    :raises StoreError: it is unknown whether all sign-ins of the person have ended.
    """
    if is_over(registration.config, record):
        return "expired"
    if registration.store is not None or not _local_store(registration).has_endings:
        return None
    owner = record.identity.owner
    return "ended" if owner and _is_ended(record, _read(registration, owner)) else None


def after_endings(registration: Registration, record: Record) -> Record:
    """Return the record of a new sign-in, with a time of its own after the person's endings.

    Times are whole seconds, and a clock may have been put back.

    :raises StoreError: the notes can't be read.
    """
    owner = record.identity.owner
    if registration.store is not None or not owner:
        return record
    if all(map(_local_store(registration).is_unwritten, _names(registration, owner))):
        return record
    at = max(record.signed_in_at, _read(registration, owner).until + 1)
    return dataclasses.replace(record, signed_in_at=at)


def _is_ended(record: Record, ending: Ending) -> bool:
    return record.signed_in_at <= ending.until and sign_in_name(record) != ending.spared


def _read(registration: Registration, owner: str) -> Ending:
    notes = [_local_store(registration).read(name) for name in _names(registration, owner)]
    return max((Ending(*json.loads(note.sealed)) for note in notes if note), default=NO_ENDING)


def _names(registration: Registration, owner: str) -> list[str]:
    """Return the note's names by each of the app's secrets, which may be changing just now."""
    hashes = registration.sealer.keyed_hashes("ended", *registration.context, owner)
    return [ENDINGS + hashed for hashed in hashes]


def _local_store(registration: Registration) -> LocalStore:
    return t.cast("LocalStore", registration.shared_store)
