"""Which renewals this process does not try for a while, because they have just failed.

What a provider answers about one token is that login's trouble alone. Everybody waits only where
the provider can't be reached, or fails for several people in a row; then one of them tries again.
"""

from __future__ import annotations

import math
import threading
import time
import typing as t

from ..protocol.errors import ProviderError, ProviderUnavailableError, ProviderUnreachableError

#: Seconds without another try after a failure, where the provider does not say how many.
BACKOFF_SECONDS = 3
#: The most seconds that a provider may ask for.
MAX_BACKOFF_SECONDS = 300
#: People in a row for whom a provider fails (5xx, 429), until it is taken to fail for all.
MAX_FAILING_PEOPLE = 3
#: Seconds without a renewal after the API rejected a token that had just been renewed.
REJECTED_SECONDS = 300
#: The most logins to remember. Beyond it the oldest are forgotten.
MAX_REMEMBERED = 10_000


class Renewable(t.Protocol):
    """Whose token is to be renewed."""

    @property
    def key(self) -> str:
        """Names this login, in all processes."""

    @property
    def login(self) -> str:
        """The login's name: the same for all that have a token of this provider."""

    @property
    def person(self) -> str:
        """Names the person, who may have several logins."""

    @property
    def seconds(self) -> float:
        """The most that one request to the provider takes."""


class _Pause(t.NamedTuple):
    """A back-off, and the error that caused it."""

    #: `time.monotonic` seconds.
    until: float
    kind: type[ProviderError]
    message: str
    #: The key of the login for which the provider failed.
    cause: str


class BackOff:
    """The failures of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: By the key of a login.
        self._pauses: dict[str, _Pause] = {}
        #: By a login's name: for everybody.
        self._pauses_of_all: dict[str, _Pause] = {}
        #: The people for whom a provider has failed since its last success, by a login's name.
        self._failing: dict[str, set[str]] = {}
        #: Until when a token that the API rejects is not renewed, by the key of a login.
        self._rejected: dict[str, float] = {}

    def check(self, home: Renewable) -> None:
        """See that nothing speaks against asking the provider now.

        Where everybody had to wait, the first who asks afterwards tries it for all: the others wait
        for what that finds out. They do not wait for the one for whom it failed before: that may be
        this person's trouble alone.

        :raises ProviderError: the one that this login, or everybody, has to wait for.
        """
        now = time.monotonic()
        with self._lock:
            _raise_if_backing_off(self._pauses.get(home.key), now)
            for_all = self._pauses_of_all.get(home.login)
            _raise_if_backing_off(for_all, now)
            if for_all is not None and for_all.cause != home.key:
                self._pauses_of_all[home.login] = for_all._replace(until=now + home.seconds)

    def succeeded(self, home: Renewable) -> None:
        """Note that the provider works: it renewed a token, or refused to."""
        with self._lock:
            self._pauses_of_all.pop(home.login, None)
            self._failing.pop(home.login, None)

    def failed(self, home: Renewable, error: ProviderError) -> None:
        """Back off after a failure: for this login, or for everybody where it is the provider's."""
        asked = error.retry_after if isinstance(error.retry_after, int) else BACKOFF_SECONDS
        now = time.monotonic()
        pause = _Pause(now + min(asked, MAX_BACKOFF_SECONDS), type(error), str(error), home.key)
        with self._lock:
            _remember(self._pauses, home.key, pause, lambda known: known.until <= now)
            if self._is_for_all(home, error):
                self._pauses_of_all[home.login] = pause
            else:
                self._pauses_of_all.pop(home.login, None)

    def _is_for_all(self, home: Renewable, error: ProviderError) -> bool:
        if isinstance(error, ProviderUnreachableError):
            return True
        if not isinstance(error, ProviderUnavailableError):
            return False
        people = self._failing.setdefault(home.login, set())
        if len(people) < MAX_FAILING_PEOPLE:
            people.add(home.person)
        return len(people) >= MAX_FAILING_PEOPLE

    def rejected(self, home: Renewable) -> None:
        """Note that the API rejects what was just renewed: newer tokens won't help it."""
        now = time.monotonic()
        with self._lock:
            until = now + REJECTED_SECONDS
            _remember(self._rejected, home.key, until, lambda known: known <= now)

    def is_rejected(self, home: Renewable) -> bool:
        """Whether the API rejects this login's tokens, however new."""
        return self._rejected.get(home.key, 0.0) > time.monotonic()


def _raise_if_backing_off(pause: _Pause | None, now: float) -> None:
    if pause is not None and pause.until > now:
        raise pause.kind(pause.message, retry_after=math.ceil(pause.until - now))


T = t.TypeVar("T")


def _remember(known: dict[str, T], key: str, value: T, is_over: t.Callable[[T], bool]) -> None:
    """Put a value at the end, and forget what is over; where there are too many, the oldest."""
    known.pop(key, None)
    known[key] = value
    if len(known) > MAX_REMEMBERED:
        for over in [key for key, value in known.items() if is_over(value)]:
            del known[over]
    while len(known) > MAX_REMEMBERED:
        del known[next(iter(known))]
