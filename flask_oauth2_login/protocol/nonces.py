"""The nonces that servers demand in proofs, by the server's origin: RFC 9449, sections 8 and 9."""

from __future__ import annotations

import re
import threading
import time
import typing as t

from . import urls
from .fork_safe import PerProcess

#: The most origins whose nonces a process keeps.
MOST = 100
#: The seconds after which a process asks the others of its machine for a newer nonce.
ASK_SECONDS = 30.0
#: In this many seconds, a process tells the others at most one new nonce of an origin.
TELL_SECONDS = 1.0

# The characters of section 8.1, and no more than fit into a header twice.
_NONCE = re.compile(r"[!#-\[\]-~]{1,1024}")
_PLAIN = re.compile(r"(https?)://([a-z0-9][a-z0-9.-]*)(?::([1-9][0-9]*))?/")


class Shared(t.Protocol):
    """Where the processes of an app keep the nonces that all of them may use."""

    def load(self, origin: str) -> str | None:
        """Return the newest nonce of an origin; None if there is none, or the store fails."""

    def save(self, origin: str, nonce: str) -> None:
        """Keep a nonce. A store that fails is no error, because the server sends another one."""


class _Known(t.NamedTuple):
    #: The newest nonce; None if the server has sent none.
    nonce: str | None
    #: When to ask the other processes, and from when on to tell them, by the monotonic clock.
    ask_at: float
    tell_at: float


class _OfProcess:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        #: By origin, the oldest first.
        self.known: dict[str, _Known] = {}


class Nonces:
    """The newest nonce of each origin.

    They are kept in the process. Other processes of the app share them by :attr:`shared`, which is
    read twice a minute and written when a nonce changes.
    """

    def __init__(self) -> None:
        self._of_process = PerProcess(_OfProcess)
        #: What the processes of an app share; None without an app.
        self.shared: Shared | None = None

    def get(self, url: str) -> str | None:
        """Return the nonce for a request to a URL; None if its origin has sent none."""
        origin = _origin(url)
        known = self._of_process.get().known.get(origin)
        if known is not None and (self.shared is None or time.monotonic() < known.ask_at):
            return known.nonce
        if self.shared is None:
            return None
        found = self.shared.load(origin)
        tell_at = known.tell_at if known is not None else 0.0
        nonce = found or (known.nonce if known is not None else None)
        self._keep(origin, _Known(nonce, time.monotonic() + ASK_SECONDS, tell_at))
        return nonce

    def keep(self, url: str, headers: t.Mapping[str, str]) -> bool:
        """Keep the nonce that a response brings, if it brings one.

        :param url: where the request was sent.
        :param headers: those of the response.
        :returns: True if it brings one that the RFC allows.
        """
        nonce = headers.get("DPoP-Nonce")
        if nonce is None or not _NONCE.fullmatch(nonce):
            return False
        origin, now = _origin(url), time.monotonic()
        known = self._of_process.get().known.get(origin)
        if known is not None and known.nonce == nonce:
            return True
        is_told = self.shared is not None and (known is None or now >= known.tell_at)
        tell_at = now + TELL_SECONDS if is_told or known is None else known.tell_at
        self._keep(origin, _Known(nonce, now + ASK_SECONDS, tell_at))
        if is_told and self.shared is not None:
            self.shared.save(origin, nonce)
        return True

    def _keep(self, origin: str, newest: _Known) -> None:
        of_process = self._of_process.get()
        with of_process.lock:
            of_process.known.pop(origin, None)
            of_process.known[origin] = newest
            while len(of_process.known) > MOST:
                del of_process.known[next(iter(of_process.known))]


def _origin(url: str) -> str:
    """Return the origin of a URL. Most have a plain host, which needs no parsing."""
    if plain := _PLAIN.match(url):
        scheme, host, port = plain.groups()
        return f"{scheme}://{host}:{port or urls.DEFAULT_PORTS[scheme]}"
    return urls.origin(url)
