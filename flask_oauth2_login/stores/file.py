"""`MachineStore`: records in a small file that the processes of one machine share."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import time
import typing as t
from secrets import token_hex

from ..protocol.errors import StoreError
from .base import INDEXES
from .base import LABELS
from .base import Outcome
from .base import Stored
from .base import check_labels
from .base import find_index
from .forking import AtRest

T = t.TypeVar("T")

#: Seconds to wait while another process writes.
PATIENCE = 2.0
#: Seconds between looks at whether the file is still the one that is open.
LOOK = 1.0
#: Seconds between signs to those who clean up temporary folders that the file is in use.
SIGN = 3600.0
#: Writes of one process between sweeps.
WRITES = 500

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS records (
    id TEXT PRIMARY KEY, sealed TEXT NOT NULL, version TEXT NOT NULL, expires_at REAL NOT NULL,
    {", ".join(f"{label} TEXT" for label in LABELS)}
);
CREATE INDEX IF NOT EXISTS records_expire ON records (expires_at);
CREATE TABLE IF NOT EXISTS leases (
    name TEXT PRIMARY KEY, ticket TEXT NOT NULL, since REAL NOT NULL, until REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (name TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
""" + "".join(
    f"CREATE INDEX IF NOT EXISTS records_by_{index[-1]} ON records ({', '.join(index)})"
    f" WHERE {index[-1]} IS NOT NULL;\n"
    for index in INDEXES
)

_READ = "SELECT sealed, version FROM records WHERE id = ? AND expires_at > ?"
_LIVE = "SELECT 1 FROM records WHERE id = ? AND expires_at > ?"
_CREATE = f"""
INSERT INTO records (id, sealed, version, expires_at, {", ".join(LABELS)})
VALUES (?, ?, ?, ?, {", ".join("?" for _ in LABELS)})
ON CONFLICT (id) DO UPDATE SET
    sealed = excluded.sealed, version = excluded.version, expires_at = excluded.expires_at,
    {", ".join(f"{label} = excluded.{label}" for label in LABELS)}
WHERE records.expires_at <= ?
"""  # noqa: S608
_REPLACE = """
UPDATE records SET sealed = ?, version = ?, expires_at = ?
WHERE id = ? AND version = ? AND expires_at > ?
"""
_TOUCH = "UPDATE records SET expires_at = ? WHERE id = ? AND expires_at > ?"
_RELABEL = f"""
UPDATE records SET {", ".join(f"{label} = ?" for label in LABELS)}
WHERE id = ? AND expires_at > ?
"""  # noqa: S608
_DELETE = "DELETE FROM records WHERE id = ? AND expires_at > ?"
_SCAN = "SELECT id FROM records WHERE id > ? AND expires_at > ? ORDER BY id LIMIT ?"
# A lease from before a restart of the machine may seem to begin in the future; one that begins a
# little later than this call is that of somebody who asked later and was served first.
_LEASE = """
INSERT INTO leases (name, ticket, since, until) VALUES (?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET
    ticket = excluded.ticket, since = excluded.since, until = excluded.until
WHERE leases.until <= excluded.since OR leases.since > excluded.since + 60
"""
_RELEASE = "DELETE FROM leases WHERE name = ? AND ticket = ?"
_ONCE = """
INSERT INTO seen (name, until) VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET until = excluded.until WHERE seen.until <= ?
"""
_SWEEP = (
    "DELETE FROM leases WHERE until <= :steady OR since > :steady + 60",
    "DELETE FROM seen WHERE until <= :wall",
    # Whatever comes in, the file stays small: what would be forgotten first goes.
    *(
        f"DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} ORDER BY {end}"  # noqa: S608
        f" LIMIT max(0, (SELECT count(*) FROM {table}) - :limit))"
        for table, key, end in (("records", "id", "expires_at"), ("seen", "name", "until"))
    ),
)


class MachineStore(AtRest):
    """Keeps records in a SQLite file that all processes of one machine may open.

    It is made by whichever process is first, for its owner's eyes only. What was written last may
    be lost when the machine loses power, and nothing when a process dies. Not for network file
    systems.

    :param path: the file. Its folder must exist.
    :param limit: the most records to keep. Beyond it, those that would expire first go at the
        next sweep.
    """

    def __init__(self, path: str | os.PathLike[str], limit: int = 100_000) -> None:
        self._path = os.fspath(path)
        self._limit = limit
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._look_at = self._sign_at = 0.0
        self._writes = 0
        self._abandoned: list[sqlite3.Connection | None] = []
        super().__init__()

    def read(self, id: str) -> Stored | None:
        rows = self._all(_READ, id, time.time())
        return Stored(*rows[0]) if rows else None

    def create(self, id: str, sealed: str, labels: t.Mapping[str, str], expires_at: float) -> None:
        check_labels(labels)
        values = (id, sealed, token_hex(8), expires_at, *map(labels.get, LABELS))
        if not self._write(_CREATE, *values, time.time()):
            raise KeyError("A record with this id lives already.")

    def replace(self, id: str, sealed: str, version: str, expires_at: float) -> Outcome:
        now = time.time()
        if self._write(_REPLACE, sealed, token_hex(8), expires_at, id, version, now):
            return "replaced"
        return "changed" if self._all(_LIVE, id, now) else "gone"

    def touch(self, id: str, expires_at: float) -> None:
        self._write(_TOUCH, expires_at, id, time.time())

    def relabel(self, id: str, labels: t.Mapping[str, str]) -> None:
        check_labels(labels)
        self._write(_RELABEL, *map(labels.get, LABELS), id, time.time())

    def delete(self, id: str) -> bool:
        return self._write(_DELETE, id, time.time()) == 1

    def find(self, **labels: str) -> list[str]:
        index = find_index(labels)
        where = " AND ".join(f"{label} = ?" for label in index)
        query = f"SELECT id FROM records WHERE {where} AND expires_at > ?"  # noqa: S608
        rows = self._all(query, *(labels[label] for label in index), time.time())
        return [id for (id,) in rows]

    def scan(self, after: str | None, limit: int) -> list[str]:
        return [id for (id,) in self._all(_SCAN, after or "", time.time(), limit)]

    def lease(self, name: str, seconds: float) -> str | None:
        ticket = token_hex(8)
        # All processes of a machine have this clock in common, and it does not jump.
        now = time.monotonic()
        return ticket if self._write(_LEASE, name, ticket, now, now + seconds) else None

    def release(self, name: str, ticket: str) -> None:
        self._write(_RELEASE, name, ticket)

    def once(self, name: str, seconds: float) -> bool:
        now = time.time()
        return self._write(_ONCE, name, now + seconds, now) == 1

    def sweep(self) -> int:
        return self._run(self._sweep)

    def close(self) -> None:
        """Close the file. The next call opens it again."""
        with self._lock:
            self._rest()

    def _all(self, query: str, *values: t.Any) -> list[t.Any]:
        return self._run(lambda connection: connection.execute(query, values).fetchall())

    def _write(self, statement: str, *values: t.Any) -> int:
        """Execute one statement, which is a transaction; how many rows it has changed."""

        def work(connection: sqlite3.Connection) -> int:
            changed = connection.execute(statement, values).rowcount
            self._writes += 1
            if self._writes % WRITES == 0:
                self._sweep(connection)
            return changed

        return self._run(work)

    def _run(self, work: t.Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            try:
                return work(self._open())
            except (sqlite3.Error, OSError) as error:
                self._rest()
                name = getattr(error, "sqlite_errorname", None) or type(error).__name__
                raise StoreError(
                    f"The file {self._path} can't be used: {error} ({name})."
                ) from None

    def _sweep(self, connection: sqlite3.Connection) -> int:
        now = {"steady": time.monotonic(), "wall": time.time(), "limit": self._limit}
        connection.execute("BEGIN IMMEDIATE")
        try:
            swept = connection.execute(
                "DELETE FROM records WHERE expires_at <= :wall", now
            ).rowcount
            for statement in _SWEEP:
                connection.execute(statement, now)
            connection.execute("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        return swept

    def _open(self) -> sqlite3.Connection:
        """The connection, to the file that bears this name now."""
        now = time.monotonic()
        if self._connection and now < self._look_at:
            return self._connection
        self._look_at = now + LOOK
        if self._connection and _identity(self._path) == self._file:
            if now > self._sign_at:
                self._sign_at = now + SIGN
                self._sign()
            return self._connection
        self._rest()
        _make_private(self._path)
        self._file = _identity(self._path)
        self._connection = _connect(self._path)
        return self._connection

    def _sign(self) -> None:
        for end in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                os.utime(self._path + end)

    def _rest(self) -> None:
        connection, self._connection = self._connection, None
        if connection:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _renew(self) -> None:
        # Closing the parent's connection would take the parent's locks on the file away.
        self._abandoned.append(self._connection)
        self._connection = None

    def __del__(self) -> None:
        if getattr(self, "_connection", None):
            self._rest()


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _make_private(path: str) -> None:
    """Make the file if it is not there, and see that nobody else may open it.

    SQLite gives the files beside it the same mode.
    """
    # An existing file is never opened here: to close it would take away all locks on it that
    # SQLite has in this process.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    found = os.lstat(path)
    if not stat.S_ISREG(found.st_mode) or not is_own(found):
        raise OSError("it is no file of this user's own")
    if stat.S_IMODE(found.st_mode) != 0o600:
        os.chmod(path, 0o600)


def is_own(found: os.stat_result) -> bool:
    """Whether something belongs to this process's user. Windows knows no numbers for them."""
    geteuid: t.Callable[[], int] | None = getattr(os, "geteuid", None)
    return geteuid is None or found.st_uid == geteuid()


def _connect(path: str) -> sqlite3.Connection:
    # While another process makes the same file, SQLite may refuse at once, without patience.
    patience = time.monotonic() + PATIENCE
    while True:
        connection = sqlite3.connect(
            path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            if connection.execute("PRAGMA user_version").fetchone()[0] != 1:
                connection.executescript(
                    f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = 1; COMMIT;"
                )
        except BaseException as error:
            connection.close()
            if not isinstance(error, sqlite3.OperationalError) or time.monotonic() > patience:
                raise
            time.sleep(0.01)
        else:
            return connection
