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
from .sqlite_file import connect, create_file, identify, require_place

T = t.TypeVar("T")

#: The longest wait (s) while another process writes.
BUSY_SECONDS = 5.0
#: Seconds between checks that the open file still has its name.
LOOK = 1.0
#: Seconds between updates of the file times, so that cleaners of temporary folders spare the file.
SIGN = 3600.0
#: Writes of one process between sweeps.
WRITES = 500

_BUSY_CODES = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)


class SQLiteStore(ForkSafe):
    """Keeps records in a SQLite file of its own, which all processes of one machine may open.

    The first process makes the file and its tables. Only its owner can read a new file; an existing
    file keeps its mode. The last writes may be lost if the machine loses power. Nothing is lost if
    a process dies. Do not put the file on a network file system.

    In memory (``":memory:"``) records belong to one process. A forked child starts with a copy of
    its parent's records.

    :param path: the file, whose folder must exist, or ``":memory:"``.
    :param limit: the most records to keep; None for no limit. If there are more, a sweep deletes
        those that were written longest ago. Ended logins are kept until they expire.
    """

    def __init__(self, path: str | os.PathLike[str], *, limit: int | None = None) -> None:
        require_given(self, path)
        #: Where the file is.
        self.path = path if path == ":memory:" else os.path.abspath(path)
        #: A random number that is stored in the file when it is made; 0 before it is opened.
        self.file_id = 0
        self._in_memory = self.path == ":memory:"
        self._limit = limit
        self._connection: sqlite3.Connection | None = None
        self._files: t.Any = None
        self._look_at = self._sign_at = 0.0
        self._writes = 0
        self._abandoned: list[sqlite3.Connection | None] = []
        super().__init__()

    def check(self) -> None:
        """Check that the file can be used, and make it if it is missing.

        :raises ConfigurationError: the file can't be made, or has other tables too.
        :raises StoreError: the file can't be used now.
        """
        if not self._in_memory:
            require_place(self.path)
        self.look()

    def look(self) -> None:
        """Check now if another file has taken the file's name, and open that one.

        :raises StoreError: the file can't be used now.
        """
        self._look_at = 0.0
        self._run(lambda _: None)

    def read(self, id: str) -> Stored | None:
        rows = self._all(sql.READ, id, time.time())
        return Stored(*rows[0]) if rows else None

    def create(self, id: str, sealed: str, labels: t.Mapping[str, str], expires_at: float) -> None:
        check_labels(labels)
        values = (id, sealed, _version(), expires_at, *map(labels.get, LABELS))
        if not self._write(sql.CREATE, (*values, time.time())):
            raise KeyError("A record with this id lives already.")

    def put(self, id: str, sealed: str, expires_at: float, patience: float = BUSY_SECONDS) -> bool:
        """Store a record, replacing any other one, unless that says that its login has ended.

        :param patience: seconds to wait while another process writes.
        :returns: False if the login has ended; nothing is written then.
        """
        values = (id, sealed, _version(), expires_at, *[None] * len(LABELS))
        return self._write(sql.PUT, (*values, time.time()), patience) == 1

    def replace(self, id: str, sealed: str, version: str, expires_at: float) -> Outcome:
        now = time.time()
        if self._write(sql.REPLACE, (sealed, _version(), expires_at, id, version, now)):
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
        ticket = f"{token_hex(8)}@{clocks['steady'] + seconds}~{seconds}"
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
                other._write(insert, row)

    def close(self) -> None:
        """Close the file. The next call opens it again."""
        with self._lock:
            self._before_fork()

    def _all(self, query: str, *values: t.Any) -> list[t.Any]:
        return self._run(lambda connection: connection.execute(query, values).fetchall())

    def _write(
        self,
        statement: str,
        values: t.Mapping[str, t.Any] | tuple[t.Any, ...],
        patience: float = BUSY_SECONDS,
    ) -> int:
        """Execute one statement as a transaction, and return how many rows it has changed."""
        changed = self._run(
            lambda connection: connection.execute(statement, values).rowcount, patience
        )
        self._writes += 1
        if self._writes % WRITES == 0:
            # The write has succeeded; a sweep that fails is tried again later.
            with contextlib.suppress(StoreError):
                self._run(self._sweep)
        return changed

    def _run(self, work: t.Callable[[sqlite3.Connection], T], patience: float = BUSY_SECONDS) -> T:
        """Run a function in one transaction, and repeat it while another process blocks the file.

        A busy file has changed nothing. During the wait other threads may use the connection.
        """
        give_up = time.monotonic() + patience
        while True:
            with self._lock:
                opened = self._connection
                try:
                    return work(self._open())
                except (sqlite3.Error, OSError) as error:
                    problem = error
                    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                    if code not in _BUSY_CODES:
                        self._before_fork()
            # A missing table means that the file was emptied. Opening it again makes the tables.
            emptied = code == sqlite3.SQLITE_ERROR and opened and not self._in_memory
            if not emptied and (code not in _BUSY_CODES or time.monotonic() > give_up):
                name = getattr(problem, "sqlite_errorname", None) or type(problem).__name__
                raise StoreError(f"The file {self.path} can't be used: {problem} ({name}).")
            if not emptied:
                time.sleep(random.uniform(0.001, 0.02))  # noqa: S311

    def _sweep(self, connection: sqlite3.Connection) -> int:
        connection.execute("BEGIN IMMEDIATE")
        try:
            swept = connection.execute(sql.SWEEP, _clocks()).rowcount
            connection.execute(sql.SWEEP_LEASES, _clocks())
            for count, trim in sql.BOUNDS if self._limit is not None else ():
                surplus = connection.execute(count).fetchone()[0] - (self._limit or 0)
                if surplus > 0:
                    connection.execute(trim, {"surplus": surplus + (self._limit or 0) // 10})
            connection.execute("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        return swept

    def _open(self) -> sqlite3.Connection:
        """Return the connection; reconnect if another file has taken this name."""
        now = time.monotonic()
        if self._connection and (self._in_memory or now < self._look_at):
            return self._connection
        self._look_at = now + LOOK
        if self._connection and identify(self.path) == self._files:
            if now > self._sign_at:
                self._sign_at = now + SIGN
                self._sign()
            return self._connection
        self._before_fork()
        if not self._in_memory:
            create_file(self.path)
        self._connection, self.file_id = connect(self.path)
        self._files = identify(self.path)
        return self._connection

    def _sign(self) -> None:
        for end in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                os.utime(self.path + end)

    def _before_fork(self) -> None:
        if self._in_memory:
            # Closing would delete the records. Without a file, a child can't do any damage.
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
    return {"wall": time.time(), "steady": time.monotonic()}


def _version() -> str:
    """Return a new version that sorts after all earlier ones, as sweeping requires."""
    return f"{time.time_ns():016x}{token_hex(8)}"
