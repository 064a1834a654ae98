"""What ``OAuth2Login(store=…)`` and ``OAUTH2_LOGIN_STORE`` mean: a store for records."""

from __future__ import annotations

import logging
import typing as t

import click
from flask import Flask
from flask.cli import FlaskGroup

from ..protocol.errors import ConfigurationError, StoreError
from ..stores.base import METHODS, TokenStore
from .browser_record import BrowserStore
from .cookie_store import CookieStore
from .session_store import SessionStore

log = logging.getLogger("flask_oauth2_login")


def find_store(
    app: Flask, option: t.Any, opened: dict[str, TokenStore]
) -> tuple[BrowserStore | None, TokenStore | None]:
    """Return the store in browsers that an option means, or the one on the server.

    :param option: ``None`` or ``"cookie"``, ``"session"``, a URL, or a store.
    :param opened: the stores that this app has opened by URL. A new one is added.
    :raises ConfigurationError: the option means no store, or its store lacks something.
    """
    if option is None or option in ("", "cookie"):
        return CookieStore(), None
    if option == "session":
        return SessionStore(), None
    if isinstance(option, str):
        if option not in opened:
            opened[option] = _open_store(option)
            _check_store(app, opened[option])
        return None, opened[option]
    if getattr(option, "server_side", True) is False and not isinstance(option, type):
        return t.cast(BrowserStore, option), None
    missing = [name for name in METHODS if not callable(getattr(option, name, None))]
    if missing or isinstance(option, type):
        raise ConfigurationError(
            f"{option!r} is no store{f', it has no {missing[0]}()' if missing else ''}. Take"
            " 'cookie', 'session', a URL, or an instance of a store:"
            " OAuth2Login(…, store=RedisStore('redis://…')).",
            row="store-methods",
        )
    _check_store(app, option)
    return None, t.cast(TokenStore, option)


def _check_store(app: Flask, store: t.Any) -> None:
    """Call a store's ``check()`` at registration, before the first visitor meets the problem.

    :raises ConfigurationError: the store lacks something, such as its tables. In a command this is
        only logged, because the command may create them (``flask db upgrade``).
    """
    check = getattr(store, "check", None)
    if check is None:
        return
    try:
        with app.app_context():
            check()
    except StoreError as error:
        log.warning("%s", error.with_hint(" Sign-ins fail until the store can be used."))
    except ConfigurationError as error:
        if not _runs_a_command():
            raise
        log.warning("%s", error)


def _open_store(url: str) -> TokenStore:
    scheme = url.partition("://")[0].partition("+")[0]
    if scheme in {"redis", "rediss", "valkey", "valkeys", "unix"}:
        from ..stores.redis import RedisStore

        return RedisStore(url)
    if path := _sqlite_path(url):
        from ..stores.sqlite import SQLiteStore

        return SQLiteStore(path)
    if scheme in {"sqlite", "postgresql", "mysql", "mariadb"}:
        from ..stores.sqlalchemy import SQLAlchemyStore

        return SQLAlchemyStore(url)
    what = f"The scheme {scheme!r}" if "://" in url else repr(url)
    raise ConfigurationError(
        f"{what} names no store. Use 'cookie', 'session', 'sqlite:///…',"
        " 'postgresql+psycopg://…', 'redis://…', or a TokenStore.",
        row="store-url",
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
            " sqlite:////var/lib/app/logins.db for an absolute one.",
            row="store-url",
        )
    return path or ":memory:"


def _runs_a_command() -> bool:
    """Return True if the app is loaded for a Flask command other than ``flask run``."""
    context = click.get_current_context(silent=True)
    if context is None or not isinstance(context.find_root().command, FlaskGroup):
        return False
    return context.info_name != "run"
