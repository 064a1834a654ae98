"""The app's users: which accounts, at which providers, are whose."""

from __future__ import annotations

import sqlite3
import typing as t
from contextlib import closing, contextmanager
from uuid import uuid4

from flask import abort

from flask_oauth2_login import Identity, Token

SCHEMA = """
CREATE TABLE IF NOT EXISTS account (
    provider TEXT NOT NULL, id TEXT NOT NULL, user TEXT NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY (provider, id)
)
"""


class Account(t.NamedTuple):
    """Somebody at a provider."""

    provider: str
    id: str
    name: str


class Users:
    """The users of one app, in an SQLite file. Another app would have them in its database."""

    def __init__(self, path: str) -> None:
        self._path = path
        with self._transaction() as database:
            database.execute(SCHEMA)

    def find_or_create(self, identity: Identity, _token: Token) -> None:
        """Find whose account somebody has signed in with: for ``on_login``."""
        name = identity.name or identity.email or identity.id
        # The owner is known already where somebody who is signed in adds an account.
        row = (identity.provider, identity.id, identity.owner or uuid4().hex, name)
        insert = (
            "INSERT INTO account (provider, id, user, name) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (provider, id) DO UPDATE SET name = excluded.name"
        )
        query = "SELECT user FROM account WHERE provider = ? AND id = ?"
        with self._transaction() as database:
            database.execute(insert, row)
            (user,) = database.execute(query, row[:2]).fetchone()
        if identity.owner not in {None, user}:
            abort(409, "This account belongs to another user already.")
        identity.owner = user

    def accounts(self, user: str) -> list[Account]:
        """Return a user's accounts, the oldest first."""
        query = "SELECT provider, id, name FROM account WHERE user = ? ORDER BY rowid"
        with self._transaction() as database:
            return [Account(*row) for row in database.execute(query, (user,))]

    def remove(self, user: str, provider: str, id: str) -> bool:
        """Take an account away from a user, if another one is left to sign in with."""
        delete = (
            "DELETE FROM account WHERE user = :user AND provider = :provider AND id = :id"
            " AND (SELECT count(*) FROM account WHERE user = :user) > 1"
        )
        row = {"user": user, "provider": provider, "id": id}
        with self._transaction() as database:
            return database.execute(delete, row).rowcount == 1

    @contextmanager
    def _transaction(self) -> t.Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path)) as database, database:
            yield database
