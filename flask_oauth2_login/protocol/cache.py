"""A cache for the documents that a provider serves to everybody: its metadata and its keys."""

from __future__ import annotations

import logging
import math
import threading
import time
import typing as t
from concurrent.futures import Future

from .background import run_briefly
from .errors import ProviderError
from .fork_safe import PerProcess

log = logging.getLogger("flask_oauth2_login")

#: Seconds after which a value is fetched again.
MAX_AGE = 24 * 3600
#: Seconds before the next try after a failed fetch.
BACKOFF_SECONDS = 2
#: Seconds between two fetches by :meth:`Cache.refetch`, whose callers reject the cached value.
REFETCH_SECONDS = 30

T = t.TypeVar("T")


class _InFlight(t.Generic[T]):
    """The fetch that is running in this process, if any."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        #: Its outcome: a value, an error, or None if the fetching thread was interrupted.
        self.future: Future[T | ProviderError | None] | None = None


class Cache(t.Generic[T]):
    """One value, fetched on first use and kept for :data:`MAX_AGE`.

    One thread fetches. All threads that wait share its outcome, also a failure, so that a provider
    that hangs costs one timeout, however many wait. The old value stays in use while a newer one
    can't be fetched, or is still being fetched.

    :param fetch: fetches the value. Callers that wait get its :exc:`ProviderError` too.
    :param remember_failure: seconds during which all callers get the same failure. By default only
        those that waited for the fetch get it.
    """

    def __init__(self, fetch: t.Callable[[], T], *, remember_failure: float = 0) -> None:
        self._fetch = fetch
        self._remember_failure = remember_failure
        self._in_flight: PerProcess[_InFlight[T]] = PerProcess(_InFlight)
        self._value: T | None = None
        self._failure: ProviderError | None = None
        self._fresh_until = self._refetch_after = -math.inf
        #: When the value was fetched, in `time.monotonic` seconds.
        self.fetched_at = -math.inf

    def get(self) -> T:
        """Return the value. An outdated one is returned too, and refreshed in the background.

        :raises ProviderError: there is no value, and it can't be fetched.
        """
        value = self._value
        if value is None:
            return self._run_single_flight(None)
        if time.monotonic() >= self._fresh_until and self._in_flight.get().future is None:
            run_briefly(self._refresh)
        return value if self._value is None else self._value

    def refetch(self, known: T) -> T:
        """Return a newer value than ``known``, or ``known`` if the last refetch is too recent.

        :raises ProviderError: the value can't be fetched. The next call may try again at once.
        """
        return self._run_single_flight(known, forced=True)

    def allow_refetch(self) -> None:
        """Allow the next refetch at once, because the last one was useful."""
        self._refetch_after = -math.inf

    def _refresh(self) -> None:
        try:
            self._run_single_flight(self._value)
        except ProviderError as error:
            log.warning("An outdated response of the provider stays in use. %s", error)

    def _run_single_flight(self, known: T | None, *, forced: bool = False) -> T:
        """Return a newer value than ``known``; fetch it, or wait for the thread that does."""
        flight = self._in_flight.get()
        while True:
            with flight.lock:
                if self._value is not None and self._value is not known:
                    return self._value
                future = flight.future
                if mine := future is None:
                    now = time.monotonic()
                    if known is None and self._failure and now < self._fresh_until:
                        raise _again(self._failure)
                    if known is not None and forced and now < self._refetch_after:
                        return known
                    future = flight.future = Future()
            if mine:
                return self._fetch_for_all(flight, future, forced or known is None)
            outcome = future.result()
            if isinstance(outcome, ProviderError):
                raise _again(outcome)
            if outcome is not None:
                return outcome

    def _fetch_for_all(
        self, flight: _InFlight[T], future: Future[T | ProviderError | None], forced: bool
    ) -> T:
        outcome: T | ProviderError | None = None
        try:
            outcome = value = self._fetch()
        except ProviderError as error:
            outcome = _again(error)
            raise
        finally:
            with flight.lock:
                self._keep(outcome, forced)
                flight.future = None
            future.set_result(outcome)
        return value

    def _keep(self, outcome: T | ProviderError | None, forced: bool) -> None:
        now = time.monotonic()
        if isinstance(outcome, ProviderError):
            self._failure = outcome if self._remember_failure else None
            again_at = now + (self._remember_failure or BACKOFF_SECONDS)
            self._fresh_until = max(self._fresh_until, again_at)
        elif outcome is not None:
            self._value, self._failure = outcome, None
            self.fetched_at, self._fresh_until = now, now + MAX_AGE
            if forced:
                self._refetch_after = now + REFETCH_SECONDS


def _again(error: ProviderError) -> ProviderError:
    """Copy an error for another thread, because raising an error adds a traceback to it."""
    seconds = error.retry_after if isinstance(error.retry_after, int) else None
    return type(error)(error.message, retry_after=seconds, row=error.row)
