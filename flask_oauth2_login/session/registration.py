"""`Registration`: one `OAuth2Login` in one app."""

from __future__ import annotations

import dataclasses
import typing as t

from flask import Response, current_app

from ..client.oauth2 import OAuth2
from ..config import Config
from ..protocol.identity import Identity
from ..protocol.roles import NO_ROLES, RoleRules
from ..protocol.token import Token
from ..stores.base import SharedStore, TokenStore
from ..stores.sealing import Sealer
from .browser_record import BrowserRecords

T = t.TypeVar("T")

OnLogin = t.Callable[[Identity, Token], t.Any]
OnLogout = t.Callable[[Identity], t.Any]


@dataclasses.dataclass(frozen=True)
class LoginOptions:
    """Options of `OAuth2Login` that sign-ins read; its docstring explains them."""

    claims: tuple[str, ...] = ()
    offline: bool = False
    keep_id_token: bool | None = None
    authorize_params: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    roles: RoleRules = NO_ROLES
    revalidate: float | None = None


class LoginHooks:
    """The app's functions for ``on_login`` and ``on_logout``, in the order of their definition.

    They may be added after registration. Nothing of a visitor is kept here.
    """

    def __init__(self) -> None:
        self.on_login: list[OnLogin] = []
        self.on_logout: list[OnLogout] = []

    def run_on_login(self, identity: Identity, token: Token) -> Response | None:
        """Call the functions of ``on_login``; return the last response that one returns."""
        response = None
        for function in self.on_login:
            returned = current_app.ensure_sync(function)(identity, token)
            response = response if returned is None else returned
        return None if response is None else current_app.make_response(response)

    def run_on_logout(self, identity: Identity) -> None:
        """Call the functions of ``on_logout``."""
        for function in self.on_logout:
            current_app.ensure_sync(function)(identity)


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
