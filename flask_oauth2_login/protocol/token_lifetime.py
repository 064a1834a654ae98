"""How long an access token lives, as providers say it: RFC 6749, section 5.1."""

from __future__ import annotations

import math
import time
import typing as t

#: The longest lifetime (s) that is believed: ten years. Longer ones count as unknown.
MAX_LIFETIME = 10 * 365 * 24 * 3600


def set_expiry(token: dict[str, t.Any]) -> None:
    """Set ``expires_at`` of a token response from ``expires_in``, or from ``expires``.

    Old drafts have the second name.
    """
    now = time.time()
    lifetime = _seconds(token.pop("expires_in", None)) or _seconds(token.pop("expires", None))
    stated = _number(token.pop("expires_at", None))
    if lifetime:
        token["expires_in"] = lifetime
        token["expires_at"] = int(now) + lifetime
    elif stated is not None and now - MAX_LIFETIME < stated < now + MAX_LIFETIME:
        token["expires_at"] = int(stated)


def _seconds(value: t.Any) -> int | None:
    """Return a lifetime in whole seconds, or None if it is unknown.

    Zero is unknown too: some providers send it for tokens that never expire.
    """
    number = _number(value)
    return int(number) if number is not None and 1 <= number <= MAX_LIFETIME else None


def _number(value: t.Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
