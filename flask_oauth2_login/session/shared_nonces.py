"""The nonces of proofs that the processes of an app share: RFC 9449, sections 8 and 9."""

from __future__ import annotations

import time
import typing as t
from contextlib import suppress

from ..client.oauth2 import OAuth2
from ..protocol.errors import StoreError

if t.TYPE_CHECKING:
    from .extension import Extension

#: How long (s) a nonce is kept. A server that does not accept it any more sends another one.
LIFETIME = 3600


def share_nonces(extension: Extension, handler: OAuth2) -> None:
    """Let the processes of an app share the nonces that a provider and its API demand.

    A server that changes its nonce then refuses one request of one process, not one of each.
    """
    if handler.dpop:
        handler.nonces.shared = SharedNonces(extension)


class SharedNonces:
    """Nonces in the store that the processes of an app on one machine share."""

    def __init__(self, extension: Extension) -> None:
        self._extension = extension

    def load(self, origin: str) -> str | None:
        """Return the newest nonce of an origin; None if there is none, or the store fails."""
        stored = None
        with suppress(StoreError):
            stored = self._extension.local_store.read(self._name(origin))
        opened = self._extension.sealer.open(stored.sealed, "nonce", origin) if stored else None
        return opened if isinstance(opened, str) else None

    def save(self, origin: str, nonce: str) -> None:
        """Keep a nonce. A store that fails is no error, because the server sends another one."""
        sealed = self._extension.sealer.seal(nonce, "nonce", origin)
        self._extension.local_store.put(self._name(origin), sealed, time.time() + LIFETIME)

    def _name(self, origin: str) -> str:
        return self._extension.sealer.keyed_hash("nonce", origin)
