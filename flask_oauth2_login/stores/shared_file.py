"""`SharedFile`: the SQLite file of the local store, with a map that saves most queries."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import typing as t

from . import sqlite_statements as sql
from .base import Stored
from .sqlite import CHECK_INTERVAL, SQLiteStore
from .written_map import WrittenMap, is_usable

#: What names the ids that have a record in the file.
ALL_IDS = f"SELECT id FROM {sql.RECORDS}"  # noqa: S608  (the name of a table)


class SharedFile(SQLiteStore):
    """A `SQLiteStore` that knows without a query that it has no record with an id.

    Every request of a signed-in visitor asks whether the login has ended or was refreshed, and
    hardly any has.

    :param path: the file's path.
    :param limit: as for `SQLiteStore`.
    """

    def __init__(self, path: str, *, limit: int) -> None:
        self._map = WrittenMap(f"{path}-map")
        #: What :meth:`_look` returned when the file was last read without an error.
        self._seen: object = None
        #: The connection that the map was made with.
        self._mapped: sqlite3.Connection | None = None
        #: When to try again to make the map, by the monotonic clock.
        self._next_try = 0.0
        super().__init__(path, limit=limit)

    def read(self, id: str) -> Stored | None:
        # A file that was replaced, or that another program has written to, is read again.
        if self._seen is not None and self._map.proves_absent(id) and self._look() == self._seen:
            return None
        found = super().read(id)
        self._seen = self._look() if self._mapped is not None else None
        return found

    def _look(self) -> object:
        """Return what changes if another program writes to the file, or replaces it."""
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return (found.st_ino, found.st_dev, found.st_size, found.st_mtime_ns, found.st_mode)

    def _execute(
        self,
        connection: sqlite3.Connection,
        statement: str,
        values: t.Mapping[str, t.Any] | tuple[t.Any, ...],
        id: str | None,
    ) -> int:
        if id is None:
            return super()._execute(connection, statement, values, id)
        with _transaction(connection):
            self._map.note(id, lambda: _all_ids(connection))
            return super()._execute(connection, statement, values, id)

    def _open(self) -> sqlite3.Connection:
        connection = super()._open()
        if connection is not self._mapped:
            self._map.bind(self.file_id)
            self._seen = self._mapped = None
            # If that fails, a later call tries again. Until then every read is a query.
            if is_usable() and time.monotonic() >= self._next_try:
                self._next_try = time.monotonic() + CHECK_INTERVAL
                with contextlib.suppress(sqlite3.Error, OSError):
                    with _transaction(connection):
                        self._map.make(lambda: _all_ids(connection))
                    self._mapped = connection
        return connection

    def _update_file_times(self) -> None:
        super()._update_file_times()
        with contextlib.suppress(OSError):
            os.utime(self._map.path)


def _all_ids(connection: sqlite3.Connection) -> t.Iterator[str]:
    return (id for (id,) in connection.execute(ALL_IDS))


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> t.Iterator[None]:
    """Run statements in one transaction, which no other process writes during."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
