"""Tokens that can be fetched again at any time, such as the app's own: RFC 6749, section 4.4."""

from __future__ import annotations

import time
import typing as t

from ..client.session import OAuth2Session
from ..client.token_source import StoredToken, TokenSource
from ..protocol.token import Token
from ..stores.base import Outcome
from ..stores.sealing import hashed_name
from .extension import current_extension
from .registration import Registration
from .stored_key import pack_token, unpack_token

#: How long (s) a token is stored if the provider does not say how long it lives.
UNKNOWN_LIFE = 3600
#: The token before one was fetched. It has expired, so it is never sent.
NONE_YET = Token(access_token="", expires_at=0)


def client_session(registration: Registration, scope: str) -> OAuth2Session:
    """Return a session with the app's own token, which all of its processes share."""
    return current_extension().make_session(registration, ClientToken(registration, scope))


class FetchedToken(TokenSource):
    """A token in the store that the app's processes share. It can be fetched again at any time.

    :param purpose: what it is for.
    :param parts: what distinguishes it from others for that purpose.
    """

    def __init__(self, registration: Registration, purpose: str, *parts: str) -> None:
        self._registration = registration
        self._store = registration.shared_store
        self._purpose = purpose
        self._parts = parts
        # Hashed with the newest secret only: after a change of it, the app fetches a new token.
        self._name = registration.keyed_hash(purpose, *parts)
        self._lease_name = hashed_name("renew", self._name)
        self._stored: StoredToken | None = None

    @property
    def name(self) -> str:
        return self._registration.name

    @property
    def provider(self) -> str:
        return self._registration.key

    @property
    def log_name(self) -> str:
        return self._registration.log_name

    @property
    def max_request_seconds(self) -> float:
        return self._registration.handler.http_options.max_request_seconds

    def current(self) -> StoredToken | None:
        return self._stored or self.reload()

    def reload(self) -> StoredToken | None:
        stored = self._store.read(self._name)
        opened = self._open(stored.sealed) if stored else None
        token = unpack_token(opened)
        if stored is not None and token is not None:
            self._stored = StoredToken(token, stored.version)
        else:
            # The stored token has expired or can't be opened. The last known token is not newer.
            self._stored = StoredToken(self._stored.token if self._stored else NONE_YET, "")
        return self._stored

    def replace(self, token: Token, version: str) -> Outcome:
        sealed = self._seal(pack_token(token))
        expires_at = token.expires_at or time.time() + UNKNOWN_LIFE
        outcome: Outcome = "gone"
        if version:
            outcome = self._store.replace(self._name, sealed, version, expires_at)
        if outcome == "gone":
            try:
                self._store.create(self._name, sealed, {}, expires_at)
                outcome = "replaced"
            except KeyError:
                outcome = "changed"
        # The token that is stored now counts. If it can't be opened, the new token counts.
        self._stored = StoredToken(token, "")
        self.reload()
        return outcome

    def end(self, reason: str = "expired") -> None:  # noqa: ARG002
        self._store.delete(self._name)

    def lease(self, seconds: float) -> str | None:
        return self._store.lease(self._lease_name, seconds)

    def release(self, ticket: str) -> None:
        self._store.release(self._lease_name, ticket)

    def _seal(self, value: t.Any) -> str:
        return self._registration.sealer.seal(value, self._purpose, *self._context)

    def _open(self, sealed: str) -> t.Any:
        return self._registration.sealer.open(sealed, self._purpose, *self._context)

    @property
    def _context(self) -> tuple[str, ...]:
        return self._registration.context


class ClientToken(FetchedToken):
    """The app's own token, by the client credentials grant."""

    def __init__(self, registration: Registration, scope: str) -> None:
        super().__init__(registration, "client", scope)
        self._scope = scope

    @property
    def key(self) -> str:
        return f"{self._registration.key}:client:{self._scope}"

    @property
    def person(self) -> str:
        """The app itself, for every scope."""
        return self._registration.handler.client_id

    def refresh(self, token: Token) -> Token | None:  # noqa: ARG002
        return self._registration.handler.client_token(self._scope)
