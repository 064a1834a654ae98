"""Stores when an app starts: any number of processes at once, and what is missing told then."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import typing as t
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_oauth2_login import (
    ConfigurationError,
    OAuth2,
    OAuth2Login,
    RedisStore,
    SQLAlchemyStore,
    SQLiteStore,
)
from tests.support.assertions import is_signed_in
from tests.support.handlers import make_handler
from tests.support.provider import Browser, Provider
from tests.support.servers import Server

PROCESSES = 6


def make_app(store: t.Any, handler: OAuth2 | None = None) -> Flask:
    app = Flask("app", instance_path="/nonexistent")
    app.config["SECRET_KEY"] = "x" * 32
    handler = handler or OAuth2("id", "secret", "https://provider.example.com/")
    app.register_blueprint(OAuth2Login(handler, store=store))
    return app


# All at once


def make_tables(url: str, names: list[str], gate: Barrier, answers: t.Any) -> None:
    """What each process does when it starts, once for each name."""
    outcomes: list[t.Any] = []
    for name in names:
        store = SQLAlchemyStore(url, table_name=name)
        gate.wait(60)
        try:
            store.create_tables()
            first = store.once("name", 60)
            store.read("id")
            outcomes.append(first)
        except Exception as error:
            outcomes.append(repr(error))
        store.close()
    answers.put(outcomes)


@pytest.mark.slow
@pytest.mark.parametrize("server", ["postgresql", "mariadb", "sqlite"])
def test_any_number_of_processes_make_the_tables_at_once(
    request: pytest.FixtureRequest, server: str, tmp_path: Path
) -> None:
    names = [f"at_once_{os.getpid()}_{number}" for number in range(6)]
    if server == "sqlite":
        url = f"sqlite:///{tmp_path}/logins.db"
        names = ["oauth2_login_records"]
    else:
        url = request.getfixturevalue(server).url
    spawn = multiprocessing.get_context("spawn")
    gate, answers = spawn.Barrier(PROCESSES), spawn.Queue()
    workers = [
        spawn.Process(target=make_tables, args=(url, names, gate, answers))
        for _ in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    outcomes = [answers.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join()
    for at_once in zip(*outcomes, strict=True):
        assert sorted(at_once, key=str) == [False] * (PROCESSES - 1) + [True]
    engine = sa.create_engine(url)
    for name in names:
        assert len(sa.inspect(engine).get_indexes(name)) == 4
    engine.dispose()


@pytest.mark.slow
def test_any_number_of_processes_make_a_sqlite_file_at_once(tmp_path: Path) -> None:
    code = """
import sys
from flask_oauth2_login import SQLiteStore
sys.stdin.readline()
store = SQLiteStore(sys.argv[1])
store.check()
print(sum(store.once(f"{number}", 60) for number in range(50)))
"""
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "logins.db")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("go\n")
        worker.stdin.flush()
    answers = [worker.communicate(timeout=60) for worker in workers]
    assert [errors for _, errors in answers] == [""] * PROCESSES
    assert sum(int(answer) for answer, _ in answers) == 50


@pytest.mark.slow
@pytest.mark.security("A1")
def test_once_is_an_error_while_the_file_is_busy_and_true_once_afterwards(
    tmp_path: Path,
) -> None:
    stores = [SQLiteStore(tmp_path / "logins.db") for _ in range(2)]
    for store in stores:
        store.check()
    other = sqlite3.connect(tmp_path / "logins.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for store in stores:
        with pytest.raises(Exception, match="SQLITE_BUSY"):
            store.once("name", 60)
    other.execute("ROLLBACK")
    other.close()
    assert [store.once("name", 60) for store in stores] == [True, False]
    for store in stores:
        store.close()


# What is missing


def engine_without_tables(folder: Path) -> SQLAlchemyStore:
    # Nobody is there to close what a pool would keep open.
    engine = sa.create_engine(f"sqlite:///{folder}/logins.db", poolclass=sa.NullPool)
    return SQLAlchemyStore(engine)


def file_of_an_app(folder: Path) -> Path:
    with contextlib.closing(sqlite3.connect(folder / "app.db")) as connection, connection:
        connection.execute("CREATE TABLE IF NOT EXISTS users (id INTEGER)")
    return folder / "app.db"


@pytest.mark.parametrize(
    ("make", "fix"),
    [
        (lambda folder: f"sqlite:///{folder}/none/logins.db", "folder"),
        (lambda folder: SQLAlchemyStore(f"sqlite:///{folder}/none/logins.db"), "folder"),
        (lambda folder: SQLiteStore(folder / "none" / "logins.db"), "folder"),
        (lambda folder: SQLiteStore(folder), "folder"),
        (engine_without_tables, r"missing.*create_tables\(\)"),
        (lambda folder: f"sqlite:///{file_of_an_app(folder)}", "users.* file of its own"),
        (lambda folder: SQLiteStore(file_of_an_app(folder)), "users.* file of its own"),
        (
            lambda folder: SQLAlchemyStore(f"sqlite:///{file_of_an_app(folder)}"),
            "users.* file of its own",
        ),
        (lambda _: "sqlite://logins.db", "too few slashes"),
    ],
)
def test_what_a_sqlite_store_lacks_is_told_at_registration(
    tmp_path: Path, make: t.Callable[[Path], t.Any], fix: str
) -> None:
    with pytest.raises(ConfigurationError, match=fix):
        make_app(make(tmp_path))


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
@pytest.mark.parametrize("kind", ["url", "engine", "db"])
def test_missing_tables_are_told_at_registration(
    request: pytest.FixtureRequest, server: str, kind: str
) -> None:
    url = request.getfixturevalue(server).url
    app = Flask("app", instance_path="/nonexistent")
    app.config |= {"SECRET_KEY": "x" * 32, "SQLALCHEMY_DATABASE_URI": url}
    engine = sa.create_engine(url)
    db = SQLAlchemy(app)
    store = SQLAlchemyStore(
        {"url": url, "engine": engine, "db": db}[kind], table_name=f"not_there_{kind}"
    )
    handler = OAuth2("id", "secret", "https://provider.example.com/")
    with pytest.raises(ConfigurationError, match=r"not_there_\w+, .*create_tables\(\)"):
        app.register_blueprint(OAuth2Login(handler, store=store))
    with app.app_context():
        store.create_tables()
    app.register_blueprint(OAuth2Login(handler, store=store, name="again"), url_prefix="/again")
    with app.app_context():
        db.engine.dispose()
        store.metadata.drop_all(engine)
    engine.dispose()
    store.close()


def test_one_table_alone_is_not_enough(postgresql: Server) -> None:
    store = SQLAlchemyStore(postgresql.url, table_name="halved")
    store.create_tables()
    engine = sa.create_engine(postgresql.url)
    store.metadata.tables["halved_leases"].drop(engine)
    with pytest.raises(ConfigurationError, match=r"missing from the database \(halved_leases\)"):
        make_app(store)
    store.metadata.drop_all(engine)
    engine.dispose()
    store.close()


def test_a_db_that_is_set_up_later_is_looked_at_later(tmp_path: Path) -> None:
    db = SQLAlchemy()
    app = make_app(SQLAlchemyStore(db))
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path}/app.db"
    db.init_app(app)
    assert app.test_client().get("/login").status_code == 302
    with app.app_context():
        db.engine.dispose()


def test_a_command_that_makes_the_tables_can_load_the_app(
    postgresql: Server, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(
        """
import os
from flask import Flask
from flask_oauth2_login import OAuth2, OAuth2Login, SQLAlchemyStore

store = SQLAlchemyStore(os.environ["DATABASE"], table_name="by_command")

def create_app():
    app = Flask("shop")
    app.config["SECRET_KEY"] = "x" * 32
    provider = OAuth2("id", "secret", "https://provider.example.com/")
    app.register_blueprint(OAuth2Login(provider, store=store))
    app.cli.command("migrate")(store.create_tables)
    return app
"""
    )
    environment = {**os.environ, "DATABASE": postgresql.url}

    def flask(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "flask", "--app", "shop", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    start = [sys.executable, "-c", "import shop; shop.create_app()"]
    started = [
        subprocess.run(start, cwd=tmp_path, env=environment, capture_output=True, check=False)
    ]
    migrated = flask("migrate")
    started.append(
        subprocess.run(start, cwd=tmp_path, env=environment, capture_output=True, check=False)
    )
    assert migrated.returncode == 0, migrated.stderr
    assert "by_command, by_command_leases" in migrated.stderr
    assert [done.returncode for done in started] == [1, 0]
    store = SQLAlchemyStore(postgresql.url, table_name="by_command")
    engine = sa.create_engine(postgresql.url)
    store.metadata.drop_all(engine)
    engine.dispose()
    store.close()


# What is merely away


@pytest.mark.parametrize(
    "make",
    [
        lambda: "postgresql+psycopg://me:unspeakable@127.0.0.1:1/logins",
        lambda: SQLAlchemyStore("mysql+pymysql://me:unspeakable@127.0.0.1:1/logins"),
    ],
)
def test_a_database_that_is_away_lets_the_app_start_and_is_told(
    caplog: pytest.LogCaptureFixture, make: t.Callable[[], t.Any]
) -> None:
    app = make_app(make())
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("flask_oauth2_login", logging.WARNING)
    assert "can't be used now" in record.message
    assert "unspeakable" not in caplog.text
    assert app.test_client().get("/login").status_code == 302


def test_a_redis_that_is_away_lets_the_app_start() -> None:
    assert make_app(RedisStore("redis://127.0.0.1:1/0")).test_client().get("/login").location


# SQLite without an extra


@pytest.mark.parametrize("kind", ["url", "store"])
def test_sqlite_needs_no_more_than_the_standard_library(tmp_path: Path, kind: str) -> None:
    code = """
import sys
sys.modules["sqlalchemy"] = None
from flask import Flask
from flask_oauth2_login import OAuth2, OAuth2Login, SQLiteStore
url, kind = sys.argv[1:]
store = url if kind == "url" else SQLiteStore(url.removeprefix("sqlite:///"))
app = Flask("app")
app.config["SECRET_KEY"] = "x" * 32
provider = OAuth2("id", "secret", "https://provider.example.com/", userinfo_url="me")
login = OAuth2Login(provider, store=store, offline=True)
app.register_blueprint(login)
with app.app_context():
    assert login.accounts("somebody") == []
"""
    url = f"sqlite:///{tmp_path}/logins.db"
    done = subprocess.run(
        [sys.executable, "-c", code, url, kind], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "logins.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("before", [SQLAlchemyStore, str])
@pytest.mark.parametrize("after", [SQLAlchemyStore, str])
def test_a_file_that_either_store_has_made_opens_with_the_other(
    provider: Provider, tmp_path: Path, before: t.Any, after: t.Any
) -> None:
    url = f"sqlite:///{tmp_path}/logins.db"
    browser = Browser(make_app(before(url), make_handler(provider)), provider)
    browser.sign_in()
    later = make_app(after(url), make_handler(provider))
    later.add_url_rule("/me", "me", lambda: t.cast(t.Any, later.blueprints["oauth2"]).identity.id)
    visitor = Browser(later)
    visitor.jar = browser.jar.copy()
    assert is_signed_in(visitor)
