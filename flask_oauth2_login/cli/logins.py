"""Which logins of the app a command is about."""

from __future__ import annotations

import typing as t

import click

from ..protocol.errors import ConfigurationError
from ..session.extension import current_extension
from ..session.registration import Login, Registration, server_store
from ..session.tenants import registration_for
from ..stores.base import TokenStore
from .output import tell

login_option = click.option(
    "--login", metavar="NAME", help="Only this login. Without it, all logins of the app."
)


tenant_option = click.option("--tenant", help="This tenant, of a login that has tenants.")

AnyLogin = t.TypeVar("AnyLogin", bound=Login)


def find_logins(name: str | None) -> list[Login]:
    """Return the login of this name, or all of them.

    :raises ConfigurationError: the app has no login, or none of this name.
    """
    extension = current_extension()
    return [extension.get(name)] if name is not None else list(extension.logins.values())


def chosen(name: str | None, tenant: str | None) -> list[Registration]:
    """Return the login of this name, or all of them, of this tenant where they have tenants.

    :raises ConfigurationError: the app has no such login, or a login has tenants and none is given.
    """
    return [_of_tenant(login, tenant) for login in find_logins(name)]


def _of_tenant(login: Login, tenant: str | None) -> Registration:
    if isinstance(login, Registration):
        return login
    if tenant is None:
        raise ConfigurationError(
            f"The login {login.name!r} has tenants: say which, --tenant NAME.", row="which-tenant"
        )
    return registration_for(login, tenant)


def on_the_server(logins: list[AnyLogin]) -> list[AnyLogin]:
    """Return those of the logins that keep their records on the server. Tell the others.

    :raises ConfigurationError: there are none.
    """
    found = [login for login in logins if login.store is not None]
    if not found:
        server_store(logins[0])
    for login in logins:
        if login.store is None:
            tell(f"{login.name}: left out, because browsers keep the records.")
    return found


def by_store(logins: t.Iterable[Login]) -> dict[str, TokenStore]:
    """Return each store once, by the names of its logins."""
    names: dict[int, list[str]] = {}
    stores: dict[int, TokenStore] = {}
    for registration in logins:
        store = server_store(registration)
        stores[id(store)] = store
        names.setdefault(id(store), []).append(registration.name)
    return {", ".join(names[key]): store for key, store in stores.items()}
