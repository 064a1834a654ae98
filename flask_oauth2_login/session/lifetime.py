"""Until when a record counts, and how long a store keeps it."""

from __future__ import annotations

import time

from ..config import Config
from .record import Record

#: How long (s) a store keeps a record whose lifetime is over. If the person comes back within that
#: time, the login's end is logged and its tokens are revoked.
EXPIRED_SECONDS = 24 * 3600
#: How long (s) a grant is kept without use. Usually `unlink` or the provider ends it.
GRANT_SECONDS = 10 * 365 * 24 * 3600


def expires_at(config: Config, record: Record) -> float:
    """Return until when a store keeps a record if it is not used again, in Unix seconds."""
    if record.is_grant:
        return time.time() + GRANT_SECONDS
    # Its use is noted only every `touch_seconds`.
    idle = time.time() + config.idle_seconds + config.touch_seconds
    end = _absolute_end(config.lifetime, record)
    return idle if end is None else min(idle, end + EXPIRED_SECONDS)


def _absolute_end(lifetime: float | None, record: Record) -> float | None:
    """Return when a record ends however much it is used, in Unix seconds; None for never."""
    return None if lifetime is None or record.is_grant else record.signed_in_at + lifetime


def is_over(config: Config, record: Record) -> bool:
    """Return True if a record has ended however much it is used."""
    lifetime = config.lifetime
    if lifetime is None:
        return False
    end = _absolute_end(lifetime, record)
    return end is not None and end <= time.time()
