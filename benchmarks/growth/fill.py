"""Fill stores within seconds with records as if many people had signed in.

To sign each of them in would take a thousand times as long.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import time
import typing as t
from pathlib import Path

from flask_oauth2_login import RedisStore
from flask_oauth2_login.stores.base import LABELS
from flask_oauth2_login.stores.sqlite_statements import INSERT

#: Seconds that the records live.
LIFETIME = 30 * 24 * 3600
#: How many records are sent to Redis together.
PAGE = 500


def sqlite(path: Path, count: int, sealed: str) -> None:
    """Write records into the file of a store.

    :param sealed: the value of each record.
    """
    expires_at = time.time() + LIFETIME
    rows = (
        (_random(), sealed, f"{number:032x}", expires_at, *(_random() for _ in LABELS))
        for number in range(count)
    )
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(INSERT, rows)


def redis_client(url: str) -> t.Any:
    """Return a client of Redis, made as an app makes it."""
    from redis import Redis

    return Redis.from_url(url, socket_timeout=5.0, socket_connect_timeout=5.0)


def redis(client: t.Any, prefix: str, count: int, sealed: str) -> None:
    """Write records into Redis with the commands that a store sends for each of them."""
    expires_at = time.time() + LIFETIME
    sending = _Sending(client)
    store = RedisStore(sending, prefix=prefix)
    for number in range(count):
        labels = {name: _random() for name in ("provider", "tenant", "subject", "owner")}
        store.create(_random(), sealed, labels, expires_at)
        if number % PAGE == 0:
            sending.flush()
    sending.flush()


class _Sending:
    """A client for new records only. It sends many commands at once, and waits for no answer."""

    def __init__(self, client: t.Any) -> None:
        self._pipeline = client.pipeline(transaction=False)

    def zrangebyscore(self, *_arguments: object, **_options: object) -> list[bytes]:
        """Find nothing that has expired."""
        return []

    def zadd(self, *arguments: t.Any) -> None:
        self._pipeline.zadd(*arguments)

    def eval(self, *arguments: t.Any) -> int:
        self._pipeline.eval(*arguments)
        return 1

    def flush(self) -> None:
        self._pipeline.execute()


def _random() -> str:
    return secrets.token_urlsafe(32)
