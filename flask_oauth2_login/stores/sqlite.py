"""`SQLiteStore`: records in a SQLite file, or in memory, with the standard library alone."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import time
import typing as t
from secrets import token_hex

from ..protocol.errors import StoreError
from ..protocol.fork_safe import ForkSafe
from . import sqlite_statements as sql
from .base import LABELS, Outcome, Stored, check_labels, find_index, require_given
from .sqlite_file import connect, create_file, identify, require_usable_path

T = t.TypeVar("T")

#: The longest wait (s) while another process writes.
BUSY_TIMEOUT = 5.0
#: Time (s) between checks that the open file is still the one at its path.
CHECK_INTERVAL = 1.0
#: Time (s) between updates of the files' times, so that programs that delete old temporary files
#: don't delete them.
FILE_TIMES_INTERVAL = 3600.0
#: The number of writes of one process between sweeps.
WRITES_BETWEEN_SWEEPS = 500

_BUSY_CODES = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
_DAMAGED_CODES = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


class SQLiteStore(ForkSafe):
    """A :class:`TokenStore` in a SQLite file, for the processes of one machine.

    It uses the standard library alone::

        store = SQLiteStore("/var/lib/app/logins.db")
        app.register_blueprint(OAuth2Login("github", store=store))

    The store must be the only user of its file. The first process makes the file and its tables.
    Only its owner can read a new file; an existing file keeps its mode. The last writes may be lost
    if the machine loses power. Nothing is lost if a process dies. Do not put the file on a network
    file system.

    In memory (``":memory:"``) records belong to one process. A forked child starts with a copy of
    its parent's records.

    :param path: the file's path, in a folder that exists, or ``":memory:"``. A relative path starts
        at the current folder of the process that makes the store.
    :param limit: the most records to keep; None for no limit. If there are more, a sweep deletes
        those that were written longest ago. Ended logins are kept until they expire.
    :raises ConfigurationError: the path is None or empty.
    """

    def __init__(self, path: str | os.PathLike[str], *, limit: int | None = None) -> None:
        require_given(self, path)
        #: The file's absolute path, or ``":memory:"``.
        self.path = path if path == ":memory:" else os.path.abspath(path)
        #: A random number that is stored in the file when it is made; 0 before it is opened.
        self.file_id = 0
        self._in_memory = self.path == ":memory:"
        self._limit = limit
        self._connection: sqlite3.Connection | None = None
        #: What :func:`identify` returned for the open file.
        self._identity: t.Any = None
        # When to check the file, and when to update its times, by the monotonic clock.
        self._next_check = self._next_times = 0.0
        self._writes = 0
        # The parent's connections. A forked child keeps them, so that nothing closes them.
        self._abandoned: list[sqlite3.Connection | None] = []
        super().__init__()

    def check(self) -> None:
        """Check that the file can be used, and make it if it is missing.

        :raises ConfigurationError: the file can't be made, or has other tables too.
        :raises StoreError: the file can't be used now.
        """
        if not self._in_memory:
            require_usable_path(self.path)
        self.reopen_if_replaced()

    def reopen_if_replaced(self) -> None:
        """Check now whether another file has replaced the open one at its path; open that one.

        :raises StoreError: the file can't be used now.
        """
        self._next_check = 0.0
        self._run(lambda _: None)

    def read(self, id: str) -> Stored | None:
        rows = self._all(sql.READ, id, time.time())
        return Stored(*rows[0]) if rows else None

    def create(self, id: str, sealed: str, labels: t.Mapping[str, str], expires_at: float) -> None:
        check_labels(labels)
        values = (id, sealed, _version(), expires_at, *map(labels.get, LABELS))
        if not self._write(sql.CREATE, (*values, time.time()), id=id):
            raise KeyError("A record with this id exists already.")

    def put(self, id: str, sealed: str, expires_at: float, timeout: float = BUSY_TIMEOUT) -> bool:
        """Store a record, replacing any other one, unless that one says that its login has ended.

        :param expires_at: when the record expires, in Unix seconds.
        :param timeout: the longest wait (s) while another process writes.
        :returns: False if the login has ended; nothing is written then.
        """
        values = (id, sealed, _version(), expires_at, *[None] * len(LABELS))
        return self._write(sql.PUT, (*values, time.time()), timeout, id=id) == 1

    def replace(self, id: str, sealed: str, version: str, expires_at: float) -> Outcome:
        now = time.time()
        values = (sealed, _version(), expires_at, id, version, now)
        if self._write(sql.REPLACE, values, id=id):
            return "replaced"
        return "changed" if self._all(sql.READ, id, now) else "gone"

    def touch(self, id: str, expires_at: float) -> None:
        self._write(sql.TOUCH, (expires_at, id, time.time()))

    def relabel(self, id: str, labels: t.Mapping[str, str]) -> None:
        check_labels(labels)
        self._write(sql.RELABEL, (*map(labels.get, LABELS), id, time.time()))

    def delete(self, id: str) -> bool:
        return self._write(sql.DELETE, (id, time.time())) == 1

    def find(self, **labels: str) -> list[str]:
        index = find_index(labels)
        rows = self._all(sql.FIND[index], *(labels[label] for label in index), time.time())
        return [id for (id,) in rows]

    def scan(self, after: str | None, limit: int) -> list[str]:
        return [id for (id,) in self._all(sql.SCAN, after or "", time.time(), limit)]

    def lease(self, name: str, seconds: float) -> str | None:
        clocks = _clocks()
        ticket = f"{token_hex(8)}@{clocks['monotonic'] + seconds}~{seconds}"
        values = {"name": name, "ticket": ticket, "seconds": seconds, **clocks}
        return ticket if self._write(sql.LEASE, values) else None

    def release(self, name: str, ticket: str) -> None:
        self._write(sql.RELEASE, (name, ticket))

    def once(self, name: str, seconds: float) -> bool:
        now = time.time()
        return self._write(sql.ONCE, (name, now + seconds, now)) == 1

    def sweep(self) -> int:
        return self._run(self._sweep)

    def copy_to(self, other: SQLiteStore) -> None:
        """Copy all rows into another store. Rows that exist there already are not changed."""
        for select, insert in sql.COPY:
            for row in self._all(select):
                other._write(insert, row, id=row[0])

    def close(self) -> None:
        """Close the file. The next call opens it again. A store in memory does nothing."""
        with self._lock:
            self._disconnect()

    def _all(self, query: str, *values: t.Any) -> list[t.Any]:
        return self._run(lambda connection: connection.execute(query, values).fetchall())

    def _write(
        self,
        statement: str,
        values: t.Mapping[str, t.Any] | tuple[t.Any, ...],
        timeout: float = BUSY_TIMEOUT,
        *,
        id: str | None = None,
    ) -> int:
        """Execute one statement as a transaction, and return the number of rows that it changes.

        :param id: the id of the record that the statement writes, if it writes one.
        """
        changed = self._run(
            lambda connection: self._execute(connection, statement, values, id), timeout
        )
        self._writes += 1
        if self._writes % WRITES_BETWEEN_SWEEPS == 0:
            # The write has succeeded; a sweep that fails is tried again later.
            with contextlib.suppress(StoreError):
                self._run(self._sweep)
        return changed

    def _execute(
        self,
        connection: sqlite3.Connection,
        statement: str,
        values: t.Mapping[str, t.Any] | tuple[t.Any, ...],
        id: str | None,  # noqa: ARG002  (for `SharedFile`)
    ) -> int:
        return connection.execute(statement, values).rowcount

    def _run(self, work: t.Callable[[sqlite3.Connection], T], timeout: float = BUSY_TIMEOUT) -> T:
        """Run a function in one transaction, and repeat it while another process blocks the file.

        A busy file has changed nothing. During the wait other threads may use the connection.
        """
        deadline = time.monotonic() + timeout
        while True:
            # Don't hold the lock while waiting.
            with self._lock:
                was_open = self._connection is not None
                try:
                    return work(self._open())
                except (sqlite3.Error, OSError) as error:
                    problem = error
                    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                    if code not in _BUSY_CODES:
                        self._disconnect()
            # A missing table means that the file was emptied. Opening it again makes the tables.
            is_emptied = code == sqlite3.SQLITE_ERROR and was_open and not self._in_memory
            if not is_emptied and (code not in _BUSY_CODES or time.monotonic() > deadline):
                name = getattr(problem, "sqlite_errorname", None) or type(problem).__name__
                fix = " Delete it to begin with a new one." if code in _DAMAGED_CODES else ""
                raise StoreError(
                    f"The file {self.path} can't be used: {problem} ({name}).{fix}",
                    row="sqlite-file",
                )
            if not is_emptied:
                time.sleep(random.uniform(0.001, 0.02))  # noqa: S311

    def _sweep(self, connection: sqlite3.Connection) -> int:
        connection.execute("BEGIN IMMEDIATE")
        try:
            swept = connection.execute(sql.SWEEP, _clocks()).rowcount
            connection.execute(sql.SWEEP_LEASES, _clocks())
            if self._limit is not None:
                for count, trim in sql.COUNT_AND_TRIM:
                    surplus = connection.execute(count).fetchone()[0] - self._limit
                    if surplus > 0:
                        connection.execute(trim, {"surplus": surplus + self._limit // 10})
            connection.execute("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        return swept

    def _open(self) -> sqlite3.Connection:
        """Return the connection; connect again if another file is at the path now."""
        now = time.monotonic()
        if self._connection and (self._in_memory or now < self._next_check):
            return self._connection
        self._next_check = now + CHECK_INTERVAL
        if self._connection and identify(self.path) == self._identity:
            if now > self._next_times:
                self._next_times = now + FILE_TIMES_INTERVAL
                self._update_file_times()
            return self._connection
        self._disconnect()
        if not self._in_memory:
            create_file(self.path)
        self._connection, self.file_id = connect(self.path)
        self._identity = identify(self.path)
        return self._connection

    def _update_file_times(self) -> None:
        """Set the times of SQLite's three files to now."""
        for end in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                os.utime(self.path + end)

    def _before_fork(self) -> None:
        self._disconnect()

    def _disconnect(self) -> None:
        if self._in_memory:
            # Closing would delete the records. Without a file, a child's copy needs no closing.
            return
        connection, self._connection = self._connection, None
        if connection:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _after_fork(self) -> None:
        if not self._in_memory:
            # Closing the parent's connection would release the parent's locks on the file.
            self._abandoned.append(self._connection)
            self._connection = None

    def __del__(self) -> None:
        if connection := getattr(self, "_connection", None):
            connection.close()


def _clocks() -> dict[str, float]:
    """Return the values for statements that compare leases; see `sqlite_statements`."""
    return {"unix_time": time.time(), "monotonic": time.monotonic()}


def _version() -> str:
    """Return a new version that sorts after all earlier ones, as sweeping requires."""
    return f"{time.time_ns():016x}{token_hex(8)}"
