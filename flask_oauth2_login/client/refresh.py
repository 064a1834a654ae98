"""Refresh of an access token: exactly once, for any number of requests at the same time.

A provider that rotates refresh tokens ends the whole login if one is used twice (RFC 9700, section
4.14). So one thread of a process refreshes, and the others wait for it. That thread first gets a
lease, which only one process can have, and then stores the new token for all processes.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from concurrent.futures import Future

from ..protocol.background import run_briefly
from ..protocol.errors import (
    IDTokenError,
    LoginRequired,
    ProviderAnswerError,
    ProviderError,
    ProviderUnavailableError,
    StoreError,
    TokenError,
    UnnamedRefusalError,
    UserInfoRefusedError,
    see,
)
from ..protocol.fork_safe import PerProcess
from ..protocol.refusal import Concern, find_concern
from ..protocol.token import Token
from .backoff import BackOff
from .token_source import StoredToken, TokenSource

log = logging.getLogger("flask_oauth2_login")

#: Refresh this many seconds before the token expires, or a tenth of its lifetime before, if that
#: is less.
MARGIN = 60
#: The pauses (s) between attempts to store a new token while the store fails.
STORE_PAUSES = (0.1, 0.3, 1.0, 2.0)


class _InFlight:
    """The refreshes that run in this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        #: The end of each refresh, by the login's key.
        self.futures: dict[str, Future[None]] = {}


class Refresher:
    """Refreshes the tokens of one app, and backs off from providers that fail."""

    def __init__(self) -> None:
        self._in_flight = PerProcess(_InFlight)
        self._back_off = PerProcess(BackOff)

    def valid_token(
        self, source: TokenSource, rejected: Token | None = None, again: bool = False
    ) -> Token | None:
        """Return a token that is valid now. Refresh it if it expires soon, or is rejected.

        :param source: where the token is stored, and how it is refreshed.
        :param rejected: a token that the API has rejected as invalid.
        :param again: True if ``rejected`` itself had just replaced another rejected token.
        :returns: the token, or None if there is no other token than the rejected one.
        :raises LoginRequired: the login has ended, or its token has expired and can't be refreshed.
        :raises ProviderError: the token had to be refreshed, and the provider can't do it now.
        :raises StoreError: the store can't be reached.
        """
        stored = source.current()
        if stored is None:
            raise _ended(source)
        token = stored.token
        if rejected is not None:
            back_off = self._back_off.get()
            if again:
                back_off.rejected(source)
            if token.access_token != rejected.access_token:
                return token
            if back_off.is_rejected(source) or not source.can_refresh(token):
                return None
            return self._refresh(source, token)
        if not _is_due(token):
            return token
        try:
            if source.can_refresh(token):
                return self._refresh(source, token)
        except ProviderError:
            if token.expires_within(0):
                raise
        if token.expires_within(0):
            raise _ended(source)
        return token

    def confirm(self, source: TokenSource) -> None:
        """Have the provider confirm a login: refresh its token, due or not, exactly once.

        :raises LoginRequired: the login has ended, or the provider refused.
        :raises ProviderError: the provider can't do it now.
        :raises StoreError: the store can't be reached.
        """
        stored = source.current()
        if stored is None:
            raise _ended(source)
        self._refresh(source, stored.token)

    def _refresh(self, source: TokenSource, expired: Token) -> Token:
        """Return a newer token than ``expired``: refresh it, or wait for the thread that does."""
        in_flight = self._in_flight.get()
        while True:
            with in_flight.lock:
                future = in_flight.futures.get(source.key)
                if mine := future is None:
                    future = in_flight.futures[source.key] = Future()
            if mine:
                return self._run_single_flight(in_flight, future, source, expired)
            future.result()
            if newer := _if_newer(source, source.reload(), expired):
                return newer

    def _run_single_flight(
        self, in_flight: _InFlight, future: Future[None], source: TokenSource, expired: Token
    ) -> Token:
        failure: Exception | None = None
        try:
            return self._refresh_leased(source, expired)
        except Exception as error:
            failure = error
            raise
        finally:
            with in_flight.lock:
                in_flight.futures.pop(source.key, None)
            # SystemExit or the end of a greenlet concerns this thread only, so the waiting threads
            # don't get it as a result. One of them takes over.
            future.set_exception(failure) if failure else future.set_result(None)

    def _refresh_leased(self, source: TokenSource, expired: Token) -> Token:
        """Refresh while this process has the lease; return a token that another has refreshed."""
        # The holder of the lease may send one request and store the new token.
        seconds = source.max_request_seconds + sum(STORE_PAUSES) + 2
        deadline = time.monotonic() + 2 * seconds
        pause = 0.01
        if newer := _if_newer(source, source.reload(), expired):
            return newer
        while (ticket := source.lease(seconds)) is None:
            if time.monotonic() > deadline:
                raise ProviderUnavailableError(
                    "Another process takes too long to refresh the token. Try again later."
                )
            time.sleep(pause)
            pause = min(2 * pause, 0.2)
            stored = source.reload()
            if newer := _if_newer(source, stored, expired):
                return newer
            if stored is not None and (fallback := source.load_fallback(stored.version)):
                # It replaces this version only, so the lease is not needed for it.
                return _store(source, fallback, stored.version)
        ends = time.monotonic() + seconds
        try:
            return self._send_refresh_request(source, expired)
        finally:
            _release(source, ticket, ends)

    def _send_refresh_request(self, source: TokenSource, expired: Token) -> Token:
        stored = source.reload()
        if newer := _if_newer(source, stored, expired):
            return newer
        assert stored is not None  # noqa: S101  (None has been raised as LoginRequired)
        if fallback := source.load_fallback(stored.version):
            return _store(source, fallback, stored.version)
        back_off = self._back_off.get()
        back_off.check(source)
        try:
            token = source.refresh(stored.token)
            if token is None:
                raise ProviderAnswerError("The provider's response to a refresh is empty.")
        except IDTokenError as fault:
            back_off.succeeded(source)
            log.warning(
                "%s: a login ends, because of a refreshed ID token. %s", source.log_name, fault
            )
            source.end()
            raise _ended(source) from None
        except (TokenError, UnnamedRefusalError) as refusal:
            back_off.succeeded(source)
            if stored.token.refresh_token and find_concern(refusal) is Concern.TOKEN:
                if newer := _if_newer(source, source.reload(), expired):
                    return newer
                log.warning(
                    "%s: a login ends, because its refresh token was refused. %s",
                    source.log_name,
                    refusal,
                )
                source.note_refused()
                source.end("refused")
                raise _ended(source) from None
            log.warning("%s: a token was not refreshed. %s", source.log_name, refusal)
            if source.raises_refusals and find_concern(refusal) is not Concern.MOMENT:
                raise
            what = refusal.error if isinstance(refusal, TokenError) else refusal.reason
            error: ProviderError = ProviderAnswerError(
                f"The provider refused to refresh the token: {what}."
            )
            back_off.failed(source, error)
            raise error from None
        except UserInfoRefusedError as refusal:
            back_off.succeeded(source)
            log.warning(
                "%s: a login ends, because UserInfo refused it. %s", source.log_name, refusal
            )
            source.end("refused")
            raise _ended(source) from None
        except ProviderError as error:
            log.warning("%s: a token was not refreshed. %s", source.log_name, error)
            back_off.failed(source, error)
            raise
        back_off.succeeded(source)
        newer = _store(source, token, stored.version)
        if token.lacks_access_token:
            half = ProviderAnswerError(
                "The provider answered a refresh with a refresh token and no usable access_token."
            )
            log.warning("%s: only the refresh token was refreshed. %s", source.log_name, half)
            back_off.failed(source, half)
            raise half
        return newer


def _store(source: TokenSource, token: Token, version: str) -> Token:
    """Store a refreshed token and return it, or the token that another process has stored.

    The old refresh token is used up, so the new one must not be lost.

    :raises LoginRequired: the login has ended meanwhile, or the token can't be stored.
    """
    try:
        outcome = _replace(source, token, version)
    except ProviderError as error:
        # The new token can't be stored, and the old one is used up: the login can't go on.
        log.warning(
            "%s: a login ends, because its new token can't be stored. %s", source.log_name, error
        )
        source.end()
        source.revoke(token)
        raise _ended(source) from None
    if outcome is None:
        log.error(
            "%s: the store fails. Until it works again, a new token is on this machine only. %s",
            source.log_name,
            see("store-down"),
        )
        return token
    if outcome == "replaced":
        return token
    if outcome == "changed" and (stored := source.reload()):
        return stored.token
    source.revoke(token)
    raise _ended(source)


def _replace(source: TokenSource, token: Token, version: str) -> str | None:
    """Call `TokenSource.replace`, and retry if the store fails. Return None if it always does."""
    for attempt, pause in enumerate((*STORE_PAUSES, None)):
        try:
            return source.replace(token, version)
        except StoreError:
            if attempt == 0:
                # Another process on this machine must not send the old refresh token again.
                source.save_fallback(token, version)
            if pause is not None:
                time.sleep(pause)
    return None


def _release(source: TokenSource, ticket: str, ends: float) -> None:
    """Release a lease. Retry if the store fails, so that others need not wait until it ends."""
    try:
        source.release(ticket)
    except StoreError:
        run_briefly(functools.partial(_release_later, source, ticket, ends))


def _release_later(source: TokenSource, ticket: str, ends: float) -> None:
    pause = 0.05
    while time.monotonic() + pause < ends:
        time.sleep(pause)
        try:
            source.release(ticket)
        except StoreError:
            pause = min(2 * pause, 2.0)
        else:
            return


def _is_due(token: Token) -> bool:
    lifetime = token.get("expires_in")
    margin = min(MARGIN, lifetime / 10) if isinstance(lifetime, (int, float)) else MARGIN
    return token.expires_within(margin)


def _if_newer(source: TokenSource, stored: StoredToken | None, expired: Token) -> Token | None:
    if stored is None:
        raise _ended(source)
    return stored.token if source.is_newer(stored, expired) else None


def _ended(source: TokenSource) -> LoginRequired:
    return LoginRequired("The login has ended. Sign in again.", login=source.name)
