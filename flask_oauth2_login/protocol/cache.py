"""What a provider serves to everybody, kept: its metadata, its keys."""

from __future__ import annotations

import logging
import math
import threading
import time
import typing as t
from concurrent.futures import Future

from .background import patiently
from .errors import ProviderError
from .fork_safe import PerProcess

log = logging.getLogger("flask_oauth2_login")

#: Seconds after which a value is fetched again.
MAX_AGE = 24 * 3600
#: Seconds after which an old value is fetched again that could not be had.
BACKOFF_SECONDS = 2
#: Seconds between two fetches that somebody asks for who has no use for the value that is there.
REFETCH_SECONDS = 30

T = t.TypeVar("T")


class _InFlight(t.Generic[T]):
    """The fetch that goes on in this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        #: Its outcome: a value, an error, or None where whoever fetched was interrupted.
        self.future: Future[T | ProviderError | None] | None = None


class Cache(t.Generic[T]):
    """One value, fetched on first use and kept for :data:`MAX_AGE`.

    One thread fetches. Whoever waits shares its outcome, a failure too, so that a provider which
    hangs costs one timeout, however many wait. An old value serves while a newer one can't be had,
    or takes its time.

    :param fetch: fetches the value. Its :exc:`ProviderError` is an outcome, too.
    :param remember_failure: seconds for which a failure is everybody's answer; by default it is
        the answer of those who waited for it.
    """

    def __init__(self, fetch: t.Callable[[], T], *, remember_failure: float = 0) -> None:
        self._fetch = fetch
        self._remember_failure = remember_failure
        self._in_flight: PerProcess[_InFlight[T]] = PerProcess(_InFlight)
        self._value: T | None = None
        self._failure: ProviderError | None = None
        self._fresh_until = self._refetch_after = -math.inf
        #: When the value came: `time.monotonic` seconds.
        self.fetched_at = -math.inf

    def get(self) -> T:
        """The value, an old one if need be.

        :raises ProviderError: there is none, and it can't be had.
        """
        value = self._value
        if value is None:
            return self._run_single_flight(None)
        if time.monotonic() >= self._fresh_until and self._in_flight.get().future is None:
            patiently(self._refresh)
        return value if self._value is None else self._value

    def refetch(self, known: T) -> T:
        """A newer value than ``known``; ``known`` itself where it is too early to ask for one.

        :raises ProviderError: it can't be had. Then it is not too early to ask again.
        """
        return self._run_single_flight(known, asked=True)

    def allow_refetch(self) -> None:
        """Say that the last fetch was of use, so that another one may follow at once."""
        self._refetch_after = -math.inf

    def _refresh(self) -> None:
        try:
            self._run_single_flight(self._value)
        except ProviderError as error:
            log.warning("An old answer of the provider serves on. %s", error)

    def _run_single_flight(self, known: T | None, *, asked: bool = False) -> T:
        """A newer value than ``known``: fetched by this thread, or by whoever is at it already."""
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
                    if known is not None and asked and now < self._refetch_after:
                        return known
                    future = flight.future = Future()
            if mine:
                return self._fetch_for_all(flight, future, asked or known is None)
            outcome = future.result()
            if isinstance(outcome, ProviderError):
                raise _again(outcome)
            if outcome is not None:
                return outcome

    def _fetch_for_all(
        self, flight: _InFlight[T], future: Future[T | ProviderError | None], asked: bool
    ) -> T:
        outcome: T | ProviderError | None = None
        try:
            outcome = value = self._fetch()
        except ProviderError as error:
            outcome = _again(error)
            raise
        finally:
            with flight.lock:
                self._keep(outcome, asked)
                flight.future = None
            future.set_result(outcome)
        return value

    def _keep(self, outcome: T | ProviderError | None, asked: bool) -> None:
        now = time.monotonic()
        if isinstance(outcome, ProviderError):
            self._failure = outcome if self._remember_failure else None
            again_at = now + (self._remember_failure or BACKOFF_SECONDS)
            self._fresh_until = max(self._fresh_until, again_at)
        elif outcome is not None:
            self._value, self._failure = outcome, None
            self.fetched_at, self._fresh_until = now, now + MAX_AGE
            if asked:
                self._refetch_after = now + REFETCH_SECONDS


def _again(error: ProviderError) -> ProviderError:
    """The same error once more: each thread that raises one adds its own traceback to it."""
    seconds = error.retry_after if isinstance(error.retry_after, int) else None
    return type(error)(str(error), retry_after=seconds)
