"""Renewal of an access token: exactly once, for any number of requests at the same time.

A provider that rotates refresh tokens revokes the whole login when one is used twice
(RFC 9700, section 4.14). So the threads of a process queue behind one, and that one asks for a
lease where all processes ask; what it receives is kept where they all look.
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
)
from ..protocol.fork_safe import PerProcess
from ..protocol.token import Token
from .backoff import BackOff
from .token_source import StoredToken, TokenSource

log = logging.getLogger("flask_oauth2_login")

#: Renew this many seconds before expiry, or a tenth of the token's life before, if that is less.
MARGIN = 60
#: Pauses, in seconds, between tries to keep a token that the store does not take.
STORE_PAUSES = (0.1, 0.3, 1.0, 2.0)


class _InFlight:
    """The renewals that run in this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.futures: dict[str, Future[None]] = {}


class Refresher:
    """One app's renewals."""

    def __init__(self) -> None:
        self._in_flight = PerProcess(_InFlight)
        self._back_off = PerProcess(BackOff)

    def valid_token(
        self, source: TokenSource, rejected: Token | None = None, again: bool = False
    ) -> Token | None:
        """The token to send: fresh, renewed if that is due.

        :param rejected: a token that the API called invalid.
        :param again: True if ``rejected`` itself had just replaced another rejected token.
        :returns: the token, or None where there is no other than the rejected one.
        :raises LoginRequired: the login has ended, or its token has expired for good.
        :raises ProviderError: it had to be renewed, and the provider can't do it now.
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

    def _refresh(self, source: TokenSource, expired: Token) -> Token:
        """A newer token than ``stale``: fetched by this thread, or by whoever is at it already."""
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
            # SystemExit or the end of a greenlet concerns this thread only. It is no result for the
            # waiting threads: one of them takes over.
            future.set_exception(failure) if failure else future.set_result(None)

    def _refresh_leased(self, source: TokenSource, expired: Token) -> Token:
        """Renew while no other process does; take what another has renewed meanwhile."""
        # The holder of the lease may send one request, and then needs a little time to keep it.
        seconds = source.max_request_seconds + sum(STORE_PAUSES) + 2
        patience = time.monotonic() + 2 * seconds
        pause = 0.01
        if newer := _if_newer(source, source.reload(), expired):
            return newer
        while (ticket := source.lease(seconds)) is None:
            if time.monotonic() > patience:
                raise ProviderUnavailableError("The renewal of the token takes too long.")
            time.sleep(pause)
            pause = min(2 * pause, 0.2)
            stored = source.reload()
            if newer := _if_newer(source, stored, expired):
                return newer
            if stored is not None and (fallback := source.load_fallback(stored.version)):
                # It takes the place of this version only, so nobody has to wait for the lease.
                return _keep(source, fallback, stored.version)
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
            return _keep(source, fallback, stored.version)
        back_off = self._back_off.get()
        back_off.check(source)
        try:
            token = source.refresh(stored.token)
            if token is None:
                raise ProviderAnswerError("The provider answered a renewal with no content.")
        except IDTokenError:
            back_off.succeeded(source)
            source.end()
            raise _ended(source) from None
        except TokenError as refusal:
            back_off.succeeded(source)
            if refusal.error == "invalid_grant":
                if newer := _if_newer(source, source.reload(), expired):
                    return newer
                source.end()
                raise _ended(source) from None
            log.warning("%s: %s The login goes on.", source.name, refusal)
            error: ProviderError = ProviderAnswerError(
                f"The provider refused to renew the token: {refusal.error}."
            )
            back_off.failed(source, error)
            raise error from None
        except ProviderError as error:
            log.warning("%s: the token was not renewed. %s", source.name, error)
            back_off.failed(source, error)
            raise
        back_off.succeeded(source)
        return _keep(source, token, stored.version)


def _keep(source: TokenSource, token: Token, version: str) -> Token:
    """Put a new token where the old one was. The old one is spent: this must not be lost."""
    try:
        outcome = _replace(source, token, version)
    except ProviderError as error:
        # The token can't be kept, and the old one is spent: the login can't go on.
        log.warning("%s: a renewed token can't be kept. %s", source.name, error)
        source.end()
        source.revoke(token)
        raise _ended(source) from None
    if outcome is None:
        log.error("%s: a renewed token waits on this machine for the store.", source.name)
        return token
    if outcome == "replaced":
        return token
    if outcome == "changed" and (stored := source.reload()):
        return stored.token
    source.revoke(token)
    raise _ended(source)


def _replace(source: TokenSource, token: Token, version: str) -> str | None:
    """As `Home.replace`, several times if need be; None where the store is out of order."""
    for attempt, pause in enumerate((*STORE_PAUSES, None)):
        try:
            return source.replace(token, version)
        except StoreError:
            if attempt == 0:
                # Whoever is next at this login, in another process, must not use the old one.
                source.save_fallback(token, version)
            if pause is not None:
                time.sleep(pause)
    return None


def _release(source: TokenSource, ticket: str, ends: float) -> None:
    """Release a lease; retry if the store is away, so that the next caller needn't wait it out."""
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
    # Compare whole tokens: some providers only extend the life of the same access token.
    return stored.token if stored.token != expired else None


def _ended(source: TokenSource) -> LoginRequired:
    return LoginRequired("The login has ended. Sign in again.", login=source.name)
