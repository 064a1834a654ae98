"""Back-off: pauses of this process after failed refresh requests.

A response about one token causes a pause for that login only. All logins of a provider pause only
if the provider can't be reached, or fails for several people in a row. After such a pause one
request tries again.
"""

from __future__ import annotations

import math
import threading
import time
import typing as t

from ..protocol.errors import ProviderError, ProviderUnavailableError, ProviderUnreachableError
from .token_source import TokenSource

#: Seconds to wait after a failure if the provider sends no Retry-After.
BACKOFF_SECONDS = 3
#: The longest wait (s) that a provider's Retry-After can cause.
MAX_BACKOFF_SECONDS = 300
#: After failing (5xx, 429) for this many people in a row, a provider counts as down for everybody.
MAX_FAILING_PEOPLE = 3
#: The pause (s) after the API has rejected a token that had just been refreshed.
REJECTED_SECONDS = 300
#: The most logins to remember. Beyond it the oldest are forgotten.
MAX_REMEMBERED = 10_000


class _Pause(t.NamedTuple):
    """A pause, and the error that caused it."""

    #: When the pause ends, in `time.monotonic` seconds.
    until: float
    kind: type[ProviderError]
    message: str
    row: str | None
    #: The key of the login for which the provider failed.
    cause: str


class BackOff:
    """The failures that one process has seen, and the pauses that follow from them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: The pauses of single logins, by the login's key.
        self._pauses: dict[str, _Pause] = {}
        #: The pauses of all logins of a provider, by the provider's key.
        self._pauses_of_all: dict[str, _Pause] = {}
        #: The people for whom a provider has failed since its last success, by the provider's key.
        self._failing: dict[str, set[str]] = {}
        #: When a rejected token may be refreshed again (`time.monotonic`), by the login's key.
        self._rejected: dict[str, float] = {}

    def check(self, source: TokenSource) -> None:
        """Check that a refresh request may be sent now.

        After a pause for everybody the first caller tries again. While its request runs, the pause
        is extended for all others. It is not extended by the login for which the provider failed
        before, because the provider may fail for that person alone.

        :raises ProviderError: this login, or every login of the provider, has to wait. The error
            repeats the failure that caused the pause.
        """
        now = time.monotonic()
        with self._lock:
            _raise_if_backing_off(self._pauses.get(source.key), now)
            for_all = self._pauses_of_all.get(source.provider)
            _raise_if_backing_off(for_all, now)
            if for_all is not None and for_all.cause != source.key:
                self._pauses_of_all[source.provider] = for_all._replace(
                    until=now + source.max_request_seconds
                )

    def succeeded(self, source: TokenSource) -> None:
        """Remember that the provider works: it has refreshed a token, or refused to."""
        with self._lock:
            self._pauses_of_all.pop(source.provider, None)
            self._failing.pop(source.provider, None)

    def failed(self, source: TokenSource, error: ProviderError) -> None:
        """Start a pause: for all logins if the provider itself fails, else for this one."""
        seconds = error.retry_after if isinstance(error.retry_after, int) else BACKOFF_SECONDS
        now = time.monotonic()
        pause = _Pause(
            now + min(seconds, MAX_BACKOFF_SECONDS),
            type(error),
            error.message,
            error.row,
            source.key,
        )
        with self._lock:
            _remember(self._pauses, source.key, pause, lambda known: known.until <= now)
            if self._is_for_all(source, error):
                _remember(
                    self._pauses_of_all, source.provider, pause, lambda each: each.until <= now
                )
            else:
                self._pauses_of_all.pop(source.provider, None)

    def _is_for_all(self, source: TokenSource, error: ProviderError) -> bool:
        if isinstance(error, ProviderUnreachableError):
            return True
        if not isinstance(error, ProviderUnavailableError):
            return False
        people = self._failing.get(source.provider, set())
        _remember(self._failing, source.provider, people, lambda _: False)
        if len(people) < MAX_FAILING_PEOPLE:
            people.add(source.person)
        return len(people) >= MAX_FAILING_PEOPLE

    def rejected(self, source: TokenSource) -> None:
        """Remember that the API rejects a token just refreshed: another refresh won't help."""
        now = time.monotonic()
        with self._lock:
            until = now + REJECTED_SECONDS
            _remember(self._rejected, source.key, until, lambda known: known <= now)

    def is_rejected(self, source: TokenSource) -> bool:
        """Return True if the API has rejected a token that had just been refreshed."""
        return self._rejected.get(source.key, 0.0) > time.monotonic()


def _raise_if_backing_off(pause: _Pause | None, now: float) -> None:
    if pause is not None and pause.until > now:
        seconds = math.ceil(pause.until - now)
        raise pause.kind(pause.message, retry_after=seconds, row=pause.row)


T = t.TypeVar("T")


def _remember(known: dict[str, T], key: str, value: T, is_over: t.Callable[[T], bool]) -> None:
    """Add a value at the end. If there are too many, drop expired values, then the oldest."""
    known.pop(key, None)
    known[key] = value
    if len(known) > MAX_REMEMBERED:
        for over in [key for key, value in known.items() if is_over(value)]:
            del known[over]
    while len(known) > MAX_REMEMBERED:
        del known[next(iter(known))]
