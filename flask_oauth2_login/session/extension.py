"""What belongs to one app: `app.extensions["oauth2_login"]`."""

from __future__ import annotations

import contextlib
import functools
import logging
import typing as t
from datetime import timedelta
from types import NoneType

import click
from flask import Flask, current_app, has_app_context
from flask.cli import FlaskGroup

from ..client.oauth2 import OAuth2
from ..client.pool import Pool
from ..client.refresh import Renewals
from ..protocol.errors import ConfigurationError, StoreError
from ..stores.base import METHODS, SharedStore, TokenStore
from ..stores.sealing import Sealer, Secret
from ..stores.shared import FallbackStore, open_shared_store
from ..stores.sqlite import SQLiteStore
from .browser_record import BrowserRecords, Place
from .cookie_store import CookieStore
from .registration import LoginHooks, LoginOptions, Registration
from .session_store import SessionStore

log = logging.getLogger("flask_oauth2_login")

NAME = "oauth2_login"

SECRET_KEY_FIX = (
    "Flask-OAuth2-Login needs a SECRET_KEY before its blueprint is registered: cookies are sealed"
    ' with it. Make one with `python -c "import secrets; print(secrets.token_hex())"` and set'
    " app.config['SECRET_KEY'], or FLASK_SECRET_KEY with app.config.from_prefixed_env()."
)


class Extension:
    """One app's logins, connections, keys, and what its processes on this machine share."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        #: By name, in the order of registration.
        self.logins: dict[str, Registration] = {}
        self.pool = Pool()
        self.renewals = Renewals()
        self.sealer = Sealer(self._secrets)
        self._stores: dict[str, TokenStore] = {}
        self._checked: set[str] = set()
        # Loads what sealing needs now, not in the first visitor's request.
        self.sealer.keyed_hash("ready")

    @functools.cached_property
    def machine(self) -> FallbackStore:
        """What the processes of this machine share."""
        # Hashed by the oldest secret, so that a new secret doesn't change the name.
        secret_name = self.sealer.keyed_hashes("folder", self._app.name)[-1]
        return open_shared_store(self._app.instance_path, self._app.name, secret_name)

    def context(self) -> contextlib.AbstractContextManager[object]:
        """Return the app's context for a thread to enter, or a null context if it is active."""
        if has_app_context() and current_app == self._app:
            return contextlib.nullcontext()
        return self._app.app_context()

    @property
    def idle_seconds(self) -> float:
        """Seconds without use after which a login ends: PERMANENT_SESSION_LIFETIME."""
        return self._app.permanent_session_lifetime.total_seconds()

    @property
    def lifetime(self) -> float | None:
        """Seconds after sign-in when a login ends whatever happens: OAUTH2_LOGIN_LIFETIME."""
        given = self._app.config.get("OAUTH2_LOGIN_LIFETIME")
        seconds = given.total_seconds() if isinstance(given, timedelta) else given
        if seconds is None or (type(seconds) in {int, float} and seconds > 0):
            return seconds
        raise ConfigurationError(
            f"OAUTH2_LOGIN_LIFETIME={given!r} is neither a number of seconds nor a timedelta."
        )

    @property
    def touch_seconds(self) -> float:
        """Seconds after which it is noted once more that a login is in use."""
        return max(60.0, min(3600.0, self.idle_seconds / 10))

    def once(self, what: str) -> bool:
        """True the first time in this process."""
        first = what not in self._checked
        self._checked.add(what)
        return first

    def get(self, name: str) -> Registration:
        """The login of that name.

        :raises ConfigurationError: there is none.
        """
        try:
            return self.logins[name]
        except KeyError:
            raise ConfigurationError(
                f"This app has no login named {name!r}. It has:"
                f" {', '.join(self.logins) or 'none; register an OAuth2Login blueprint'}."
            ) from None

    def add(
        self,
        name: str,
        handler: OAuth2,
        scopes: list[str],
        store: t.Any,
        options: LoginOptions,
        hooks: LoginHooks,
    ) -> Registration:
        """Register a login under a name.

        :param store: what ``OAuth2Login`` or ``OAUTH2_LOGIN_STORE`` takes.
        :raises ConfigurationError: the options don't go together, or with those of another login.
        """
        for other in self.logins.values():
            if handler.redirect_uri and handler.redirect_uri == other.handler.redirect_uri:
                raise ConfigurationError(
                    f"The logins {other.name!r} and {name!r} have one redirect_uri, where only one"
                    " of them can be: give each handler its own, or none."
                )
        place, server_side = self._find_store(store)
        # Read once here, for a mistake to be told at registration.
        _ = self.lifetime
        if options.offline and server_side is None:
            raise ConfigurationError(
                f"offline=True keeps the grants of the login {name!r} for jobs, which needs a"
                " server-side store: OAuth2Login(…, store='sqlite:///logins.db')."
            )
        shared: SharedStore
        records: TokenStore | BrowserRecords
        if server_side is None:
            shared, seconds = self.machine, lambda: self.idle_seconds
            records = BrowserRecords(t.cast(Place, place), name, self.machine, seconds)
        else:
            shared = records = server_side
        # Read now, because a handler's site may be changed later.
        context = (name, *handler.registration)
        self.logins[name] = Registration(
            name, handler, scopes, context, options, hooks, server_side, records, shared
        )
        return self.logins[name]

    def _find_store(self, given: t.Any) -> tuple[Place | None, TokenStore | None]:
        """The place in the browser, or the server-side store, that a setting means."""
        store = self._app.config.get("OAUTH2_LOGIN_STORE") if given is None else given
        if store is None or store in ("", "cookie"):
            return CookieStore(), None
        if store == "session":
            return SessionStore(), None
        if isinstance(store, str):
            if store not in self._stores:
                self._stores[store] = _open_store(store)
                self._check_store(self._stores[store])
            return None, self._stores[store]
        if getattr(store, "server_side", True) is False and not isinstance(store, type):
            return t.cast(Place, store), None
        missing = [name for name in METHODS if not callable(getattr(store, name, None))]
        if missing or isinstance(store, type):
            raise ConfigurationError(
                f"{store!r} is no store{f', it has no {missing[0]}()' if missing else ''}. Take"
                " 'cookie', 'session', a URL, or an instance of a store:"
                " OAuth2Login(…, store=RedisStore('redis://…'))."
            )
        self._check_store(store)
        return None, t.cast(TokenStore, store)

    def _check_store(self, store: t.Any) -> None:
        """Call a store's ``check()`` at registration, before the first visitor meets the problem.

        :raises ConfigurationError: the store lacks something, such as its tables. In a command
            this is only logged, because the command may create them (``flask db upgrade``).
        """
        check = getattr(store, "check", None)
        if check is None:
            return
        try:
            with self._app.app_context():
                check()
        except StoreError as error:
            log.warning("%s Sign-ins fail until the store can be used.", error)
        except ConfigurationError as error:
            if not _runs_a_command():
                raise
            log.warning("%s", error)

    def _secrets(self) -> t.Sequence[Secret]:
        """The app's secrets, the newest first."""
        config = self._app.config
        own = config.get("OAUTH2_LOGIN_ENCRYPTION_KEY") or ()
        secrets = [
            *([own] if isinstance(own, (str, bytes)) else own),
            config["SECRET_KEY"],
            *(config.get("SECRET_KEY_FALLBACKS") or ()),
        ]
        if not secrets[0]:
            raise ConfigurationError(SECRET_KEY_FIX)
        if not all(isinstance(secret, (str, bytes, NoneType)) for secret in secrets):
            raise ConfigurationError(
                "SECRET_KEY, SECRET_KEY_FALLBACKS and OAUTH2_LOGIN_ENCRYPTION_KEY hold strings or"
                " bytes. A variable of digits alone is a number for from_prefixed_env: make a key"
                " of random letters and digits."
            )
        return [secret for secret in secrets if secret]


def _open_store(url: str) -> TokenStore:
    scheme = url.partition("://")[0].partition("+")[0]
    if scheme in {"redis", "rediss", "valkey", "valkeys", "unix"}:
        from ..stores.redis import RedisStore

        return RedisStore(url)
    if path := _sqlite_path(url):
        return SQLiteStore(path)
    if scheme in {"sqlite", "postgresql", "mysql", "mariadb"}:
        from ..stores.sqlalchemy import SQLAlchemyStore

        return SQLAlchemyStore(url)
    what = f"The scheme {scheme!r}" if "://" in url else repr(url)
    raise ConfigurationError(
        f"{what} names no store. Use 'cookie', 'session', 'sqlite:///…',"
        " 'postgresql+psycopg://…', 'redis://…', or a TokenStore."
    )


def _sqlite_path(url: str) -> str | None:
    """Return the path in a SQLite URL that the standard library can open; None for other URLs.

    :raises ConfigurationError: the URL has too few slashes.
    """
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    if scheme not in {"sqlite", "sqlite+pysqlite"} or "?" in rest:
        return None
    if host:
        raise ConfigurationError(
            f"{url!r} has too few slashes. Write sqlite:///logins.db for a relative path, or"
            " sqlite:////var/lib/app/logins.db for an absolute one."
        )
    return path or ":memory:"


def _runs_a_command() -> bool:
    """Return True if the app is loaded for a Flask command other than ``flask run``."""
    context = click.get_current_context(silent=True)
    if context is None or not isinstance(context.find_root().command, FlaskGroup):
        return False
    return context.info_name != "run"


def extension_of(app: Flask) -> Extension:
    """The app's extension, made on first use."""
    if NAME not in app.extensions:
        app.extensions[NAME] = Extension(app)
    return t.cast(Extension, app.extensions[NAME])


def current_extension() -> Extension:
    """That of the app that handles this request.

    :raises ConfigurationError: it has no login.
    """
    try:
        return t.cast(Extension, current_app.extensions[NAME])
    except KeyError:
        raise ConfigurationError(
            "This app has no login: app.register_blueprint(OAuth2Login(…))."
        ) from None
