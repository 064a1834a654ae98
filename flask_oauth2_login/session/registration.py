"""`Registration`: one `OAuth2Login` in one app, or one tenant's there."""

from __future__ import annotations

import dataclasses
import typing as t

from ..client.oauth2 import OAuth2
from ..config import Config
from ..protocol.errors import ConfigurationError
from ..stores.base import SharedStore, TokenStore
from ..stores.sealing import Sealer
from .browser_record import BrowserRecords, BrowserStore
from .flask_session import login_key
from .login_options import LoginHooks, LoginOptions

if t.TYPE_CHECKING:
    from ..stores.local import LocalStore


@dataclasses.dataclass(frozen=True)
class Login:
    """One login of one app without its provider: what all tenants have in common, if it has any."""

    name: str
    options: LoginOptions
    hooks: LoginHooks
    #: The server-side store of its records; None if browsers keep them.
    store: TokenStore | None
    #: Where browsers keep its records; None if there is a server-side store.
    browser_store: BrowserStore | None
    #: Where leases, used states and superseded sessions are noted: the server-side store, or the
    #: file that the processes of this machine share.
    shared_store: SharedStore
    config: Config
    sealer: Sealer

    @property
    def given_label(self) -> str | None:
        """What people call the provider; None if no option says it."""
        return self.options.label or None

    @property
    def label(self) -> str:
        """What a menu of several logins calls this one."""
        return self.given_label or self.name.rpartition(".")[2].replace("_", " ").title()

    @property
    def attempt_context(self) -> tuple[str, ...]:
        """What attempts are sealed with. All tenants can open them, because they count together."""
        return (self.name, "tenants")

    @property
    def log_name(self) -> str:
        """What the log calls the login."""
        return self.name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Registration(Login):
    """A login with its provider: the app's own, or one tenant's."""

    handler: OAuth2
    scopes: list[str]
    #: What seals and hashed names are bound to: the login's name and tenant, its provider and its
    #: client there. What was made for another of these can't be opened.
    context: tuple[str, ...]
    records: TokenStore | BrowserRecords
    #: The name of the login and its tenant in cookies and in the request's dictionaries.
    key: str
    #: The tenant; ``""`` if the login has none.
    tenant: str = ""
    #: The variable of the login's URLs that names the tenant; None if none does.
    variable: str | None = None

    @property
    def given_label(self) -> str | None:
        """What people call the provider; None if neither an option nor a preset says it."""
        # What presets have in brackets tells developers which of several they are.
        return self.options.label or (self.handler.label or "").partition(" (")[0] or None

    @property
    def attempt_context(self) -> tuple[str, ...]:
        """What attempts are sealed with."""
        return super().attempt_context if self.tenant else self.context

    @property
    def url_values(self) -> dict[str, str]:
        """The variables of the login's URLs that this tenant sets."""
        return {} if self.variable is None else {self.variable: self.tenant}

    @property
    def log_name(self) -> str:
        """What the log calls the login, and its tenant if it has one."""
        return f"{self.name} ({self.tenant!r})" if self.tenant else self.name

    def seal(self, value: t.Any, purpose: str) -> str:
        """Seal a JSON value so that only this login can open it, for the same purpose.

        :raises ProviderAnswerError: the value is too large.
        """
        return self.sealer.seal(value, purpose, *self.context)

    def open(self, sealed: str | None, purpose: str) -> t.Any:
        """Return a value that `seal` has sealed; None if it can't be opened."""
        return self.sealer.open(sealed, purpose, *self.context)

    def keyed_hash(self, purpose: str, *parts: str) -> str:
        """Return a name for ``parts`` that only this app can make, and only for this login."""
        return self.sealer.keyed_hash(purpose, *self.context, *parts)


def server_store(login: Login) -> TokenStore:
    """Return a login's store on the server.

    :raises ConfigurationError: browsers keep its records.
    """
    if login.store is None:
        raise ConfigurationError(
            f"This needs a server-side store, and browsers keep the records of the login"
            f" {login.name!r}. Give it one: OAuth2Login(…, store='sqlite:///logins.db'), or"
            " set OAUTH2_LOGIN_STORE to that, to 'postgresql+psycopg://…' or to 'redis://…'.",
            row="needs-server-side-store",
        )
    return login.store


def make_registration(
    login: Login,
    handler: OAuth2,
    scopes: list[str],
    tenant: str = "",
    variable: str | None = None,
) -> Registration:
    """Return a login with its provider.

    :param variable: the variable of the login's URLs that names the tenant.
    """
    key = login_key(login.name, tenant)
    of_tenant = ("tenant", tenant) if tenant else ()
    return Registration(
        **vars(login),
        handler=handler,
        scopes=scopes,
        # Read now, because a handler's site may be changed later.
        context=(login.name, *of_tenant, *handler.registration),
        records=records_of(login, key),
        key=key,
        tenant=tenant,
        variable=variable,
    )


def records_of(login: Login, key: str) -> TokenStore | BrowserRecords:
    """Return where the records of a login are, or those of one of its tenants.

    :param key: the `login_key`.
    """
    if login.browser_store is None:
        return t.cast(TokenStore, login.store)
    local_store = t.cast("LocalStore", login.shared_store)
    return BrowserRecords(login.browser_store, key, local_store, login.config)
