"""Engines of `SQLAlchemyStore`: made from URLs, and what SQLite needs beyond that."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import typing as t

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.pool import StaticPool

from ..protocol.errors import ConfigurationError

#: Seconds: to connect, or to wait for a connection of the pool or another writer of a file; and
#: to wait for an answer, where the driver can.
PATIENCE = 5
ANSWER = 10

_BOUNDS: dict[str, dict[str, t.Any]] = {
    "pysqlite": {"timeout": PATIENCE, "check_same_thread": False},
    "psycopg": {"connect_timeout": PATIENCE, "tcp_user_timeout": ANSWER * 1000},
    "psycopg2": {"connect_timeout": PATIENCE, "tcp_user_timeout": ANSWER * 1000},
    "pymysql": {"connect_timeout": PATIENCE, "read_timeout": ANSWER, "write_timeout": ANSWER},
    "mysqldb": {"connect_timeout": PATIENCE, "read_timeout": ANSWER, "write_timeout": ANSWER},
}


def make_engine(url: str | sa.URL) -> sa.Engine:
    """An engine on whose connections each statement is a transaction.

    :raises ConfigurationError: the URL can't be read, or its driver is missing or asynchronous.
    """
    engine: sa.Engine | None = None
    options: dict[str, t.Any] = {}
    problem = ""
    try:
        parsed = sa.make_url(url)
        bounds = _BOUNDS.get(parsed.get_dialect().driver, {})
        if is_memory(parsed):
            options["poolclass"] = StaticPool
        elif parsed.get_backend_name() != "sqlite":
            options |= {"pool_timeout": PATIENCE, "pool_use_lifo": True}
        engine = sa.create_engine(
            parsed,
            connect_args={key: bounds[key] for key in bounds if key not in parsed.query},
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
            " 'postgresql+psycopg://user:password@host/database', 'mysql+pymysql://…'."
        )
    if engine.dialect.name == "sqlite" and not is_memory(engine.url):
        sa.event.listen(engine, "connect", _share_file)
    return engine


def make_engine_beside(engine: sa.Engine) -> sa.Engine:
    """An engine for a file of the store's own, beside an app's SQLite database."""
    if is_memory(engine.url):
        return make_engine("sqlite://")
    root, end = os.path.splitext(engine.url.database or "")
    return make_engine(sa.URL.create("sqlite", database=f"{root}-oauth2-login{end or '.db'}"))


def is_memory(url: sa.URL) -> bool:
    """Whether a URL means an SQLite database in memory."""
    if url.get_backend_name() != "sqlite":
        return False
    database = url.database or ""
    return database in ("", ":memory:", "file::memory:") or url.query.get("mode") == "memory"


def _share_file(connection: sqlite3.Connection, _: t.Any) -> None:
    # Somebody may be making the file just now: then it is they who do it.
    with contextlib.suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
