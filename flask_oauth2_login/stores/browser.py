"""Records that rest in the browser, and what the machine has to know of them."""

from __future__ import annotations

import time
import typing as t

from flask import Response
from flask import request

from .base import Outcome
from .base import Stored
from .base import TokenStore

#: What stands in a record's place once its login has ended.
ENDED = ""
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
        self, place: Place, login: str, machine: TokenStore, idle_seconds: t.Callable[[], float]
    ) -> None:
        self._place = place
        self._login = login
        self._machine = machine
        self._idle_seconds = idle_seconds

    def read(self, id: str) -> Stored | None:
        waiting = _pending().get(self._login)
        copy = waiting.sealed if waiting and waiting.id == id else self._place.get(self._login)
        newest = self._machine.read(id)
        if newest is None:
            return Stored(copy, IN_BROWSER) if copy else None
        if newest.sealed == ENDED:
            return None
        if newest.sealed != copy:
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
        while not self._note(id, ENDED, expires_at):
            newest = self._machine.read(id)
            if newest is None:
                continue
            if newest.sealed == ENDED:
                return False
            ended = self._machine.replace(id, ENDED, newest.version, expires_at + LONGER)
            if ended == "replaced":
                break
        return True

    def send_again(self, id: str) -> None:
        """Send the browser's copy once more: how long it lasts has changed."""
        copy = self._place.get(self._login)
        if copy and self._login not in _pending():
            self._send_later(id, copy)

    def _note(self, id: str, sealed: str, expires_at: float) -> bool:
        """Whether this was the first note on a record."""
        try:
            self._machine.create(id, sealed, {}, expires_at + LONGER)
        except KeyError:
            return False
        return True

    def _send_later(self, id: str, sealed: str | None) -> None:
        """Have a copy sent, or taken away, with this request's answer."""
        pending = _pending()
        waiting = pending.get(self._login)
        # What ends may not be what is to be sent: that is a newer login's.
        if sealed is not None or waiting is None or waiting.id == id:
            pending[self._login] = _Copy(self, id, sealed)

    def _send(self, response: Response, copy: _Copy) -> None:
        newest = self._machine.read(copy.id)
        if copy.sealed is None or newest is None:
            self._place.write(response, self._login, copy.sealed)
        elif newest.sealed != ENDED:
            self._place.write(response, self._login, newest.sealed)


class _Copy(t.NamedTuple):
    """A copy to be sent; None to be taken away."""

    records: BrowserRecords
    id: str
    sealed: str | None


def send_copies(response: Response) -> None:
    """Send what this request has renewed, and take away what it has ended."""
    for copy in _pending().values():
        copy.records._send(response, copy)


def has_copies() -> bool:
    """Whether there is something to send."""
    return bool(_pending())


def _pending() -> dict[str, _Copy]:
    """By login, on the request: an app context may outlive one."""
    kept = request._get_current_object().__dict__  # type: ignore[attr-defined]
    return t.cast("dict[str, _Copy]", kept.setdefault("_oauth2_login_copies", {}))
