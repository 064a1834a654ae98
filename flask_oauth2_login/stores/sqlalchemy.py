"""`SQLAlchemyStore`: records in a SQL database, for apps on several machines.

It needs the extra ``sqlalchemy``, and the driver that the URL names.
"""

from __future__ import annotations

import contextlib
import itertools
import time
import typing as t
from secrets import token_hex

import sqlalchemy as sa
from sqlalchemy import exc

from .base import LABELS, Outcome, Stored, check_labels, find_index, require_given
from .sql_database import Database, FlaskSQLAlchemy
from .sql_tables import make_leases, make_records, now

T = t.TypeVar("T")

#: The number of writes of one process between sweeps.
WRITES_BETWEEN_SWEEPS = 500
#: The most rows that a sweep deletes at once, so that nobody waits long for their locks.
ROWS_PER_DELETE = 500


class SQLAlchemyStore:
    """A :class:`TokenStore` in PostgreSQL, MySQL, MariaDB or SQLite.

    ::

        store = SQLAlchemyStore("postgresql+psycopg://app@db.example.com/app")
        store.create_tables()
        app.register_blueprint(OAuth2Login("github", store=store))

    Each call is a transaction of its own, on a connection of the store's own. The tables are made
    by :meth:`create_tables`, or by Alembic from :attr:`metadata`. The tables of a SQLite URL are
    made with its file.

    SQLite lets only one connection write at a time. If the store wrote to the app's file, a view
    that has written and not yet committed would wait for itself. So the store refuses a SQLite file
    that has other tables. For a ``db`` on SQLite it makes a file of its own beside the app's
    (``app-oauth2-login.db``), with its tables.

    :param url_or_engine: a URL such as ``"postgresql+psycopg://app@db.example.com/app"``, an
        :class:`~sqlalchemy.Engine`, or Flask-SQLAlchemy's ``db``, which needs an app context.
    :param table_name: the name of the table for the records. The name of the second table is the
        same with ``_leases`` at its end.
    :param metadata: where to add the tables, for one Alembic setup; by default a new one.
    :raises ConfigurationError: the URL can't be used, or is missing.
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
        self._records = table = make_records(self.metadata, table_name)
        self._leases = make_leases(self.metadata, f"{table_name}_leases")
        # Built once, because each request of a signed-in visitor executes it.
        self._select = sa.select(table.c.sealed, table.c.version).where(
            table.c.id == sa.bindparam("id"), table.c.expires_at > sa.bindparam("time")
        )
        self._database = Database(url_or_engine, self.metadata, [self._records, self._leases])
        self._writes = itertools.count(1)

    def create_tables(self) -> None:
        """Make the tables that are missing. Any number of processes may do so at the same time.

        :raises ConfigurationError: a SQLite file has other tables too.
        :raises StoreError: the database can't be reached, or refuses to make them.
        """
        self._database.create_tables()

    def check(self) -> None:
        """Check that the store can be used: that its tables exist, or that its file can be made.

        A Flask-SQLAlchemy ``db`` that is not yet set up for the app is not checked.

        :raises ConfigurationError: the tables are missing, or the file can't be made.
        :raises StoreError: the database can't be reached now.
        """
        self._database.check()

    def read(self, id: str) -> Stored | None:
        values = {"id": id, "time": time.time()}
        row = self._read(lambda connection: connection.execute(self._select, values).one_or_none())
        return Stored(row.sealed, row.version) if row else None

    def create(self, id: str, sealed: str, labels: t.Mapping[str, str], expires_at: float) -> None:
        check_labels(labels)
        table = self._records
        values = {
            "sealed": sealed,
            "version": token_hex(8),
            "expires_at": expires_at,
            **{label: labels.get(label) for label in LABELS},
        }
        insert = table.insert().values(id=id, **values)
        has_expired = (table.c.id == id, table.c.expires_at <= time.time())
        update = table.update().where(*has_expired).values(**values)

        def work(connection: sa.Connection) -> bool:
            with contextlib.suppress(exc.IntegrityError):
                connection.execute(insert)
                return True
            return connection.execute(update).rowcount == 1

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
        return self._database.run(self._sweep)

    def close(self) -> None:
        """Close the store's own connections. The next call makes new ones."""
        self._database.close()

    def _live(self, id: str) -> tuple[sa.ColumnElement[bool], ...]:
        """Return the conditions for the record with this id, unless it has expired."""
        return self._records.c.id == id, self._records.c.expires_at > time.time()

    def _take(self, name: str, seconds: float) -> str | None:
        """Take a name for some seconds, and return a ticket; None if somebody holds it.

        This compares and sets, so no lock is held, and callers who wait only read.
        """
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
        """Delete what has expired, and return the number of records among that."""
        # Delete by keys, and a few rows at once: a delete by date locks rows that others need.
        records, leases, swept, time_now = self._records, self._leases, 0, time.time()
        expired = (
            sa.select(records.c.id).where(records.c.expires_at <= time_now).limit(ROWS_PER_DELETE)
        )
        while ids := list(connection.scalars(expired)):
            delete = records.delete().where(records.c.id.in_(ids), records.c.expires_at <= time_now)
            swept += connection.execute(delete).rowcount
        # Read the database's clock once: an index can't be used to compare with a moving value.
        clock = connection.scalar(sa.select(now()))
        ended = sa.select(leases.c.name).where(leases.c.ends_at <= clock).limit(ROWS_PER_DELETE)
        while names := list(connection.scalars(ended)):
            delete = leases.delete().where(leases.c.name.in_(names), leases.c.ends_at <= clock)
            connection.execute(delete)
        return swept

    def _read(self, work: t.Callable[[sa.Connection], T]) -> T:
        """Call a function that only reads."""
        return self._database.run(work, is_read=True)

    def _write(self, work: t.Callable[[sa.Connection], T]) -> T:
        """Call a function that writes, and sweep from time to time."""
        result = self._database.run(work)
        if next(self._writes) % WRITES_BETWEEN_SWEEPS == 0:
            self._database.run(self._sweep)
        return result
