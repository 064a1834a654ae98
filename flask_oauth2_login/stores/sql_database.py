"""The database of a `SQLAlchemyStore`: which engine to use, connections, and errors."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import typing as t
import weakref

import sqlalchemy as sa
from sqlalchemy import exc

from ..protocol.errors import ConfigurationError, OAuth2Error, StoreError
from ..protocol.fork_safe import ForkSafe
from .sql_engine import is_memory, make_engine, make_engine_beside
from .sqlite_file import require_own_file, require_usable_path

T = t.TypeVar("T")

#: Pauses (s) between tries to make tables that other processes may be making too.
CREATE_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)
#: How often a transaction is tried that a deadlock undoes.
MAX_TRIES = 3


class FlaskSQLAlchemy(t.Protocol):
    """The part of Flask-SQLAlchemy's ``db`` that the store uses."""

    @property
    def engine(self) -> sa.Engine: ...


class Database(ForkSafe):
    """Runs functions on connections on which each statement is a transaction.

    A URL gets an engine of its own. A ``db`` may have a different engine in each app; in place of
    an engine for SQLite, an engine for a file beside the app's is used.

    :param url_or_engine: see `SQLAlchemyStore`.
    :param metadata: has the tables.
    :param tables: the store's tables.
    :raises ConfigurationError: the URL can't be used.
    """

    def __init__(
        self,
        url_or_engine: str | sa.URL | sa.Engine | FlaskSQLAlchemy,
        metadata: sa.MetaData,
        tables: list[sa.Table],
    ) -> None:
        self._metadata = metadata
        self._tables = tables
        self._given: sa.Engine | FlaskSQLAlchemy
        self._url_engine: sa.Engine | None = None
        if isinstance(url_or_engine, str | sa.URL):
            self._given = self._url_engine = make_engine(url_or_engine)
        else:
            self._given = url_or_engine
        # All engines that were made here. They are closed with this object.
        self._own_engines = [] if self._url_engine is None else [self._url_engine]
        weakref.finalize(self, _dispose, self._own_engines, os.getpid()).atexit = False
        #: By the engine that was given.
        self._states: weakref.WeakKeyDictionary[sa.Engine, _EngineState] = (
            weakref.WeakKeyDictionary()
        )
        self._is_forked = False
        super().__init__()

    def create_tables(self) -> None:
        """Make the tables that are missing; see `SQLAlchemyStore.create_tables`."""
        self.run(self._create_tables)

    def check(self) -> None:
        """Check that the tables exist, or can be made; see `SQLAlchemyStore.check`."""
        try:
            engine = self._given_engine()
        except RuntimeError:
            return
        path = engine.url.database or ""
        if engine.dialect.name == "sqlite" and not is_memory(engine.url) and "file:" not in path:
            require_usable_path(path)
        queries = [sa.select(sa.literal(1)).select_from(table).limit(1) for table in self._tables]
        self.run(lambda connection: [connection.scalar(query) for query in queries], is_read=True)

    def run(self, work: t.Callable[[sa.Connection], T], *, is_read: bool = False) -> T:
        """Call a function with a connection on which each statement is a transaction.

        After a deadlock, the function is called again.

        :param is_read: True if the function only reads. It is called again, once, if the pool's
            connection turns out to be dead.
        :raises ConfigurationError: tables are missing, or the SQLite file has other tables.
        :raises StoreError: the database can't be used now.
        """
        target = self._find_target()
        tries = 0
        while True:
            tries += 1
            try:
                with self._connect(target) as connection:
                    return work(connection)
            except (exc.DBAPIError, exc.TimeoutError) as error:
                problem = error
            if _is_deadlock(problem) and tries < MAX_TRIES:
                continue
            if is_read and getattr(problem, "connection_invalidated", False):
                is_read = False
                continue
            # Raised outside of `except`, so that SQLAlchemy's error, which has the statement's
            # values, is not in the chain.
            raise self._explain(target, problem)

    def close(self) -> None:
        """Close the connections of the engines that were made here."""
        with self._lock:
            for given, state in self._states.items():
                if state.engine_beside or given is self._url_engine:
                    (state.engine_beside or given).dispose()

    def _given_engine(self) -> sa.Engine:
        return self._given if isinstance(self._given, sa.Engine) else self._given.engine

    def _find_target(self) -> _Target:
        given = self._given_engine()
        with self._lock:
            state = self._states.get(given)
            if state is None:
                if self._is_forked:
                    # The connections in its pool are the parent's.
                    given.dispose(close=False)
                state = self._states[given] = _EngineState()
                if given.dialect.name == "sqlite" and given is not self._given:
                    state.engine_beside = make_engine_beside(given)
                    self._own_engines.append(state.engine_beside)
        if state.engine_beside:
            return _Target(state.engine_beside, state, is_own=True, is_beside=True)
        return _Target(given, state, is_own=given is self._url_engine, is_beside=False)

    @contextlib.contextmanager
    def _connect(self, target: _Target) -> t.Iterator[sa.Connection]:
        # A SQLite database in memory has one connection, which threads use in turn.
        is_shared = is_memory(target.engine.url)
        lock = target.state.connection_lock if is_shared else contextlib.nullcontext()
        with lock, target.engine.connect() as connection:
            if not target.is_own:
                connection.execution_options(isolation_level="AUTOCOMMIT")
            if not target.state.is_ready:
                self._require_own_file(target, connection)
                if target.is_own and target.engine.dialect.name == "sqlite":
                    self._create_tables(connection)
                target.state.is_ready = True
            yield connection

    def _create_tables(self, connection: sa.Connection) -> None:
        """Make the tables, even if other processes make them at the same time.

        Another process may make a table after this one has looked for it. Each such failure leaves
        one more table in place, so a few tries are enough.
        """
        for pause in (*CREATE_PAUSES, None):
            try:
                self._metadata.create_all(connection, self._tables)
            except exc.DBAPIError as error:
                if pause is None or error.connection_invalidated:
                    raise
                time.sleep(pause)
            else:
                return

    def _require_own_file(self, target: _Target, connection: sa.Connection) -> None:
        """Check that a SQLite file has no other tables.

        A file beside the app's is not checked, because several stores may have their tables in it.

        :raises ConfigurationError: the file has other tables.
        """
        if target.engine.dialect.name == "sqlite" and not target.is_beside:
            known = sa.inspect(connection).get_table_names()
            fix = "SQLiteStore('logins.db'), or use Flask-SQLAlchemy's db, which gets one"
            require_own_file(known, [table.name for table in self._tables], fix)

    def _explain(self, target: _Target, problem: Exception) -> OAuth2Error:
        """Return our error for SQLAlchemy's."""
        missing: list[str] = []
        # Look for tables only if the database has responded. Otherwise it would take time again.
        if isinstance(problem, exc.ProgrammingError) or target.engine.dialect.name == "sqlite":
            try:
                with self._connect(target) as connection:
                    self._require_own_file(target, connection)
                    known = sa.inspect(connection).get_table_names()
                    missing = [table.name for table in self._tables if table.name not in known]
            except ConfigurationError as error:
                return error
            except exc.SQLAlchemyError:
                pass
        if missing:
            return ConfigurationError(
                f"The store's tables are missing from the database ({', '.join(missing)}). Make"
                " them with store.create_tables(), or a migration from store.metadata.",
                row="missing-tables",
            )
        kind = type(getattr(problem, "orig", None) or problem).__name__
        return StoreError(
            f"The login store's database can't be used now ({kind}). Check that its server is"
            " running and that the store's URL is right."
        )

    def _before_fork(self) -> None:
        # A SQLite connection must not be open at a fork. Others are left to the parent.
        for given, state in self._states.items():
            engine = state.engine_beside or (given if given is self._url_engine else None)
            if engine and engine.dialect.name == "sqlite" and not is_memory(engine.url):
                engine.dispose()

    def _after_fork(self) -> None:
        self._is_forked = True
        # The parent's engines beside stay in `_own_engines`, so nothing closes their connections.
        self._states = weakref.WeakKeyDictionary()


class _EngineState:
    """What is known of an engine that was given. It must not refer to that engine.

    Otherwise the engine, which is its key in a weak dictionary, would never be deleted.
    """

    def __init__(self) -> None:
        #: The engine to use in place of the given one.
        self.engine_beside: sa.Engine | None = None
        #: True once the file was checked and its tables were made, if that is needed.
        self.is_ready = False
        #: For a database in memory, whose only connection all threads use.
        self.connection_lock = threading.Lock()


class _Target(t.NamedTuple):
    """The engine that a call uses."""

    engine: sa.Engine
    state: _EngineState
    #: True if the engine was made here: it is for this store alone.
    is_own: bool
    #: True if the engine is for a file beside the app's.
    is_beside: bool


def _dispose(engines: t.Iterable[sa.Engine], pid: int) -> None:
    """Close the engines' connections, but not in a forked child: there they are the parent's."""
    if os.getpid() == pid:
        for engine in engines:
            engine.dispose()


def _is_deadlock(error: Exception) -> bool:
    """Return True if a deadlock has undone the transaction, which may simply be tried again."""
    problem = getattr(error, "orig", None)
    state = getattr(problem, "sqlstate", None) or getattr(problem, "pgcode", None)
    code = problem.args[0] if problem is not None and problem.args else None
    return state in ("40001", "40P01") or code in (1213, 1205)
