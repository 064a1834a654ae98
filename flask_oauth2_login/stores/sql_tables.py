"""The tables of `SQLAlchemyStore`, and the SQL that differs between databases."""

from __future__ import annotations

import typing as t

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from .base import INDEXES, LABELS

_MYSQL = ("mysql", "mariadb")


class Key(sa.types.TypeDecorator[str]):
    """A short ASCII string, compared and sorted by its bytes.

    In MySQL and MariaDB, ``abc`` equals ``AbC`` and spaces at the end are ignored, except in binary
    types. PostgreSQL sorts by language, except with the collation ``C``.
    """

    impl = sa.String
    cache_ok = True

    def __init__(self, length: int = 64) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[t.Any]:
        if dialect.name in _MYSQL:
            return dialect.type_descriptor(mysql.VARBINARY(self.length))
        collation = "C" if dialect.name == "postgresql" else None
        return dialect.type_descriptor(sa.String(self.length, collation=collation))

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> t.Any:
        return value.encode() if value is not None and dialect.name in _MYSQL else value

    def process_result_value(self, value: t.Any, dialect: sa.Dialect) -> str | None:  # noqa: ARG002
        return value.decode() if isinstance(value, bytes) else value


def make_records(metadata: sa.MetaData, name: str) -> sa.Table:
    """Return the table of the records, with an index for each set of labels to find them by."""
    return sa.Table(
        name,
        metadata,
        sa.Column("id", Key(), primary_key=True),
        sa.Column("sealed", sa.Text().with_variant(mysql.MEDIUMTEXT(), *_MYSQL), nullable=False),
        sa.Column("version", Key(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False, index=True),
        *(sa.Column(label, Key()) for label in LABELS),
        *(sa.Index(f"ix_{name}_by_{index[-1]}", *index) for index in INDEXES),
    )


def make_leases(metadata: sa.MetaData, name: str) -> sa.Table:
    """Return the table of the names that `lease` and `once` have taken, until they end."""
    return sa.Table(
        name,
        metadata,
        sa.Column("name", Key(80), primary_key=True),
        sa.Column("ticket", Key(), nullable=False),
        sa.Column("ends_at", sa.Double(), nullable=False, index=True),
    )


class now(FunctionElement[float]):  # noqa: N801
    """The database's own clock, in Unix seconds, because the clocks of several machines differ."""

    type = sa.Double()
    inherit_cache = True


@compiles(now)
def _now(element: now, compiler: sa.Compiled, **options: t.Any) -> str:  # noqa: ARG001
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"


@compiles(now, "sqlite")
def _now_sqlite(element: now, compiler: sa.Compiled, **options: t.Any) -> str:  # noqa: ARG001
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "mysql")
@compiles(now, "mariadb")
def _now_mysql(element: now, compiler: sa.Compiled, **options: t.Any) -> str:  # noqa: ARG001
    return "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1000000.0)"
