"""Records that browsers keep, and what this machine must know of them."""

from __future__ import annotations

import time
import typing as t
from contextlib import suppress

from flask import Response

from ..config import Config
from ..protocol.errors import StoreError
from ..stores.base import ENDED, Outcome, Stored
from ..stores.local import LocalStore
from .request_scope import PendingCopy, request_scope

#: The version of a record that was never refreshed: only the browser has it.
IN_BROWSER = "browser"
#: Extra lifetime (s) of a shared record beyond that of the browser's copy.
GRACE_SECONDS = 24 * 3600


class BrowserStore(t.Protocol):
    """Where a browser keeps its copy: `CookieStore` or `SessionStore`."""

    def get(self, login: str) -> str | None:
        """Return the sealed record that came with this request."""

    def check(self, login: str, sealed: str) -> None:
        """Check that there is room for a new record.

        :raises ProviderAnswerError: there is not.
        """

    def has_room(self, login: str, sealed: str) -> bool:
        """Return True if a sealed record with something optional in it takes one cookie at most."""

    def write(self, response: Response, login: str, sealed: str | None) -> None:
        """Send a sealed record with a response, or delete the browser's copy if it is None."""


class BrowserRecords:
    """The part of a store that logins need, over records that browsers keep.

    A browser may send an old copy, because it never received the response with the newer one. So
    a record that is refreshed or ended is also written to ``local_store``, under its id and for as
    long as it could live. What is there counts before the browser's copy.

    :param login: the login's name.
    :param local_store: what the processes of this machine share.
    """

    def __init__(
        self,
        browser_store: BrowserStore,
        login: str,
        local_store: LocalStore,
        config: Config,
        *,
        sent: str | None = None,
        to_send: dict[str, PendingCopy] | None = None,
    ) -> None:
        self._browser_store = browser_store
        self._login = login
        self._local_store = local_store
        self._config = config
        # Of the browser that this is bound to: the copy that it sent, and the copies to send to it,
        # by the login's name.
        self._sent = sent
        self._to_send = to_send

    def of_this_request(self) -> BrowserRecords:
        """Return a copy bound to this request's browser, for use in a thread or after the request.

        A record that is refreshed after the request reaches the browser with its next request.
        """
        return BrowserRecords(
            self._browser_store,
            self._login,
            self._local_store,
            self._config,
            sent=self._browser_store.get(self._login),
            to_send=request_scope().pending,
        )

    def read(self, id: str) -> Stored | None:
        """Return a record, by way of what :meth:`of_this_request` returned."""
        pending = self._pending.get(self._login)
        sealed = pending.sealed if pending and pending.id == id else self._sent
        newest = self._local_store.read(id)
        if newest is None:
            return Stored(sealed, IN_BROWSER) if sealed else None
        if newest.sealed == ENDED:
            return None
        if newest.sealed != sealed:
            self._send_later(id, newest.sealed)
        return newest

    def has_room(self, sealed: str) -> bool:
        """Return True if a sealed record with something optional in it takes one cookie at most."""
        return self._browser_store.has_room(self._login, sealed)

    def create(
        self,
        id: str,
        sealed: str,
        labels: t.Mapping[str, str],  # noqa: ARG002
        expires_at: float,  # noqa: ARG002
    ) -> None:
        self._browser_store.check(self._login, sealed)
        self._pending[self._login] = PendingCopy(id, sealed, self._send_new)

    def replace(self, id: str, sealed: str, version: str, expires_at: float) -> Outcome:
        if version == IN_BROWSER:
            outcome = "replaced" if self._share(id, sealed, expires_at) else "changed"
        else:
            outcome = self._local_store.replace(id, sealed, version, expires_at + GRACE_SECONDS)
        if outcome == "replaced":
            self._send_later(id, sealed)
            return "replaced"
        newest = self._local_store.read(id)
        if newest is None and self._share(id, sealed, expires_at):
            # The shared record has been lost, so this one is the newest.
            self._send_later(id, sealed)
            return "replaced"
        return "gone" if newest is not None and newest.sealed == ENDED else "changed"

    def touch(self, id: str, expires_at: float) -> None:
        self._local_store.touch(id, expires_at + GRACE_SECONDS)

    def delete(self, id: str) -> bool:
        self._send_later(id, None)
        expires_at = time.time() + self._config.idle_seconds
        return self._local_store.end(id, expires_at + GRACE_SECONDS)

    def send_again(self, id: str) -> None:
        """Send the browser its copy again, because the copy's lifetime has changed."""
        sent = self._browser_store.get(self._login)
        if sent and self._login not in self._pending:
            self._send_later(id, sent)

    @property
    def _pending(self) -> dict[str, PendingCopy]:
        return request_scope().pending if self._to_send is None else self._to_send

    def _share(self, id: str, sealed: str, expires_at: float) -> bool:
        """Write a record to the local store. Return False if there is one already."""
        try:
            self._local_store.create(id, sealed, {}, expires_at + GRACE_SECONDS)
        except KeyError:
            return False
        return True

    def _send_later(self, id: str, sealed: str | None) -> None:
        """Send a copy with this request's response, or delete the browser's if it is None."""
        pending = self._pending.get(self._login)
        # Ending an old record must not cancel the pending copy of a newer login.
        if sealed is not None or pending is None or pending.id == id:
            self._pending[self._login] = PendingCopy(id, sealed, self._send)

    def _send_new(self, response: Response, pending: PendingCopy) -> None:
        """Send the first copy of a record. Nobody else knows its id, so none can be newer."""
        self._browser_store.write(response, self._login, pending.sealed)

    def _send(self, response: Response, pending: PendingCopy) -> None:
        newest = None
        # If the local store can't be read, this copy is the newest that is known.
        with suppress(StoreError):
            newest = self._local_store.read(pending.id)
        if pending.sealed is None or newest is None:
            self._browser_store.write(response, self._login, pending.sealed)
        elif newest.sealed != ENDED:
            self._browser_store.write(response, self._login, newest.sealed)
