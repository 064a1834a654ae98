"""Functions that check, make, open and recognise the file of a `SQLiteStore`."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import typing as t
from secrets import randbits

from ..protocol.errors import ConfigurationError
from .sqlite_statements import SCHEMA, TABLES


def require_usable_path(path: str) -> None:
    """Check that a SQLite file can be used or made at a path.

    :raises ConfigurationError: the folder is missing, or this process can't write there.
    """
    folder = os.path.dirname(os.path.abspath(path))
    writable = path if os.path.isfile(path) else folder
    if os.path.isdir(path) or not os.path.isdir(folder) or not os.access(writable, os.W_OK):
        raise ConfigurationError(
            f"The SQLite file {path} can't be opened. The path must name a file, in a folder that"
            " exists and that this process can write to. (sqlite:////var/… is absolute,"
            " sqlite:///… relative.)",
            row="sqlite-file",
        )


def require_own_file(known: t.Collection[str], own: t.Collection[str], fix: str) -> None:
    """Check that a store's SQLite file has no other tables than the store's.

    :param known: the tables in the file.
    :param own: the tables of the store.
    :param fix: an example of a file of the store's own, for the error.
    :raises ConfigurationError: the file has other tables.
    """
    others = sorted({*known} - {*own, "alembic_version"})
    if others:
        raise ConfigurationError(
            f"The store's SQLite file has other tables too ({', '.join(others[:3])}). SQLite lets"
            " one connection write at a time, so the store would wait for a view that has written"
            f" to the file and not yet committed. Give the store a file of its own, such as {fix}.",
            row="sqlite-file-shared",
        )


def identify(path: str) -> list[t.Any]:
    """Return values that change if the file or its -shm file is replaced or emptied."""
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
    """Make the file if it is missing, with mode 0600, which SQLite gives its other files too."""
    # Never open an existing file here, because closing it would release all locks on it that
    # SQLite holds in this process.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        os.chmod(path, 0o600)


def connect(path: str) -> tuple[sqlite3.Connection, int]:
    """Connect to a file, and make its tables if needed.

    :returns: the connection, and the random number that was stored in the file with its tables.
    :raises ConfigurationError: the file has other tables.
    """
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        known = {name for (name,) in connection.execute(query)}
        require_own_file(known, TABLES, "SQLiteStore('logins.db')")
        if not known.issuperset(TABLES):
            connection.executescript(SCHEMA.format(file_id=randbits(31)))
        file_id = connection.execute("PRAGMA user_version").fetchone()[0]
    except BaseException:
        connection.close()
        raise
    return connection, file_id
