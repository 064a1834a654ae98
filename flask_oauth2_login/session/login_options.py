"""What an `OAuth2Login` keeps until it is registered: its options, and the app's functions."""

from __future__ import annotations

import dataclasses
import typing as t

from flask import Response, current_app

from ..protocol.identity import Identity
from ..protocol.roles import NO_ROLES, RoleRules
from ..protocol.scope import Scope

if t.TYPE_CHECKING:
    from ..protocol.token import Token

OnLogin = t.Callable[[Identity, "Token"], t.Any]
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
    label: str | None = None
    logo: str | None = None
    #: The keys of ``app.config`` that the credentials come from; None if a handler has them.
    config_keys: tuple[str, str] | None = None


class LoginPlan(t.NamedTuple):
    """What `OAuth2Login` was given, apart from what Flask's Blueprint takes."""

    provider: t.Any
    preset: t.Mapping[str, t.Any] | None
    #: The blueprint's name.
    name: str
    scope: Scope | None
    store: t.Any
    options: LoginOptions
    tenant: t.Any
    #: ``tenant_cache_size`` and ``tenant_cache_seconds``.
    limits: tuple[t.Any, t.Any]


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
