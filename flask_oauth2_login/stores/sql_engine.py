"""Engines that are made for `SQLAlchemyStore`."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import typing as t

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.pool import StaticPool

from ..protocol.errors import ConfigurationError

#: The longest wait (s) to connect, for a connection of the pool, and for another writer of a file.
CONNECT_TIMEOUT = 5
#: The longest wait (s) for a server's response, if the driver has such a limit.
RESPONSE_TIMEOUT = 10

_PSYCOPG = {"connect_timeout": CONNECT_TIMEOUT, "tcp_user_timeout": RESPONSE_TIMEOUT * 1000}
_MYSQL = {
    "connect_timeout": CONNECT_TIMEOUT,
    "read_timeout": RESPONSE_TIMEOUT,
    "write_timeout": RESPONSE_TIMEOUT,
}
#: By driver, arguments for its connections. A URL's own arguments take precedence.
_CONNECT_ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "pysqlite": {"timeout": CONNECT_TIMEOUT, "check_same_thread": False},
    "psycopg": _PSYCOPG,
    "psycopg2": _PSYCOPG,
    "pymysql": _MYSQL,
    "mysqldb": _MYSQL,
}


def make_engine(url: str | sa.URL) -> sa.Engine:
    """Make an engine on whose connections each statement is a transaction.

    :raises ConfigurationError: the URL can't be read, or its driver is missing or asynchronous.
    """
    engine: sa.Engine | None = None
    options: dict[str, t.Any] = {}
    problem = ""
    try:
        parsed = sa.make_url(url)
        arguments = _CONNECT_ARGUMENTS.get(parsed.get_dialect().driver, {})
        if is_memory(parsed):
            options["poolclass"] = StaticPool
        elif parsed.get_backend_name() != "sqlite":
            options |= {"pool_timeout": CONNECT_TIMEOUT, "pool_use_lifo": True}
        engine = sa.create_engine(
            parsed,
            connect_args={key: arguments[key] for key in arguments if key not in parsed.query},
            isolation_level="AUTOCOMMIT",
            pool_pre_ping=parsed.get_backend_name() != "sqlite",
            hide_parameters=True,
            **options,
        )
    except ImportError as error:
        problem = f"its driver {error.name!r} is not installed. pip install it, or name another"
    except (exc.ArgumentError, ValueError):
        problem = "it is not a URL that SQLAlchemy understands, or names an unknown database"
    else:
        if engine.dialect.is_async:
            problem = f"its driver {engine.dialect.driver!r} is asynchronous. Name another"
    if problem or engine is None:
        raise ConfigurationError(
            f"The store's URL can't be used: {problem}. Examples: 'sqlite:///logins.db',"
            " 'postgresql+psycopg://user:password@host/database', 'mysql+pymysql://…'.",
            row="store-url",
        )
    if engine.dialect.name == "sqlite" and not is_memory(engine.url):
        sa.event.listen(engine, "connect", _set_pragmas)
    return engine


def make_engine_beside(engine: sa.Engine) -> sa.Engine:
    """Make an engine for a file of the store's own, beside an app's SQLite database."""
    if is_memory(engine.url):
        return make_engine("sqlite://")
    root, end = os.path.splitext(engine.url.database or "")
    return make_engine(sa.URL.create("sqlite", database=f"{root}-oauth2-login{end or '.db'}"))


def is_memory(url: sa.URL) -> bool:
    """Return True if a URL means a SQLite database in memory."""
    if url.get_backend_name() != "sqlite":
        return False
    database = url.database or ""
    return database in ("", ":memory:", "file::memory:") or url.query.get("mode") == "memory"


def _set_pragmas(connection: sqlite3.Connection, _: t.Any) -> None:
    # If another process is just making the file, that process sets the mode.
    with contextlib.suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
