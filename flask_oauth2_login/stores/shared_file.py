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

#: The query for the ids of all records in the file.
ALL_IDS = f"SELECT id FROM {sql.RECORDS}"  # noqa: S608  (the name of a table)
#: The query for `SQLiteStore.file_id`.
FILE_ID = "PRAGMA user_version"
#: How long (s) after a write another one may get the same time. Kernels set their clock of files at
#: least every 10 ms.
SAME_TIME = 0.1
#: Times (ns) that all are multiples of this are too coarse to tell writes apart.
COARSE = 1_000_000
#: The most ids that are known to have no record.
MAX_ABSENT = 10_000


class _Seen(t.NamedTuple):
    """A state of the file in which it was read without an error."""

    #: What `SharedFile._look` returned before that.
    looks: tuple[int, ...]
    #: From when on no write can leave the file looking like that, by the monotonic clock.
    settled_at: float
    #: Ids that have no record in that state. The map has proved it after that time.
    absent: set[str]


_NEVER = _Seen((), 0.0, set())


class SharedFile(SQLiteStore):
    """A `SQLiteStore` that knows without a query that it has no record with an id.

    Every request of a signed-in visitor asks whether the login has ended or was refreshed. For
    hardly any login is that so.

    :param path: the file's path.
    :param limit: as for `SQLiteStore`.
    """

    def __init__(self, path: str, *, limit: int) -> None:
        self._map = WrittenMap(f"{path}-map")
        # Replaced as a whole, because other threads read it meanwhile.
        self._seen = _NEVER
        #: The connection that the map was made with.
        self._mapped: sqlite3.Connection | None = None
        #: When to try again to make the map, by the monotonic clock.
        self._next_try = 0.0
        #: False if the file had no note that begins with `ENDINGS` when it was last read. It stays
        #: True after the last note has expired.
        self.has_endings = False
        #: What :meth:`_look` returned before the file was last searched for such notes.
        self._searched: tuple[int, ...] = ()
        super().__init__(path, limit=limit)

    def read(self, id: str) -> Stored | None:
        looks, seen = self._look(), self._seen
        if looks and looks == seen.looks and (id in seen.absent or self._is_absent(id, seen)):
            return None
        is_new = self._mapped is not None and looks != seen.looks
        found = self._run(lambda connection: self._read(connection, id, is_new=is_new))
        if not self.has_endings and (not looks or self._searched != looks):
            if self._all(sql.HAS_ENDINGS):
                # Never set back, because another thread may have found a newer note meanwhile.
                self.has_endings = True
            self._searched = looks
        if self._mapped is None:
            self._seen = _NEVER
        elif looks != seen.looks:
            # The look is from before the query, so the next call notices what is written during it.
            self._seen = _Seen(looks, time.monotonic() + SAME_TIME, set())
        return found

    def is_unwritten(self, id: str) -> bool:
        """Return True if no process has written a record with this id.

        It takes less time than :meth:`read` after a write to the file. But it does not notice a
        backup that SQLite has restored into the file, and False may be wrong.
        """
        return self._connection is self._mapped is not None and self._map.proves_absent(id)

    def _is_absent(self, id: str, seen: _Seen) -> bool:
        """Return True if the map proves that there is no record with this id.

        :param seen: a state in which the file is now. It remembers the id.
        """
        is_settled = time.monotonic() > seen.settled_at and seen.looks[-1] % COARSE
        if not self._map.proves_absent(id):
            return False
        if is_settled:
            # Whoever writes such a record from here on changes how the file looks.
            if len(seen.absent) >= MAX_ABSENT:
                seen.absent.clear()
            seen.absent.add(id)
        return True

    def _read(self, connection: sqlite3.Connection, id: str, *, is_new: bool) -> Stored | None:
        if is_new and connection.execute(FILE_ID).fetchone()[0] != self.file_id:
            # SQLite has restored the backup of another file into this one.
            self._disconnect()
            connection = self._open()
        found = connection.execute(sql.READ, (id, time.time())).fetchone()
        return Stored(*found) if found else None

    def _look(self) -> tuple[int, ...]:
        """Return a value that changes at each write: SQLite writes to the ``-wal`` file.

        :returns: the time of the last write (ns) is at the end; empty if there is no such file.
        """
        try:
            found = os.stat(f"{self.path}-wal")
        except OSError:
            return ()
        return found.st_ino, found.st_dev, found.st_size, found.st_mtime_ns

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
            self._seen, self._mapped = _NEVER, None
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
    """Run statements in one transaction, during which no other process writes."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
