"""One `OAuth2Login` in one app: what it was registered with."""

from __future__ import annotations

import dataclasses
import typing as t

from flask import Response, current_app

from ..client.oauth2 import OAuth2
from ..protocol.identity import Identity
from ..protocol.token import Token
from ..stores.base import SharedStore, TokenStore
from .browser_record import BrowserRecords

OnLogin = t.Callable[[Identity, Token], t.Any]
OnLogout = t.Callable[[Identity], t.Any]


@dataclasses.dataclass(frozen=True)
class LoginOptions:
    """Options of `OAuth2Login` that sign-ins read; its docstring explains them."""

    claims: tuple[str, ...] = ()
    offline: bool = False
    keep_id_token: bool = False
    authorize_params: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)


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
    """One login of one app, under the name that it is registered with."""

    name: str
    handler: OAuth2
    scopes: list[str]
    #: What seals and names are bound to: the login's name, its provider and its client there, as
    #: registered. What was made for another provider or client of that name opens nothing.
    context: tuple[str, ...]
    options: LoginOptions
    hooks: LoginHooks
    #: The server-side store of its records; None where records are kept in the browser.
    store: TokenStore | None
    records: TokenStore | BrowserRecords
    #: Where leases, used states and superseded sessions are noted: the store, or the machine's.
    shared: SharedStore

    @property
    def label(self) -> str:
        """What people read on a button."""
        return self.handler.label or self.name.rpartition(".")[2].replace("_", " ").title()
