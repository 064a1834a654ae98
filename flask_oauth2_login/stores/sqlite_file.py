"""The file of a `SQLiteStore`: where it may be, how it is made, opened and recognised."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import typing as t
from secrets import randbits

from ..protocol.errors import ConfigurationError
from .sqlite_statements import SCHEMA, TABLES


def require_place(path: str) -> None:
    """See that a SQLite file may be where it is to be.

    :raises ConfigurationError: its folder is missing, or this process may not write there.
    """
    folder = os.path.dirname(os.path.abspath(path))
    place = path if os.path.isfile(path) else folder
    if os.path.isdir(path) or not os.path.isdir(folder) or not os.access(place, os.W_OK):
        raise ConfigurationError(
            f"The SQLite file {path} can't be opened: is there a folder of that name, and may"
            " this process write there? (sqlite:////var/… is absolute, sqlite:///… relative.)"
        )


def check_alone(known: t.Collection[str], own: t.Collection[str], fix: str) -> None:
    """See that nobody else writes to a store's SQLite file.

    :param known: the tables that the file has.
    :param own: the store's.
    :raises ConfigurationError: there are others.
    """
    others = sorted({*known} - {*own, "alembic_version"})
    if others:
        raise ConfigurationError(
            f"The store's SQLite file has other tables too ({', '.join(others[:3])}). SQLite lets"
            " one connection write at a time: a view that has written would wait for itself when"
            f" the store writes. Give the store a file of its own, such as {fix}."
        )


def identify(path: str) -> list[t.Any]:
    """What changes when a file, or the one beside it, is replaced or emptied."""
    known: list[t.Any] = []
    for end in ("", "-shm"):
        try:
            found = os.stat(path + end)
        except FileNotFoundError:
            known.append(None)
        else:
            known.append((found.st_dev, found.st_ino, found.st_size > 0))
    return known


def create_file(path: str) -> None:
    """Make the file if it is not there, closed to others. SQLite gives those beside it its mode."""
    # An existing file is never opened here: to close it would take away all locks on it that
    # SQLite has in this process.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        os.chmod(path, 0o600)


def connect(path: str) -> tuple[sqlite3.Connection, int]:
    """A connection to a file with tables, and the number that the file was given with them.

    :raises ConfigurationError: there are others.
    """
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        known = {name for (name,) in connection.execute(query)}
        check_alone(known, TABLES, "SQLiteStore('logins.db')")
        if not known.issuperset(TABLES):
            connection.executescript(SCHEMA.format(file_id=randbits(31)))
        file_id = connection.execute("PRAGMA user_version").fetchone()[0]
    except BaseException:
        connection.close()
        raise
    return connection, file_id
