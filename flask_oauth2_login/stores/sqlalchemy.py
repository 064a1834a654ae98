"""`SQLAlchemyStore`: records in a SQL database, for apps on several machines.

Needs the extra ``sqlalchemy``, and the driver that the URL names.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
import typing as t
import weakref
from secrets import token_hex

import sqlalchemy as sa
from sqlalchemy import exc

from ..protocol.errors import ConfigurationError, OAuth2Error, StoreError
from ..protocol.fork_safe import ForkSafe
from .base import LABELS, Outcome, Stored, check_labels, find_index, require_given
from .sql_engine import is_memory, make_engine, make_engine_beside
from .sql_tables import make_leases, make_records, now
from .sqlite_file import require_own_file, require_usable_path

T = t.TypeVar("T")

#: Writes of one process between sweeps.
WRITES = 500
#: Rows that a sweep deletes at once, so that nobody waits for it.
SWEEP = 500
#: Pauses, in seconds, between tries to make tables that other processes may be making too.
MAKING_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)


class FlaskSQLAlchemy(t.Protocol):
    """What is used of Flask-SQLAlchemy's ``db``."""

    @property
    def engine(self) -> sa.Engine: ...


class SQLAlchemyStore(ForkSafe):
    """Keeps records in SQLite, PostgreSQL, MySQL or MariaDB.

    Each call is a transaction of its own, on a connection of the store's own. The tables are made
    by :meth:`create_tables`, or by Alembic, from :attr:`metadata`; those of a SQLite URL by
    themselves.

    SQLite lets one connection write at a time, and a view that has written would wait for itself
    if the store wrote to the same file. So there the store takes no file with other tables in it.
    Given ``db``, it makes a file of its own beside the app's (``app-oauth2-login.db``), with its
    tables.

    :param url_or_engine: a URL such as ``"postgresql+psycopg://app@db.example.com/app"``, an
        :class:`~sqlalchemy.Engine`, or Flask-SQLAlchemy's ``db``, which needs an app context.
    :param table_name: the table for the records; the one beside it has ``_leases`` at its end.
    :param metadata: where to add the tables, for one Alembic setup; by default a new one.
    :raises ConfigurationError: the URL can't be used.
    """

    def __init__(
        self,
        url_or_engine: str | sa.URL | sa.Engine | FlaskSQLAlchemy,
        *,
        table_name: str = "oauth2_login_records",
        metadata: sa.MetaData | None = None,
    ) -> None:
        require_given(self, url_or_engine)
        #: The :class:`~sqlalchemy.MetaData` with the two tables, for Alembic.
        self.metadata = sa.MetaData() if metadata is None else metadata
        self._records = make_records(self.metadata, table_name)
        self._leases = make_leases(self.metadata, f"{table_name}_leases")
        self._tables = [self._records, self._leases]
        table = self._records
        # Built once: this is what each request asks.
        self._one = sa.select(table.c.sealed, table.c.version).where(
            table.c.id == sa.bindparam("id"), table.c.expires_at > sa.bindparam("time")
        )
        if isinstance(url_or_engine, str | sa.URL):
            self._own: sa.Engine | None = make_engine(url_or_engine)
            self._given: sa.Engine | FlaskSQLAlchemy = self._own
        else:
            self._own = None
            self._given = url_or_engine
        # Those of the store's own making, which go with it.
        self._engines = [] if self._own is None else [self._own]
        weakref.finalize(self, _dispose, self._engines, os.getpid()).atexit = False
        self._states: weakref.WeakKeyDictionary[sa.Engine, _EngineState] = (
            weakref.WeakKeyDictionary()
        )
        self._abandoned: list[sa.Engine] = []
        self._forked = False
        self._writes = itertools.count(1)
        super().__init__()

    def create_tables(self) -> None:
        """Make the tables that are missing. Any number of processes may do so at the same time.

        :raises ConfigurationError: a SQLite file has other tables too.
        :raises StoreError: the database can't be reached, or refuses to make them.
        """
        self._run(self._make_tables)

    def check(self) -> None:
        """Check that the store can be used: that its tables exist, or that its file can be made.

        A Flask-SQLAlchemy ``db`` that is not yet set up for the app is not checked.

        :raises ConfigurationError: the tables are missing, or the file can't be made.
        :raises StoreError: the database can't be reached now.
        """
        try:
            engine = self._given_engine()
        except RuntimeError:
            return
        state = engine.url.database or ""
        if engine.dialect.name == "sqlite" and not is_memory(engine.url) and "file:" not in state:
            require_usable_path(state)
        queries = [sa.select(sa.literal(1)).select_from(table).limit(1) for table in self._tables]
        self._read(lambda connection: [connection.scalar(query) for query in queries])

    def read(self, id: str) -> Stored | None:
        values = {"id": id, "time": time.time()}
        row = self._read(lambda connection: connection.execute(self._one, values).one_or_none())
        return Stored(row.sealed, row.version) if row else None

    def create(self, id: str, sealed: str, labels: t.Mapping[str, str], expires_at: float) -> None:
        check_labels(labels)
        table = self._records
        values = {"sealed": sealed, "version": token_hex(8), "expires_at": expires_at}
        none = dict.fromkeys(LABELS)
        values |= {**none, **labels}
        insert = table.insert().values(id=id, **values)
        expired = table.update().where(table.c.id == id, table.c.expires_at <= time.time())

        def work(connection: sa.Connection) -> bool:
            with contextlib.suppress(exc.IntegrityError):
                connection.execute(insert)
                return True
            return connection.execute(expired.values(**values)).rowcount == 1

        if not self._write(work):
            raise KeyError("A record with this id exists already.")

    def replace(self, id: str, sealed: str, version: str, expires_at: float) -> Outcome:
        table = self._records
        update = (
            table.update()
            .where(*self._live(id), table.c.version == version)
            .values(sealed=sealed, version=token_hex(8), expires_at=expires_at)
        )
        query = sa.select(table.c.id).where(*self._live(id))

        def work(connection: sa.Connection) -> Outcome:
            if connection.execute(update).rowcount == 1:
                return "replaced"
            return "changed" if connection.execute(query).first() else "gone"

        return self._write(work)

    def touch(self, id: str, expires_at: float) -> None:
        update = self._records.update().where(*self._live(id)).values(expires_at=expires_at)
        self._write(lambda connection: connection.execute(update))

    def relabel(self, id: str, labels: t.Mapping[str, str]) -> None:
        check_labels(labels)
        values = {label: labels.get(label) for label in LABELS}
        update = self._records.update().where(*self._live(id)).values(**values)
        self._write(lambda connection: connection.execute(update))

    def delete(self, id: str) -> bool:
        delete = self._records.delete().where(*self._live(id))
        return self._write(lambda connection: connection.execute(delete).rowcount) == 1

    def find(self, **labels: str) -> list[str]:
        table = self._records
        same = [table.c[label] == labels[label] for label in find_index(labels)]
        query = sa.select(table.c.id).where(*same, table.c.expires_at > time.time())
        return self._read(lambda connection: list(connection.scalars(query)))

    def scan(self, after: str | None, limit: int) -> list[str]:
        table = self._records
        query = sa.select(table.c.id).where(table.c.expires_at > time.time())
        if after is not None:
            query = query.where(table.c.id > after)
        query = query.order_by(table.c.id).limit(limit)
        return self._read(lambda connection: list(connection.scalars(query)))

    def lease(self, name: str, seconds: float) -> str | None:
        return self._take(f"lease:{name}", seconds)

    def release(self, name: str, ticket: str) -> None:
        table = self._leases
        delete = table.delete().where(table.c.name == f"lease:{name}", table.c.ticket == ticket)
        self._write(lambda connection: connection.execute(delete))

    def once(self, name: str, seconds: float) -> bool:
        return self._take(f"once:{name}", seconds) is not None

    def sweep(self) -> int:
        return self._run(self._sweep)

    def close(self) -> None:
        """Close the store's own connections. The next call makes new ones."""
        with self._lock:
            for engine in {self._own, *(state.engine for state in self._states.values())}:
                if engine is not None:
                    engine.dispose()

    def _live(self, id: str) -> tuple[sa.ColumnElement[bool], ...]:
        return self._records.c.id == id, self._records.c.expires_at > time.time()

    def _take(self, name: str, seconds: float) -> str | None:
        """Compare and set: no lock is held, and those who wait only read."""
        table, ticket = self._leases, token_hex(8)
        held = (table.c.ends_at > now()).label("held")
        query = sa.select(table.c.ticket, held).where(table.c.name == name)
        values = {"ticket": ticket, "ends_at": now() + sa.literal(seconds, sa.Double())}

        def work(connection: sa.Connection) -> bool:
            row = connection.execute(query).one_or_none()
            if row is None:
                with contextlib.suppress(exc.IntegrityError):
                    connection.execute(table.insert().values(name=name, **values))
                    return True
                return False
            if row.held:
                return False
            ended = table.update().where(table.c.name == name, table.c.ticket == row.ticket)
            return connection.execute(ended.values(**values)).rowcount == 1

        return ticket if self._write(work) else None

    def _sweep(self, connection: sa.Connection) -> int:
        # By their keys and a few at once: a delete by date locks what others are about to use.
        records, leases, swept, wall = self._records, self._leases, 0, time.time()
        dead = sa.select(records.c.id).where(records.c.expires_at <= wall).limit(SWEEP)
        while ids := list(connection.scalars(dead)):
            delete = records.delete().where(records.c.id.in_(ids), records.c.expires_at <= wall)
            swept += connection.execute(delete).rowcount
        # The database's clock, but read once: an index can't serve one that goes on.
        clock = connection.scalar(sa.select(now()))
        ended = sa.select(leases.c.name).where(leases.c.ends_at <= clock).limit(SWEEP)
        while names := list(connection.scalars(ended)):
            delete = leases.delete().where(leases.c.name.in_(names), leases.c.ends_at <= clock)
            connection.execute(delete)
        return swept

    def _read(self, work: t.Callable[[sa.Connection], T]) -> T:
        return self._run(work, again=True)

    def _write(self, work: t.Callable[[sa.Connection], T]) -> T:
        done = self._run(work)
        if next(self._writes) % WRITES == 0:
            self._run(self._sweep)
        return done

    def _run(self, work: t.Callable[[sa.Connection], T], again: bool = False) -> T:
        """Work on a connection on which each statement is a transaction.

        :param again: try once more where the connection was a dead one of the pool.
        """
        given = self._given_engine()
        state = self._state(given)
        attempt = 0
        while True:
            attempt += 1
            try:
                with self._connect(state, given) as connection:
                    return work(connection)
            except (exc.DBAPIError, exc.TimeoutError) as error:
                problem = error
            if _is_deadlock(problem) and attempt < 3:
                continue
            if again and getattr(problem, "connection_invalidated", False):
                again = False
                continue
            # Raised here, the error has not SQLAlchemy's in its chain, with the values in that.
            raise self._explain(state, given, problem)

    def _given_engine(self) -> sa.Engine:
        return self._given if isinstance(self._given, sa.Engine) else self._given.engine

    def _state(self, given: sa.Engine) -> _EngineState:
        with self._lock:
            state = self._states.get(given)
            if state is None:
                if self._forked:
                    # What its pool holds is the parent's.
                    given.dispose(close=False)
                state = self._states[given] = _EngineState()
                if given is not self._own:
                    beside = given.dialect.name == "sqlite" and given is not self._given
                    if beside:
                        state.engine = make_engine_beside(given)
                        self._engines.append(state.engine)
        return state

    @contextlib.contextmanager
    def _connect(self, state: _EngineState, given: sa.Engine) -> t.Iterator[sa.Connection]:
        engine = state.engine or given
        # An SQLite database in memory has one connection for all threads.
        turn = state.turn if is_memory(engine.url) else contextlib.nullcontext()
        with turn, engine.connect() as connection:
            if engine is given and given is not self._own:
                connection.execution_options(isolation_level="AUTOCOMMIT")
            if not state.ready:
                if state.engine:
                    self._make_tables(connection)
                elif engine.dialect.name == "sqlite":
                    self._check_alone(connection)
                    if given is self._own:
                        self._make_tables(connection)
                state.ready = True
            yield connection

    def _make_tables(self, connection: sa.Connection) -> None:
        """Make the tables, even if other processes make them at the same time.

        Another process may make a table after this one has looked for it. Each such failure leaves
        one more table in place, so a few tries are enough.
        """
        for pause in (*MAKING_PAUSES, None):
            try:
                self.metadata.create_all(connection, self._tables)
            except exc.DBAPIError as error:
                if pause is None or error.connection_invalidated:
                    raise
                time.sleep(pause)
            else:
                return

    def _check_alone(self, connection: sa.Connection) -> None:
        known = sa.inspect(connection).get_table_names()
        fix = "SQLiteStore('logins.db'), or take Flask-SQLAlchemy's db, which gets one"
        require_own_file(known, [table.name for table in self._tables], fix)

    def _explain(self, state: _EngineState, given: sa.Engine, problem: Exception) -> OAuth2Error:
        missing: list[str] = []
        # Only where the database has answered: else it takes its time again.
        if isinstance(problem, exc.ProgrammingError) or given.dialect.name == "sqlite":
            try:
                with self._connect(state, given) as connection:
                    if not state.engine and given.dialect.name == "sqlite":
                        self._check_alone(connection)
                    known = sa.inspect(connection).get_table_names()
                    missing = [table.name for table in self._tables if table.name not in known]
            except ConfigurationError as error:
                return error
            except exc.SQLAlchemyError:
                pass
        if missing:
            return ConfigurationError(
                f"The store's tables are missing from the database ({', '.join(missing)}). Make"
                " them with store.create_tables(), or a migration from store.metadata."
            )
        kind = type(getattr(problem, "orig", None) or problem).__name__
        return StoreError(f"The database of the logins can't be used now ({kind}).")

    def _before_fork(self) -> None:
        # SQLite can't bear to be open at a fork; other connections are just left to the parent.
        for given, state in self._states.items():
            engine = state.engine or (given if given is self._own else None)
            if engine and engine.dialect.name == "sqlite" and not is_memory(engine.url):
                engine.dispose()

    def _after_fork(self) -> None:
        self._forked = True
        self._abandoned.extend(state.engine for state in self._states.values() if state.engine)
        self._states = weakref.WeakKeyDictionary()


class _EngineState:
    """What the store knows of one engine that it was given."""

    def __init__(self) -> None:
        #: The one to use in its place.
        self.engine: sa.Engine | None = None
        self.ready = False
        self.turn = threading.Lock()


def _dispose(engines: t.Iterable[sa.Engine], pid: int) -> None:
    """Close connections, in the process that made the store: in a fork they are the parent's."""
    if os.getpid() == pid:
        for engine in engines:
            engine.dispose()


def _is_deadlock(error: Exception) -> bool:
    """Whether two transactions met, and this one was undone: it may simply be tried again."""
    problem = getattr(error, "orig", None)
    state = getattr(problem, "sqlstate", None) or getattr(problem, "pgcode", None)
    code = problem.args[0] if problem is not None and problem.args else None
    return state in ("40001", "40P01") or code in (1213, 1205)
