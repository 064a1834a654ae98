"""The tenant that a request is for, at each login, and the registration of that tenant.

A login without tenants is its own registration, for every request.
"""

from __future__ import annotations

import typing as t

from flask import current_app, has_request_context
from werkzeug.exceptions import NotFound

from ..protocol.errors import ConfigurationError, LoginRequired, ProviderError
from .context import this_request
from .extension import current_extension
from .flask_session import SessionEntry
from .registration import Login, Registration
from .request_scope import request_scope

if t.TYPE_CHECKING:
    from .tenant_login import TenantLogin


def registration_here(login: Login) -> Registration | None:
    """Return a login's registration for this request; None if the request has no tenant there.

    :raises ProviderUnavailableError: the tenant's provider can't be made. It is raised once a
        request. After that nobody is signed in, so that the app's error page can be rendered.
    """
    if isinstance(login, Registration):
        return login
    scope = request_scope()
    here = scope.registrations
    if login.name not in here:
        # Known before it is found, because the app's functions may ask who is signed in.
        here[login.name] = None
        tenant = _read_tenant(t.cast("TenantLogin", login))
        if tenant is not None:
            scope.names_tenant = True
            here[login.name] = t.cast("TenantLogin", login).find(tenant)
            scope.is_unknown_tenant |= here[login.name] is None
    return t.cast("Registration | None", here[login.name])


def registration_there(login: Login, values: t.Mapping[str, t.Any]) -> Registration | None:
    """Return a login's registration for a URL with these variables, or else for this request.

    :raises ProviderUnavailableError: the tenant's provider can't be made.
    """
    variable = None if isinstance(login, Registration) else t.cast("TenantLogin", login).source
    if isinstance(variable, str) and variable in values:
        return t.cast("TenantLogin", login).find(str(values[variable]))
    return registration_here(login)


def find_here(name: str) -> Registration | None:
    """Return the registration of a login for this request; None if the request has no tenant there.

    :raises ConfigurationError: no login has this name.
    """
    return registration_here(current_extension().get(name))


def require_here(name: str) -> Registration:
    """Return the registration of a login for this request.

    :raises werkzeug.exceptions.NotFound: the request has no tenant there.
    """
    registration = find_here(name)
    if registration is None:
        raise NotFound
    return registration


def registrations_here() -> list[Registration]:
    """Return the registrations of all logins that this request has a tenant for."""
    found = map(registration_here, current_extension().logins.values())
    return [registration for registration in found if registration is not None]


def is_unknown_here(name: str | None) -> bool:
    """Return True if this request names a tenant that does not exist.

    :param name: the login; None for all of them, of which none has another tenant then.
    """
    found = registrations_here() if name is None else find_here(name)
    return not found and request_scope().is_unknown_tenant


def registration_of(entry: SessionEntry) -> Registration | None:
    """Return the registration of an entry, which may be of another tenant than this request's.

    :returns: None if the login or the tenant does not exist any more, or can't be used.
    """
    login = current_extension().logins.get(entry.login)
    if login is None or isinstance(login, Registration):
        return login if not entry.tenant else None
    try:
        return t.cast("TenantLogin", login).find(entry.tenant)
    except ProviderError:
        # It is in the log, and the trouble of that tenant alone.
        return None


def registration_for(login: Login, tenant: str | None) -> Registration:
    """Return the registration of a login and a tenant, for code that may have no request.

    :param tenant: the tenant; None for this request's, or for a login without tenants.
    :raises LoginRequired: there is no such tenant, so nobody can be signed in there.
    :raises ConfigurationError: no tenant is given, one that is no string, or one to a login
        without tenants.
    :raises ProviderUnavailableError: the tenant's provider can't be made.
    """
    if isinstance(login, Registration):
        if tenant is not None:
            raise ConfigurationError(
                f"The login {login.name!r} has no tenants: leave out tenant=.", row="no-tenants"
            )
        return login
    if tenant is not None:
        found = t.cast("TenantLogin", login).find(_named(login, tenant))
        if found is None:
            raise LoginRequired(f"There is no tenant {tenant!r} any more.", login=login.name)
        return found
    here = registration_here(login) if has_request_context() else None
    if here is None:
        raise ConfigurationError(
            f"The login {login.name!r} has tenants, and this is not a request of one of them: say"
            " which one it is, tenant='…'.",
            row="which-tenant",
        )
    return here


def tenant_values(login: Login, tenant: str | None) -> dict[str, str]:
    """Return the variables of a login's URLs that name a tenant.

    :raises ConfigurationError: the URLs have such a variable, and no tenant is given.
    """
    source = None if isinstance(login, Registration) else t.cast("TenantLogin", login).source
    if not isinstance(source, str):
        return {}
    if tenant is None:
        raise ConfigurationError(
            f"The login {login.name!r} has tenants: say which, tenant='…'.", row="which-tenant"
        )
    return {source: tenant}


def forget_tenant(login: Login, tenant: str) -> None:
    """Drop what this process keeps of a tenant.

    :raises ConfigurationError: the login has no tenants, or the name is no string.
    """
    if isinstance(login, Registration):
        raise ConfigurationError(f"The login {login.name!r} has no tenants.", row="no-tenants")
    t.cast("TenantLogin", login).cache.forget(_named(login, tenant))


def _named(login: Login, tenant: t.Any) -> str:
    """Return a tenant's name as code gives it.

    :raises ConfigurationError: it is no string, such as the number of a row, and so names nobody.
    """
    if not isinstance(tenant, str):
        raise ConfigurationError(
            f"The login {login.name!r} was given tenant={tenant!r}. A tenant's name is a string, as"
            f" in the URL: tenant={str(tenant)!r}.",
            row="tenant-name",
        )
    return tenant


def _read_tenant(login: TenantLogin) -> str | None:
    """Return the tenant that this request names; None if it names none.

    :raises ConfigurationError: the app's function returns something else.
    """
    if isinstance(login.source, str):
        # The app's own functions may have taken the variable out of the view's arguments.
        values = request_scope().url_values or this_request().view_args or {}
        value = values.get(login.source)
        return None if value is None else str(value)
    value = current_app.ensure_sync(login.source)()
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(
            f"The function tenant= of the login {login.name!r} returned {type(value).__name__}. It"
            " must return the tenant's name as a string, or None.",
            row="tenant-name",
        )
    return value or None
