"""`Extension`: the state of one app, in ``app.extensions["oauth2_login"]``."""

from __future__ import annotations

import contextlib
import functools
import typing as t

from flask import Flask, current_app, has_app_context

from ..client.refresh import Refresher
from ..client.resource_server import ResourceServer
from ..client.resource_sessions import Exchange
from ..client.session import OAuth2Session
from ..client.token_source import TokenSource
from ..config import Config
from ..protocol.errors import ConfigurationError
from ..protocol.token import Token
from ..stores.base import TokenStore
from ..stores.local import LocalStore, open_local_store
from ..stores.sealing import Sealer
from .context import this_app
from .login_options import LoginHooks, LoginOptions
from .registration import Login, Registration
from .store_option import find_store

NAME = "oauth2_login"


class Extension:
    """One app's logins, keys and stores."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        #: The logins by name, in their order: a `Registration`, or a `TenantLogin`. Apps read it
        #: for menus.
        self.logins: dict[str, Login] = {}
        #: Whether a login has tenants.
        self.has_tenants = False
        self.refresher = Refresher()
        self.config = Config(app)
        self.sealer = Sealer(lambda: self.config.secrets)
        #: The host at which a sign-in was begun last, by the login's name, if its redirect URI is
        #: at another one. For the log, if the browser then comes back without a cookie.
        self.begun_elsewhere: dict[str, str] = {}
        self._stores: dict[str, TokenStore] = {}
        #: The views that were found to be guarded, or to need no guard, by their endpoints.
        self.checked_views: dict[str | None, t.Any] = {}
        self._checked: set[str] = set()
        # Derives a key now, so that the first visitor does not wait for it.
        self.sealer.keyed_hash("ready")

    @functools.cached_property
    def local_store(self) -> LocalStore:
        """The store that the app's processes on this machine share."""
        # Hashed by the oldest secret, so that a new secret doesn't change the name.
        secret_name = self.sealer.keyed_hashes("folder", self._app.name)[-1]
        return open_local_store(self._app.instance_path, self._app.name, secret_name)

    def context(self) -> contextlib.AbstractContextManager[object]:
        """Return the app's context for a thread to enter, or a null context if it is active."""
        if has_app_context() and current_app == self._app:
            return contextlib.nullcontext()
        return self._app.app_context()

    def make_session(
        self, registration: Registration, source: TokenSource, exchange: Exchange | None = None
    ) -> OAuth2Session:
        """Return a session for the provider's API that refreshes the token when it is due.

        The session can be handed to a thread: it needs no active context.

        :param exchange: makes the sessions for further APIs.
        """

        def current_token() -> Token:
            current = source.current()
            return Token() if current is None else current.token

        api = registration.handler.resource_server_for(current_token)
        return self.session_of(source, api, exchange)

    def session_of(
        self, source: TokenSource, api: ResourceServer, exchange: Exchange | None = None
    ) -> OAuth2Session:
        """Return a session for any API, as `make_session` does."""

        def valid_token(rejected: Token | None, again: bool) -> Token | None:
            with self.context():
                return self.refresher.valid_token(source, rejected, again)

        return OAuth2Session(api, valid_token, exchange)

    def once(self, what: str) -> bool:
        """Return True for the first call with this word in this process."""
        first = what not in self._checked
        self._checked.add(what)
        return first

    def get(self, name: str) -> Login:
        """Return a login.

        :raises ConfigurationError: no login has this name.
        """
        try:
            return self.logins[name]
        except KeyError:
            raise ConfigurationError(
                f"This app has no login named {name!r}. It has:"
                f" {', '.join(self.logins) or 'none; register an OAuth2Login blueprint'}.",
                row="login-not-registered",
            ) from None

    def make_login(
        self, name: str, store: t.Any, options: LoginOptions, hooks: LoginHooks
    ) -> Login:
        """Return a login that has no provider yet.

        :param store: what ``OAuth2Login`` or ``OAUTH2_LOGIN_STORE`` takes.
        :raises ConfigurationError: the store can't be used.
        """
        browser_store, server_side = find_store(
            self._app, self.config.store if store is None else store, self._stores
        )
        return Login(
            name=name,
            options=options,
            hooks=hooks,
            store=server_side,
            browser_store=browser_store,
            shared_store=self.local_store if server_side is None else server_side,
            config=self.config,
            sealer=self.sealer,
        )


def extension_of(app: Flask) -> Extension:
    """Return an app's extension. The first call makes it."""
    if NAME not in app.extensions:
        app.extensions[NAME] = Extension(app)
    return t.cast(Extension, app.extensions[NAME])


def current_extension() -> Extension:
    """Return the current app's extension.

    :raises ConfigurationError: the app has no login.
    """
    try:
        return t.cast(Extension, this_app().extensions[NAME])
    except KeyError:
        raise ConfigurationError(
            "This app has no login: app.register_blueprint(OAuth2Login(…)).",
            row="login-not-registered",
        ) from None
