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
import typing as t
from concurrent.futures import Future

from ..protocol.background import patiently
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
from .backoff import BackOff, Renewable

log = logging.getLogger("flask_oauth2_login")

#: Renew this many seconds before expiry, or a tenth of the token's life before, if that is less.
MARGIN = 60
#: Pauses, in seconds, between tries to keep a token that the store does not take.
STORE_PAUSES = (0.1, 0.3, 1.0, 2.0)


class Kept(t.NamedTuple):
    """A token as it rests, and which version of its record that is."""

    token: Token
    version: str


class Home(Renewable, t.Protocol):
    """Where one login's token rests, as renewal sees it."""

    def can_renew(self, token: Token) -> bool:
        """Whether there is a way to a new token."""

    def current(self) -> Kept | None:
        """The token as this request knows it; None: the login has ended."""

    def reload(self) -> Kept | None:
        """The token as it is now, whoever changed it."""

    def refresh(self, token: Token) -> Token | None:
        """Ask the provider for a new token."""

    def replace(self, token: Token, version: str) -> t.Literal["replaced", "changed", "gone"]:
        """Keep a new token, unless somebody else's is newer, or the login ended meanwhile."""

    def set_aside(self, token: Token, version: str) -> None:
        """Keep a new token in the place of ``version``, near by, while the store is away."""

    def find_aside(self, version: str) -> Token | None:
        """The token that waits to take the place of this version, if one does."""

    def revoke(self, token: Token) -> None:
        """Give back a token that came too late."""

    def end(self) -> object:
        """End the login: its refresh token is worth nothing any more."""

    def lease(self, seconds: float) -> str | None:
        """A ticket, or None while somebody else has the lease."""

    def release(self, ticket: str) -> None:
        """Give the lease back."""


class _Flights:
    """The renewals that run in this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.flying: dict[str, Future[None]] = {}


class Renewals:
    """One app's renewals."""

    def __init__(self) -> None:
        self._flights = PerProcess(_Flights)
        self._back_off = PerProcess(BackOff)

    def usable(
        self, home: Home, rejected: Token | None = None, again: bool = False
    ) -> Token | None:
        """The token to send: fresh, renewed if that is due.

        :param rejected: a token that the API called invalid.
        :param again: True if ``rejected`` itself had just replaced another rejected token.
        :returns: the token, or None where there is no other than the rejected one.
        :raises LoginRequired: the login has ended, or its token has expired for good.
        :raises ProviderError: it had to be renewed, and the provider can't do it now.
        """
        kept = home.current()
        if kept is None:
            raise _ended(home)
        token = kept.token
        if rejected is not None:
            back_off = self._back_off.get()
            if again:
                back_off.rejected(home)
            if token.access_token != rejected.access_token:
                return token
            if back_off.is_rejected(home) or not home.can_renew(token):
                return None
            return self._renew(home, token)
        if not _is_due(token):
            return token
        try:
            if home.can_renew(token):
                return self._renew(home, token)
        except ProviderError:
            if token.expires_within(0):
                raise
        if token.expires_within(0):
            raise _ended(home)
        return token

    def _renew(self, home: Home, stale: Token) -> Token:
        """A newer token than ``stale``: fetched by this thread, or by whoever is at it already."""
        flights = self._flights.get()
        while True:
            with flights.lock:
                flight = flights.flying.get(home.key)
                if mine := flight is None:
                    flight = flights.flying[home.key] = Future()
            if mine:
                return self._fly(flights, flight, home, stale)
            flight.result()
            if newer := _newer(home, home.reload(), stale):
                return newer

    def _fly(self, flights: _Flights, flight: Future[None], home: Home, stale: Token) -> Token:
        failure: Exception | None = None
        try:
            return self._renew_leased(home, stale)
        except Exception as error:
            failure = error
            raise
        finally:
            with flights.lock:
                flights.flying.pop(home.key, None)
            # SystemExit or the end of a greenlet concerns this thread only. It is no result for the
            # waiting threads: one of them takes over.
            flight.set_exception(failure) if failure else flight.set_result(None)

    def _renew_leased(self, home: Home, stale: Token) -> Token:
        """Renew while no other process does; take what another has renewed meanwhile."""
        # The holder of the lease may send one request, and then needs a little time to keep it.
        seconds = home.seconds + sum(STORE_PAUSES) + 2
        patience = time.monotonic() + 2 * seconds
        pause = 0.01
        if newer := _newer(home, home.reload(), stale):
            return newer
        while (ticket := home.lease(seconds)) is None:
            if time.monotonic() > patience:
                raise ProviderUnavailableError("The renewal of the token takes too long.")
            time.sleep(pause)
            pause = min(2 * pause, 0.2)
            kept = home.reload()
            if newer := _newer(home, kept, stale):
                return newer
            if kept is not None and (aside := home.find_aside(kept.version)):
                # It takes the place of this version only, so nobody has to wait for the lease.
                return _keep(home, aside, kept.version)
        ends = time.monotonic() + seconds
        try:
            return self._exchange(home, stale)
        finally:
            _release(home, ticket, ends)

    def _exchange(self, home: Home, stale: Token) -> Token:
        kept = home.reload()
        if newer := _newer(home, kept, stale):
            return newer
        assert kept is not None  # noqa: S101  (None has been raised as LoginRequired)
        if aside := home.find_aside(kept.version):
            return _keep(home, aside, kept.version)
        back_off = self._back_off.get()
        back_off.check(home)
        try:
            token = home.refresh(kept.token)
            if token is None:
                raise ProviderAnswerError("The provider answered a renewal with no content.")
        except IDTokenError:
            back_off.succeeded(home)
            home.end()
            raise _ended(home) from None
        except TokenError as refusal:
            back_off.succeeded(home)
            if refusal.error == "invalid_grant":
                if newer := _newer(home, home.reload(), stale):
                    return newer
                home.end()
                raise _ended(home) from None
            log.warning("%s: %s The login goes on.", home.login, refusal)
            error: ProviderError = ProviderAnswerError(
                f"The provider refused to renew the token: {refusal.error}."
            )
            back_off.failed(home, error)
            raise error from None
        except ProviderError as error:
            log.warning("%s: the token was not renewed. %s", home.login, error)
            back_off.failed(home, error)
            raise
        back_off.succeeded(home)
        return _keep(home, token, kept.version)


def _keep(home: Home, token: Token, version: str) -> Token:
    """Put a new token where the old one was. The old one is spent: this must not be lost."""
    try:
        outcome = _replace(home, token, version)
    except ProviderError as error:
        # The token can't be kept, and the old one is spent: the login can't go on.
        log.warning("%s: a renewed token can't be kept. %s", home.login, error)
        home.end()
        home.revoke(token)
        raise _ended(home) from None
    if outcome is None:
        log.error("%s: a renewed token waits on this machine for the store.", home.login)
        return token
    if outcome == "replaced":
        return token
    if outcome == "changed" and (kept := home.reload()):
        return kept.token
    home.revoke(token)
    raise _ended(home)


def _replace(home: Home, token: Token, version: str) -> str | None:
    """As `Home.replace`, several times if need be; None where the store is out of order."""
    for attempt, pause in enumerate((*STORE_PAUSES, None)):
        try:
            return home.replace(token, version)
        except StoreError:
            if attempt == 0:
                # Whoever is next at this login, in another process, must not use the old one.
                home.set_aside(token, version)
            if pause is not None:
                time.sleep(pause)
    return None


def _release(home: Home, ticket: str, ends: float) -> None:
    """Release a lease; retry if the store is away, so that the next caller needn't wait it out."""
    try:
        home.release(ticket)
    except StoreError:
        patiently(functools.partial(_release_later, home, ticket, ends))


def _release_later(home: Home, ticket: str, ends: float) -> None:
    pause = 0.05
    while time.monotonic() + pause < ends:
        time.sleep(pause)
        try:
            home.release(ticket)
        except StoreError:
            pause = min(2 * pause, 2.0)
        else:
            return


def _is_due(token: Token) -> bool:
    lifetime = token.get("expires_in")
    margin = min(MARGIN, lifetime / 10) if isinstance(lifetime, (int, float)) else MARGIN
    return token.expires_within(margin)


def _newer(home: Home, kept: Kept | None, stale: Token) -> Token | None:
    if kept is None:
        raise _ended(home)
    # Compare whole tokens: some providers only extend the life of the same access token.
    return kept.token if kept.token != stale else None


def _ended(home: Home) -> LoginRequired:
    return LoginRequired("The login has ended. Sign in again.", login=home.login)
