"""How requests to one provider are sent."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import typing as t

from .connections import Connections
from .errors import ConfigurationError

#: The most seconds that one request to a provider's own endpoint may take.
MAX_SECONDS = 30.0

Timeout = float | tuple[float, float]


@dataclasses.dataclass(frozen=True)
class HTTPOptions:
    """How requests to one provider are sent.

    :param timeout: seconds to connect and seconds between two bytes, or one number for both.
    :param verify: as in requests: False, or the path of a CA bundle. None means the environment's.
    :param cert: as in requests: the path of a client certificate, or the paths of it and its key.
    :param proxies: as in requests: proxy URLs by scheme. None means the environment's.
    :raises ConfigurationError: the timeout is not a number of seconds or two, or a file of
        ``verify`` or ``cert`` does not exist.
    """

    timeout: Timeout = (5.0, 15.0)
    verify: bool | str | None = None
    cert: str | tuple[str, str] | None = None
    proxies: t.Mapping[str, str] | None = dataclasses.field(default=None, repr=False)
    #: The open connections of all requests with these options.
    connections: Connections = dataclasses.field(
        default_factory=Connections, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        timeout_pair(self.timeout)
        if self.proxies is not None and not isinstance(self.proxies, t.Mapping):
            # Without its value, which may have a password.
            raise ConfigurationError(
                "proxies is not a dictionary of proxy URLs by scheme: proxies={'https': 'http://…'}.",
                row="option-value",
            )
        for name, given in (("verify", self.verify), ("cert", self.cert)):
            for path in given if isinstance(given, tuple) else (given,):
                if isinstance(path, str):
                    require_file(name, path)

    @functools.cached_property
    def max_request_seconds(self) -> float:
        """The most seconds that one request takes in all."""
        return min(MAX_SECONDS, sum(timeout_pair(self.timeout)))

    @functools.cached_property
    def pair(self) -> tuple[float, float]:
        """Seconds to connect and seconds between two bytes.

        The TLS handshake has the first of them once more, so it is half of the total at the most.
        """
        connect, read = timeout_pair(self.timeout)
        return min(connect, self.max_request_seconds / 2), read


def timeout_pair(timeout: t.Any) -> tuple[float, float]:
    """Return seconds to connect and seconds between two bytes.

    :raises ConfigurationError: the timeout is neither a positive number nor a pair of them.
    """
    pair = tuple(timeout) if isinstance(timeout, (tuple, list)) else (timeout, timeout)
    if len(pair) != 2 or not all(_is_duration(seconds) for seconds in pair):
        raise ConfigurationError(
            f"timeout={timeout!r} is neither a number of seconds nor two of them, (connect, read):"
            " timeout=(5, 15).",
            row="option-value",
        )
    return pair


def require_file(name: str, path: str) -> None:
    """Check that a file or folder exists.

    :raises ConfigurationError: it does not.
    """
    if not os.path.exists(path):
        raise ConfigurationError(
            f"{name}={path!r}: there is no such file. Correct the path.", row="no-such-file"
        )


def _is_duration(value: t.Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and value > 0 and math.isfinite(value)
