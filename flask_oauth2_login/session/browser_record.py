"""Records that rest in the browser, and what the machine has to know of them."""

from __future__ import annotations

import copy
import time
import typing as t
from contextlib import suppress

from flask import Response, request

from ..protocol.errors import StoreError
from ..stores.base import ENDED, Outcome, Stored
from ..stores.shared import FallbackStore

#: The version of a record that was never renewed: nobody but the browser has it.
IN_BROWSER = "browser"
#: Seconds by which a note outlives what it is about, however a browser's copy is counted.
LONGER = 24 * 3600


class Place(t.Protocol):
    """Where the browser's copy is: :class:`CookieStore` or :class:`SessionStore`."""

    def get(self, login: str) -> str | None:
        """The copy that came with this request."""

    def check(self, login: str, sealed: str) -> None:
        """Raise :exc:`ConfigurationError` where a new record has no room."""

    def write(self, response: Response, login: str, sealed: str | None) -> None:
        """Send a copy with an answer, or take the browser's away."""


class BrowserRecords:
    """The first half of the store protocol, for one login, over a copy in the browser.

    A browser may send an old copy: it aborted the answer with the new one, or asked before it
    came. So what was renewed or ended is noted with ``machine``, under the record's id, for as
    long as the record could live, and counts before the copy.

    :param idle_seconds: seconds without use after which a copy counts no more.
    """

    def __init__(
        self, place: Place, login: str, machine: FallbackStore, idle_seconds: t.Callable[[], float]
    ) -> None:
        self._place = place
        self._login = login
        self._machine = machine
        self._idle_seconds = idle_seconds
        self._browser: _Browser | None = None

    def of_this_request(self) -> BrowserRecords:
        """Return a copy bound to this request's browser, for use in a thread or after the request.

        A record that is renewed after the request reaches the browser with its next request.
        """
        own = copy.copy(self)
        own._browser = _Browser(self._place.get(self._login), _pending())
        return own

    def read(self, id: str) -> Stored | None:
        waiting = self._pending.get(self._login)
        sealed = waiting.sealed if waiting and waiting.id == id else self._sent
        newest = self._machine.read(id)
        if newest is None:
            return Stored(sealed, IN_BROWSER) if sealed else None
        if newest.sealed == ENDED:
            return None
        if newest.sealed != sealed:
            self._send_later(id, newest.sealed)
        return newest

    def create(
        self,
        id: str,
        sealed: str,
        labels: t.Mapping[str, str],  # noqa: ARG002
        expires_at: float,  # noqa: ARG002
    ) -> None:
        self._place.check(self._login, sealed)
        self._send_later(id, sealed)

    def replace(self, id: str, sealed: str, version: str, expires_at: float) -> Outcome:
        if version == IN_BROWSER:
            outcome = "replaced" if self._note(id, sealed, expires_at) else "changed"
        else:
            outcome = self._machine.replace(id, sealed, version, expires_at + LONGER)
        if outcome == "replaced":
            self._send_later(id, sealed)
            return "replaced"
        newest = self._machine.read(id)
        if newest is None and self._note(id, sealed, expires_at):
            # The machine has forgotten what it knew; this is the newest there is.
            self._send_later(id, sealed)
            return "replaced"
        return "gone" if newest is not None and newest.sealed == ENDED else "changed"

    def touch(self, id: str, expires_at: float) -> None:
        self._machine.touch(id, expires_at + LONGER)

    def delete(self, id: str) -> bool:
        self._send_later(id, None)
        expires_at = time.time() + self._idle_seconds()
        return self._machine.end(id, expires_at + LONGER)

    def send_again(self, id: str) -> None:
        """Send the browser's copy once more: how long it lasts has changed."""
        if self._sent and self._login not in self._pending:
            self._send_later(id, self._sent)

    @property
    def _sent(self) -> str | None:
        """The browser's copy, as the request sent it."""
        return self._browser.sent if self._browser else self._place.get(self._login)

    @property
    def _pending(self) -> dict[str, _Copy]:
        """The copies to send with the response, by login."""
        return self._browser.pending if self._browser else _pending()

    def _note(self, id: str, sealed: str, expires_at: float) -> bool:
        """Whether this was the first note on a record."""
        try:
            self._machine.create(id, sealed, {}, expires_at + LONGER)
        except KeyError:
            return False
        return True

    def _send_later(self, id: str, sealed: str | None) -> None:
        """Have a copy sent, or taken away, with this request's answer."""
        waiting = self._pending.get(self._login)
        # What ends may not be what is to be sent: that is a newer login's.
        if sealed is not None or waiting is None or waiting.id == id:
            self._pending[self._login] = _Copy(self, id, sealed)

    def _send(self, response: Response, waiting: _Copy) -> None:
        newest = None
        # If the shared file can't be read, this copy is the newest that this process knows.
        with suppress(StoreError):
            newest = self._machine.read(waiting.id)
        if waiting.sealed is None or newest is None:
            self._place.write(response, self._login, waiting.sealed)
        elif newest.sealed != ENDED:
            self._place.write(response, self._login, newest.sealed)


class _Copy(t.NamedTuple):
    """A copy to be sent; None to be taken away."""

    records: BrowserRecords
    id: str
    sealed: str | None


class _Browser(t.NamedTuple):
    """The browser of one request."""

    #: The copy that the browser sent.
    sent: str | None
    #: The copies to send to the browser, by login.
    pending: dict[str, _Copy]


def send_copies(response: Response) -> None:
    """Send what this request has renewed, and take away what it has ended."""
    # Iterate over a list, because a thread of the app may renew a token meanwhile.
    for waiting in list(_pending().values()):
        waiting.records._send(response, waiting)


def has_copies() -> bool:
    """Whether there is something to send."""
    return bool(_pending())


def copies_to_send() -> dict[str, _Copy]:
    """Return the copies that are to be sent so far, for :func:`restore_copies`."""
    return dict(_pending())


def restore_copies(before: t.Mapping[str, _Copy]) -> None:
    """Restore the copies to send, dropping later ones, because their changes were undone."""
    pending = _pending()
    pending.clear()
    pending.update(before)


def _pending() -> dict[str, _Copy]:
    """By login, on the request: an app context may outlive one."""
    kept = request._get_current_object().__dict__  # type: ignore[attr-defined]
    return t.cast("dict[str, _Copy]", kept.setdefault("_oauth2_login_copies", {}))
