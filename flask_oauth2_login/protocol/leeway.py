"""How far a provider's clock may differ from ours."""

from __future__ import annotations

import math
import typing as t

from .errors import ConfigurationError

#: How far (s) the provider's clock may differ from ours when ``exp``, ``iat``, ``nbf`` and
#: ``auth_time`` are compared: a minute, and 30 seconds that a request takes.
LEEWAY = 90.0


def check_leeway(leeway: t.Any) -> float:
    """Return a handler's option ``leeway`` in seconds.

    :raises ConfigurationError: it is not a number of seconds.
    """
    number = isinstance(leeway, (int, float)) and not isinstance(leeway, bool)
    if not number or not math.isfinite(leeway) or leeway < 0:
        raise ConfigurationError(
            f"leeway={leeway!r} is not a number of seconds: leeway=90.", row="option-value"
        )
    return float(leeway)
