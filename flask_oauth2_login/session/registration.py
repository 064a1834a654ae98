"""`Registration`: one `OAuth2Login` in one app."""

from __future__ import annotations

import dataclasses
import typing as t

from ..client.oauth2 import OAuth2
from ..config import Config
from ..stores.base import SharedStore, TokenStore
from ..stores.sealing import Sealer
from .browser_record import BrowserRecords
from .login_options import LoginHooks, LoginOptions

T = t.TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Registration:
    """One login of one app: its handler, options, hooks and stores."""

    name: str
    handler: OAuth2
    scopes: list[str]
    #: What seals and hashed names are bound to: the login's name, its provider and its client
    #: there. What was made for another provider or client of that name can't be opened.
    context: tuple[str, ...]
    options: LoginOptions
    hooks: LoginHooks
    #: The server-side store of its records; None if browsers keep them.
    store: TokenStore | None
    records: TokenStore | BrowserRecords
    #: Where leases, used states and superseded sessions are noted: the server-side store, or the
    #: file that the processes of this machine share.
    shared_store: SharedStore
    config: Config
    sealer: Sealer

    @property
    def label(self) -> str:
        """The login's name on buttons."""
        return self.handler.label or self.name.rpartition(".")[2].replace("_", " ").title()

    def seal(self, value: t.Any, purpose: str) -> str:
        """Seal a JSON value so that only this login can open it, for the same purpose.

        :raises ProviderAnswerError: the value is too large.
        """
        return self.sealer.seal(value, purpose, *self.context)

    def open(self, sealed: str | None, purpose: str) -> t.Any:
        """Return a value that `seal` has sealed; None if it can't be opened."""
        return self.sealer.open(sealed, purpose, *self.context)

    def open_cached(
        self, sealed: str, read: t.Callable[[t.Any], T | None], purpose: str
    ) -> T | None:
        """Return what ``read`` makes of a value that `seal` sealed: see `Sealer.open_cached`."""
        return self.sealer.open_cached(sealed, read, purpose, *self.context)

    def keyed_hash(self, purpose: str, *parts: str) -> str:
        """Return a name for ``parts`` that only this app can make, and only for this login."""
        return self.sealer.keyed_hash(purpose, *self.context, *parts)
