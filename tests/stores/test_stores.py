"""The stores, each against the same conformance tests, on the servers that they are for."""

from __future__ import annotations

import functools
import os
import sqlite3
import time
import traceback
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from redis.cluster import ClusterNode, RedisCluster

from flask_oauth2_login.protocol.errors import ConfigurationError, StoreError
from flask_oauth2_login.stores.base import TokenStore
from flask_oauth2_login.stores.conformance import Elsewhere, StoreConformance
from flask_oauth2_login.stores.local import open_local_store
from flask_oauth2_login.stores.redis import RedisStore
from flask_oauth2_login.stores.sqlalchemy import SQLAlchemyStore
from flask_oauth2_login.stores.sqlite import SQLiteStore
from tests.support.forks import in_child
from tests.support.servers import Server, wait_until


class TestSQLiteStoreInMemory(StoreConformance):
    @pytest.fixture
    def store(self) -> t.Iterator[TokenStore]:
        store = SQLiteStore(":memory:")
        yield store
        store.close()


class TestSQLiteStore(StoreConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> t.Iterator[TokenStore]:
        store = SQLiteStore(tmp_path / "shared.db")
        yield store
        store.close()

    @pytest.fixture
    def elsewhere(self, tmp_path: Path) -> Elsewhere:
        return functools.partial(SQLiteStore, tmp_path / "shared.db")


class TestSQLiteStoreBesideSQLAlchemy(StoreConformance):
    """One file, opened by either store."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> t.Iterator[TokenStore]:
        store = SQLAlchemyStore(f"sqlite:///{tmp_path / 'logins.db'}")
        store.create_tables()
        yield store
        store.close()

    @pytest.fixture
    def elsewhere(self, tmp_path: Path) -> Elsewhere:
        return functools.partial(SQLiteStore, tmp_path / "logins.db")


class OverSQLAlchemy(StoreConformance):
    @pytest.fixture
    def store(self, url: str) -> t.Iterator[TokenStore]:
        store = SQLAlchemyStore(url)
        store.create_tables()
        yield store
        store.close()

    @pytest.fixture
    def elsewhere(self, url: str) -> Elsewhere:
        return functools.partial(SQLAlchemyStore, url)


class TestSQLAlchemyStoreOnSQLite(OverSQLAlchemy):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'logins.db'}"


class TestSQLAlchemyStoreInMemory(StoreConformance):
    @pytest.fixture
    def store(self) -> t.Iterator[TokenStore]:
        store = SQLAlchemyStore("sqlite://")
        store.create_tables()
        yield store
        store.close()


class TestSQLAlchemyStoreOnPostgreSQL(OverSQLAlchemy):
    @pytest.fixture
    def url(self, postgresql: Server) -> str:
        return postgresql.url


class TestSQLAlchemyStoreOnMariaDB(OverSQLAlchemy):
    @pytest.fixture
    def url(self, mariadb: Server) -> str:
        return mariadb.url


class TestSQLAlchemyStoreOverAnEngine(StoreConformance):
    @pytest.fixture
    def store(self, postgresql: Server) -> t.Iterator[TokenStore]:
        engine = sa.create_engine(postgresql.url)
        store = SQLAlchemyStore(engine, table_name="others")
        store.create_tables()
        yield store
        engine.dispose()

    @pytest.fixture
    def elsewhere(self, postgresql: Server) -> Elsewhere:
        return functools.partial(SQLAlchemyStore, postgresql.url, table_name="others")


class TestRedisStore(StoreConformance):
    @pytest.fixture
    def store(self, redis_server: Server) -> TokenStore:
        return RedisStore(redis_server.url)

    @pytest.fixture
    def elsewhere(self, redis_server: Server) -> Elsewhere:
        return functools.partial(RedisStore, redis_server.url)


class TestRedisStoreOnACluster(StoreConformance):
    @pytest.fixture
    def store(self, redis_cluster: list[int]) -> TokenStore:
        return open_cluster(redis_cluster)

    @pytest.fixture
    def elsewhere(self, redis_cluster: list[int]) -> Elsewhere:
        return functools.partial(open_cluster, redis_cluster)


def open_cluster(ports: list[int]) -> RedisStore:
    nodes = [ClusterNode("127.0.0.1", port) for port in ports]  # type: ignore[no-untyped-call]
    return RedisStore(RedisCluster(startup_nodes=nodes, decode_responses=True))


# A server that goes away


def sql_store(url: str) -> SQLAlchemyStore:
    store = SQLAlchemyStore(url)
    store.create_tables()
    return store


@pytest.mark.parametrize(
    ("server", "open_store"),
    [("postgresql", sql_store), ("mariadb", sql_store), ("redis_server", RedisStore)],
)
def test_a_store_fails_while_its_server_is_away_and_works_again_afterwards(
    request: pytest.FixtureRequest, server: str, open_store: t.Callable[[str], t.Any]
) -> None:
    running: Server = request.getfixturevalue(server)
    store = open_store(running.url)
    store.create("stays", "sealed", {"owner": "somebody"}, time.time() + 60)
    ticket = store.lease("held", 60)
    try:
        running.stop()
        began = time.monotonic()
        calls: list[tuple[str, tuple[t.Any, ...]]] = [
            ("read", ("stays",)),
            ("create", ("new", "unspeakable", {}, time.time() + 60)),
            ("replace", ("stays", "unspeakable", "version", time.time() + 60)),
            ("delete", ("stays",)),
            ("lease", ("other", 60)),
            ("release", ("held", "ticket")),
            ("once", ("first", 60)),
            ("scan", (None, 10)),
            ("sweep", ()),
        ]
        for name, arguments in calls:
            with pytest.raises(StoreError) as caught:
                getattr(store, name)(*arguments)
            assert (caught.value.__cause__, caught.value.__context__) == (None, None)
            assert "unspeakable" not in "".join(traceback.format_exception(caught.value))
        assert time.monotonic() - began < 20
    finally:
        running.start()
    assert store.read("stays").sealed == "sealed"
    assert store.find(owner="somebody") == ["stays"]
    assert store.lease("held", 60) is None
    store.release("held", ticket)
    assert store.once("second", 60)
    assert store.delete("stays")
    if isinstance(store, SQLAlchemyStore):
        store.close()


def test_a_failing_read_over_an_engine_of_ones_own_finds_the_server_that_is_back(
    postgresql: Server,
) -> None:
    engine = sa.create_engine(postgresql.url)
    store = SQLAlchemyStore(engine, table_name="back")
    store.create_tables()
    store.create("a", "sealed", {}, time.time() + 60)
    postgresql.stop()
    postgresql.start()
    assert store.read("a") is not None
    store.delete("a")
    engine.dispose()


def test_no_error_of_a_store_names_a_password() -> None:
    # Nobody listens on port 1.
    for store in (
        SQLAlchemyStore("postgresql+psycopg://me:unspeakable@127.0.0.1:1/logins"),
        SQLAlchemyStore("mysql+pymysql://me:unspeakable@127.0.0.1:1/logins"),
        RedisStore("redis://:unspeakable@127.0.0.1:1/0"),
    ):
        with pytest.raises(StoreError) as caught:
            store.read("id")
        shown = "".join(traceback.format_exception(caught.value)) + repr(store)
        assert "unspeakable" not in shown
        assert caught.value.__context__ is None


# Mistakes


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "oracle9://me:unspeakable@host/x",
        "postgresql+pg8000://me:unspeakable@host/x",
        "postgresql+psycopg_async://me:unspeakable@host/x",
    ],
)
def test_a_url_that_cant_be_used_is_refused_with_the_fix(url: str) -> None:
    with pytest.raises(ConfigurationError, match="postgresql\\+psycopg://") as caught:
        SQLAlchemyStore(url)
    assert "unspeakable" not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(ConfigurationError, match="rediss://"):
        RedisStore(url)


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
def test_missing_tables_are_named_with_the_fix(request: pytest.FixtureRequest, server: str) -> None:
    url = request.getfixturevalue(server).url
    store = SQLAlchemyStore(url, table_name="forgotten")
    with pytest.raises(ConfigurationError, match="create_tables") as caught:
        store.read("id")
    assert "forgotten, forgotten_leases" in str(caught.value)
    with pytest.raises(ConfigurationError, match=r"store\.create_tables\(\)"):
        store.once("name", 60)
    store.create_tables()
    assert store.read("id") is None
    store.close()


# SQLAlchemy


def test_a_file_of_its_own_needs_nobody_to_make_its_tables(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    stores = [SQLAlchemyStore(url) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda store: store.read("id"), stores)) == [None] * 8
    assert [store.once("name", 60) for store in stores] == [True] + [False] * 7
    for store in stores:
        store.close()


def test_tables_come_with_an_apps_own_metadata(tmp_path: Path) -> None:
    metadata, url = sa.MetaData(), f"sqlite:///{tmp_path / 'logins.db'}"
    store = SQLAlchemyStore(url, table_name="logins", metadata=metadata)
    assert set(metadata.tables) == {"logins", "logins_leases"}
    engine = sa.create_engine(url)
    store.metadata.create_all(engine)
    assert store.once("name", 60)
    engine.dispose()
    store.close()


@pytest.mark.parametrize("server", ["sqlite", "postgresql", "mariadb"])
def test_each_question_is_answered_by_an_index(
    request: pytest.FixtureRequest, server: str, tmp_path: Path
) -> None:
    in_file = f"sqlite:///{tmp_path / 'logins.db'}"
    url = in_file if server == "sqlite" else request.getfixturevalue(server).url
    store = sql_store(url)
    engine = sa.create_engine(url)
    found = {
        tuple(index["column_names"])
        for index in sa.inspect(engine).get_indexes("oauth2_login_records")
    }
    expected = {("owner",), ("provider", "tenant", "subject"), ("provider", "tenant", "sid")}
    assert expected | {("expires_at",)} <= found
    engine.dispose()
    store.close()


def test_a_file_with_an_apps_own_tables_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'app.db'}"
    with sqlite3.connect(tmp_path / "app.db") as connection:
        connection.execute("CREATE TABLE users (id INTEGER)")
    connection.close()
    engine = sa.create_engine(url)
    for store in (SQLAlchemyStore(url), SQLAlchemyStore(engine)):
        with pytest.raises(ConfigurationError, match=r"users.* file of its own"):
            store.create_tables()
        with pytest.raises(ConfigurationError, match=r"users.* file of its own"):
            store.read("id")
        store.close()
    engine.dispose()


def make_app(uri: str, tmp_path: Path) -> tuple[Flask, SQLAlchemy]:
    app = Flask("shop", instance_path=str(tmp_path))
    app.config["SQLALCHEMY_DATABASE_URI"] = uri
    db = SQLAlchemy()
    db.init_app(app)
    sa.Table("orders", db.metadata, sa.Column("id", sa.Integer, primary_key=True))
    return app, db


@pytest.mark.parametrize("uri", ["sqlite:///app.db", "sqlite://", "postgresql"])
def test_a_view_that_has_written_does_not_wait_for_the_store(
    request: pytest.FixtureRequest, uri: str, tmp_path: Path
) -> None:
    if uri == "postgresql":
        uri = request.getfixturevalue(uri).url
    app, db = make_app(uri, tmp_path)
    store = SQLAlchemyStore(db, table_name="of_the_shop")
    with app.app_context():
        db.create_all()
        store.create_tables()
        began = time.monotonic()
        db.session.execute(db.metadata.tables["orders"].insert())
        store.create("id", "first", {}, time.time() + 60)
        version = store.read("id")
        assert version is not None
        assert store.replace("id", "second", version.version, time.time() + 60) == "replaced"
        assert time.monotonic() - began < 2
        db.session.rollback()
        assert db.session.execute(sa.text("SELECT count(*) FROM orders")).scalar() == 0
        kept = store.read("id")
        assert kept is not None
        assert kept.sealed == "second"
        assert store.delete("id")
        db.session.remove()
        db.engine.dispose()
        store.close()


@pytest.mark.slow
def test_a_long_write_of_another_connection_ends_in_an_error_not_in_a_hang(
    tmp_path: Path,
) -> None:
    path = tmp_path / "logins.db"
    store = sql_store(f"sqlite:///{path}")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError):
        store.once("name", 60)
    other.execute("ROLLBACK")
    other.close()
    assert store.once("name", 60)
    store.close()


# Redis


def test_every_key_of_redis_ends_by_itself_and_bears_the_prefix(redis_server: Server) -> None:
    store = RedisStore(redis_server.url, prefix="mine:")
    labels = {"owner": "o", "provider": "p", "tenant": "t", "subject": "u", "sid": "s"}
    ends = time.time() + 600
    store.create("id", "sealed", labels, ends)
    store.lease("name", 60)
    store.once("name", 60)
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        keys = sorted(client.scan_iter("mine:*"))
        assert len(keys) == 8
        lasting = [key for key in keys if client.ttl(key) == -1]
        assert lasting == ["mine:ends", "mine:ids"]
        assert abs(client.pexpiretime("mine:record:id") / 1000 - ends) < 1
        store.delete("id")
        assert sorted(client.scan_iter("mine:*")) == ["mine:lease:name", "mine:once:name"]


def test_valkey_is_another_name(redis_server: Server) -> None:
    store = RedisStore(redis_server.url.replace("redis://", "valkey://"), prefix="valkey:")
    assert store.once("name", 60)


def test_what_expired_long_ago_is_trimmed_from_the_indexes(redis_server: Server) -> None:
    store = RedisStore(redis_server.url, prefix="trimmed:")
    for number in range(30):
        store.create(f"{number}", "sealed", {"owner": "o"}, time.time() - 3600)
    store.create("alive", "sealed", {"owner": "o"}, time.time() + 600)
    store.sweep()
    with redis.Redis.from_url(redis_server.url) as client:
        assert [client.zcard(f"trimmed:{key}") for key in ("ids", "ends", "by:owner:o")] == [
            1,
            1,
            1,
        ]


# Any order of calls


class Calls(RuleBasedStateMachine):
    """A store and a dictionary hear the same, and must say the same."""

    ids = st.sampled_from(["a", "A", "b"])
    owners = st.sampled_from(["x", "y"])
    lives = st.sampled_from([True, True, True, False])

    def __init__(self, store: TokenStore) -> None:
        super().__init__()
        self.store = store
        for id in self.store.scan(None, 1000):
            self.store.delete(id)
        self.model: dict[str, tuple[str, str]] = {}
        self.versions: dict[str, set[str]] = {}
        self.leases: dict[str, str] = {}
        self.count = 0

    def ends(self, lives: bool) -> float:
        return time.time() + (600 if lives else -1)

    def keep(self, id: str, sealed: str, owner: str, lives: bool) -> None:
        self.model.pop(id, None)
        if lives:
            self.model[id] = (sealed, owner)

    @rule(id=ids, owner=owners, lives=lives)
    def create(self, id: str, owner: str, lives: bool) -> None:
        self.count += 1
        sealed = f"sealed {self.count}"
        if id in self.model:
            with pytest.raises(KeyError):
                self.store.create(id, sealed, {"owner": owner}, self.ends(lives))
        else:
            self.store.create(id, sealed, {"owner": owner}, self.ends(lives))
            self.keep(id, sealed, owner, lives)

    @rule(id=ids, lives=lives, stale=st.booleans())
    def replace(self, id: str, lives: bool, stale: bool) -> None:
        self.count += 1
        sealed = f"sealed {self.count}"
        stored = self.store.read(id)
        version = "stale" if stale or stored is None else stored.version
        outcome = self.store.replace(id, sealed, version, self.ends(lives))
        if id not in self.model:
            assert outcome == "gone"
        elif stale:
            assert outcome == "changed"
        else:
            assert outcome == "replaced"
            self.keep(id, sealed, self.model[id][1], lives)

    @rule(id=ids, lives=lives)
    def touch(self, id: str, lives: bool) -> None:
        self.store.touch(id, self.ends(lives))
        if not lives:
            self.model.pop(id, None)

    @rule(id=ids)
    def delete(self, id: str) -> None:
        assert self.store.delete(id) is (self.model.pop(id, None) is not None)

    @rule(id=ids)
    def read(self, id: str) -> None:
        stored = self.store.read(id)
        assert (stored.sealed if stored else None) == self.model.get(id, (None,))[0]
        if stored:
            # One version, one value.
            seen = self.versions.setdefault(stored.version, set())
            seen.add(f"{id} {stored.sealed}")
            assert len(seen) == 1

    @rule(owner=owners)
    def find(self, owner: str) -> None:
        expected = sorted(id for id, record in self.model.items() if record[1] == owner)
        assert sorted(self.store.find(owner=owner)) == expected

    @rule(limit=st.integers(1, 4), after=st.one_of(st.none(), ids))
    def scan(self, limit: int, after: str | None) -> None:
        beyond = sorted(id for id in self.model if after is None or id > after)
        assert self.store.scan(after, limit) == beyond[:limit]

    @rule(name=ids)
    def lease(self, name: str) -> None:
        ticket = self.store.lease(f"{id(self)} {name}", 600)
        assert (ticket is None) is (name in self.leases)
        if ticket:
            self.leases[name] = ticket

    @rule(name=ids, right=st.booleans())
    def release(self, name: str, right: bool) -> None:
        ticket = self.leases.get(name, "none") if right else "wrong"
        self.store.release(f"{id(self)} {name}", ticket)
        if right:
            self.leases.pop(name, None)

    @rule()
    def sweep(self) -> None:
        self.store.sweep()

    def teardown(self) -> None:
        for name in list(self.leases):
            self.release(name, True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["memory", "file", "sqlalchemy", "postgresql", "redis_server"])
def test_no_order_of_calls_loses_a_record_or_brings_one_back(
    request: pytest.FixtureRequest, kind: str, tmp_path: Path
) -> None:
    store: t.Any
    if kind == "memory":
        store = SQLiteStore(":memory:")
    elif kind == "file":
        store = SQLiteStore(tmp_path / "shared.db")
    elif kind == "sqlalchemy":
        store = sql_store(f"sqlite:///{tmp_path / 'logins.db'}")
    elif kind == "postgresql":
        store = SQLAlchemyStore(request.getfixturevalue(kind).url, table_name="calls")
        store.create_tables()
    else:
        store = RedisStore(request.getfixturevalue("redis_server").url, prefix="calls:")
    run_state_machine_as_test(
        t.cast("type[Calls]", functools.partial(Calls, store)),
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    if hasattr(store, "close"):
        store.close()


# After a fork


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
@pytest.mark.parametrize(
    "kind", ["file", "app", "sqlalchemy", "postgresql", "mariadb", "redis_server"]
)
def test_a_forked_child_has_connections_of_its_own(
    request: pytest.FixtureRequest, kind: str, tmp_path: Path
) -> None:
    store: t.Any
    if kind == "file":
        store = SQLiteStore(tmp_path / "shared.db")
    elif kind == "app":
        store = open_local_store(str(tmp_path), "app", "secret")
    elif kind == "redis_server":
        store = RedisStore(request.getfixturevalue("redis_server").url)
    elif kind == "sqlalchemy":
        store = sql_store(f"sqlite:///{tmp_path / 'logins.db'}")
    else:
        store = sql_store(request.getfixturevalue(kind).url)
    store.create("counter", "0", {}, time.time() + 60)
    children = [in_child(lambda: count(store, 25)) for _ in range(3)]
    count(store, 25)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    assert store.read("counter").sealed == "100"
    store.delete("counter")
    if hasattr(store, "close"):
        store.close()


def count(store: TokenStore, times: int) -> None:
    def add_one() -> bool:
        stored = store.read("counter")
        assert stored is not None
        more = str(int(stored.sealed) + 1)
        return store.replace("counter", more, stored.version, time.time() + 60) == "replaced"

    for _ in range(times):
        wait_until(add_one)
