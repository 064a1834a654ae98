"""A session for the app itself: the client credentials grant, RFC 6749, section 4.4."""

from __future__ import annotations

import time

from ..client.refresh import Kept
from ..client.session import OAuth2Session
from ..protocol.token import Token
from ..stores.base import Outcome
from ..stores.sealing import hashed_name
from .api_session import make_session
from .extension import current_extension
from .registration import Registration

#: Seconds for which a token is kept that does not say how long it lives.
UNKNOWN_LIFE = 3600
#: Stands for a token that was never fetched. It is always due for renewal, so it is never sent.
NONE_YET = Token(access_token="", expires_at=0)


def client_session(login: Registration, scope: str) -> OAuth2Session:
    """A session whose token is the app's, fetched once for all its processes, and renewed so."""
    return make_session(login, ClientHome(login, scope))


class ClientHome:
    """Where the app's own token rests: `client.refresh.Home`."""

    def __init__(self, login: Registration, scope: str) -> None:
        self._login = login
        self._scope = scope
        # Hashed with the newest secret only: after a change of it, the app fetches a new token.
        self._name = current_extension().sealer.keyed_hash("client", *login.context, scope)
        self._lease_name = hashed_name("renew", self._name)
        self._kept: Kept | None = None

    @property
    def key(self) -> str:
        return f"{self._login.name}:client:{self._scope}"

    @property
    def login(self) -> str:
        return self._login.name

    @property
    def person(self) -> str:
        """The app itself, for every scope."""
        return self._login.handler.client_id

    @property
    def seconds(self) -> float:
        return self._login.handler.transport.seconds

    def can_renew(self, token: Token) -> bool:  # noqa: ARG002
        return True

    def current(self) -> Kept:
        return self._kept or self.reload()

    def reload(self) -> Kept:
        stored = self._login.shared.read(self._name)
        sealer = current_extension().sealer
        opened = sealer.open(stored.sealed, "client", *self._login.context) if stored else None
        if stored is not None and isinstance(opened, dict):
            self._kept = Kept(Token(opened), stored.version)
        else:
            # The stored token has expired or can't be opened. The last known token is not newer.
            self._kept = Kept(self._kept.token if self._kept else NONE_YET, "")
        return self._kept

    def refresh(self, token: Token) -> Token | None:  # noqa: ARG002
        return self._login.handler.client_token(self._scope)

    def replace(self, token: Token, version: str) -> Outcome:
        store = self._login.shared
        sealed = current_extension().sealer.seal(token, "client", *self._login.context)
        expires_at = token.expires_at or time.time() + UNKNOWN_LIFE
        outcome: Outcome = "gone"
        if version:
            outcome = store.replace(self._name, sealed, version, expires_at)
        if outcome == "gone":
            try:
                store.create(self._name, sealed, {}, expires_at)
                outcome = "replaced"
            except KeyError:
                outcome = "changed"
        # The token that is stored now counts. If it can't be opened, the new token counts.
        self._kept = Kept(token, "")
        self.reload()
        return outcome

    def set_aside(self, token: Token, version: str) -> None:
        """Nothing to do: the next process asks for one of its own."""

    def find_aside(self, version: str) -> None:  # noqa: ARG002
        """None ever is."""
        return

    def revoke(self, token: Token) -> None:
        """Nothing to do: another process has a token as good as this one."""

    def end(self) -> None:
        self._login.shared.delete(self._name)

    def lease(self, seconds: float) -> str | None:
        return self._login.shared.lease(self._lease_name, seconds)

    def release(self, ticket: str) -> None:
        self._login.shared.release(self._lease_name, ticket)
