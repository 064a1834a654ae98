"""The map that saves queries of the shared file hides nothing that another process has written."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import time
import typing as t
from pathlib import Path

import pytest

from flask_oauth2_login.stores import shared_file, written_map
from flask_oauth2_login.stores.local import LocalStore, open_local_store
from flask_oauth2_login.stores.shared_file import SharedFile
from flask_oauth2_login.stores.sqlite import SQLiteStore
from tests.support.forks import in_child

pytestmark = [
    pytest.mark.security("C6", "D3"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="There is no fork here."),
]


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    folder = tmp_path / "instance"
    folder.mkdir()
    return folder


def open_store(instance: Path) -> LocalStore:
    return open_local_store(str(instance), "app", "secret")


def find_map(instance: Path) -> Path:
    (found,) = (instance / "oauth2_login").glob("*.db-map")
    return found


def later() -> float:
    return time.time() + 600


def run(work: t.Callable[[], object]) -> None:
    """Do some work in another process, and wait until it has ended well."""
    _, status = os.waitpid(in_child(work), 0)
    assert os.waitstatus_to_exitcode(status) == 0


def end_all(instance: Path, ids: t.Iterable[str]) -> None:
    store = open_store(instance)
    for id in ids:
        store.end(id, later())


@contextlib.contextmanager
def another_process(
    instance: Path, prepare: t.Callable[[], object] = lambda: None
) -> t.Iterator[t.Callable[[str], None]]:
    """A function that ends a login in a process that runs meanwhile, and has opened the file.

    To fork closes the store's file, so start it before this process opens the store.
    """
    here, there = socket.socketpair()

    def work() -> None:
        here.close()
        prepare()
        store = open_store(instance)
        store.read("x")
        there.sendall(b"!")
        while id := there.recv(100):
            store.end(id.decode(), later())
            there.sendall(b"!")

    child = in_child(work)
    there.close()

    def end(id: str) -> None:
        here.sendall(id.encode())
        assert here.recv(1)

    with here:
        assert here.recv(1)
        yield end
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def queries(store: LocalStore, ids: t.Iterable[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Return for how many of these ids the file was queried."""
    count = 0

    def read(self: SQLiteStore, id: str) -> t.Any:
        nonlocal count
        count += 1
        return original(self, id)

    original = SQLiteStore.read
    with monkeypatch.context() as patched:
        patched.setattr(SQLiteStore, "read", read)
        for id in ids:
            store.read(id)
    return count


def test_what_was_never_written_needs_no_query(
    instance: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(instance)
    store.end("ended", later())
    store.read("anything")
    others = [f"login-{number}" for number in range(1000)]
    assert queries(store, others, monkeypatch) <= 1
    assert queries(open_store(instance), others, monkeypatch) <= 2
    assert store.read("ended") is not None


def test_each_process_sees_what_another_writes_at_once(instance: Path) -> None:
    store = open_store(instance)
    for number in range(20):
        assert store.read(f"end-{number}") is store.read(f"new-{number}") is None

    def other() -> None:
        elsewhere = open_store(instance)
        for number in range(20):
            elsewhere.end(f"end-{number}", later())
            elsewhere.create(f"new-{number}", "sealed", {}, later())

    run(other)
    for number in range(20):
        ended, new = store.read(f"end-{number}"), store.read(f"new-{number}")
        assert ended is not None
        assert ended.sealed == ""
        assert new is not None
        assert new.sealed == "sealed"


def test_a_write_at_the_same_tick_of_the_clock_as_another_is_seen(
    instance: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow this machine is now.
    monkeypatch.setattr(shared_file, "SAME_TIME", 600.0)
    store, other = open_store(instance), open_store(instance)
    # From now on SQLite writes to the beginning of its log, so that this file does not grow.
    store.create("large", "x" * 6_000_000, {}, later())
    path = next((instance / "oauth2_login").glob("*.db"))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(RESTART)")
    log = path.with_name(f"{path.name}-wal")
    other.end("before", later())
    tick = log.stat()
    assert [store.read("login"), store.read("login")] == [None, None]
    other.end("login", later())
    os.utime(log, ns=(tick.st_atime_ns, tick.st_mtime_ns))
    assert log.stat().st_size == tick.st_size
    assert store.read("login") is not None


def have_no_proc() -> None:
    """Be a process that can't use maps, because it does not see the machine's boot."""
    written_map._boot_id.cache_clear()
    written_map._BOOT_ID = "/nonexistent"


@pytest.mark.parametrize("prepare", [lambda: None, have_no_proc])
def test_a_running_process_sees_what_another_running_one_writes(
    instance: Path, prepare: t.Callable[[], object]
) -> None:
    with another_process(instance, prepare) as end:
        store = open_store(instance)
        for number in range(20):
            id = f"login-{number}"
            assert store.read(id) is None
            end(id)
            assert store.read(id) is not None
            store.end(f"own-{number}", later())


@pytest.mark.parametrize("trouble", ["no /proc", "no room"])
def test_where_no_map_can_be_made_a_read_is_one_query(
    instance: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    if trouble == "no /proc":
        monkeypatch.setattr(written_map, "_boot_id", lambda: b"")
    store = open_store(instance)
    store.end("ended", later())
    path = next((instance / "oauth2_login").glob("*.db"))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{path}-map")
    os.mkdir(f"{path}-map")
    again = open_store(instance)
    assert again.read("ended") is not None
    assert again._file is not None
    assert again._file._connection is not None
    statements: list[str] = []
    again._file._connection.set_trace_callback(statements.append)
    for number in range(20):
        again.read(f"login-{number}")
    assert len(statements) <= 25


def cut(path: Path) -> None:
    os.truncate(path, 1000)


def cut_to_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def fill_with_zeros(path: Path) -> None:
    size = path.stat().st_size
    path.unlink()
    path.write_bytes(bytes(size))


def use_that_of_another_file(path: Path) -> None:
    other = path.parent / "other"
    other.mkdir()
    SharedFile(str(other / "other.db"), limit=10).read("x")
    shutil.move(other / "other.db-map", path)


@pytest.mark.parametrize(
    "damage",
    [os.unlink, cut, cut_to_half, empty, fill_with_zeros, use_that_of_another_file],
)
@pytest.mark.parametrize("writes_after", [False, True])
def test_a_map_that_was_damaged_hides_nothing(
    instance: Path, damage: t.Callable[[Path], None], writes_after: bool
) -> None:
    store, second = open_store(instance), open_store(instance)
    ids = [f"login-{number}" for number in range(50)]
    assert all(each.read(id) is None for id in ids for each in (store, second))
    run(lambda: end_all(instance, ids[:25]))
    damage(find_map(instance))
    if writes_after:
        run(lambda: end_all(instance, ids[25:]))
    else:
        for id in ids[25:]:
            second.end(id, later())
    assert all(each.read(id) is not None for id in ids for each in (store, second))
    assert open_store(instance).read(ids[0]) is not None


def test_a_backup_that_is_put_back_is_read(instance: Path, tmp_path: Path) -> None:
    store = open_store(instance)
    store.end("ended", later())
    path = next((instance / "oauth2_login").glob("*.db"))
    with sqlite3.connect(path) as source, sqlite3.connect(tmp_path / "backup.db") as backup:
        source.backup(backup)
    source.close()
    backup.close()
    run(lambda: open_store(instance).delete("ended"))
    # A process that starts now makes a map without the record that was deleted.
    run(lambda: open_store(instance).read("x"))
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    os.replace(tmp_path / "backup.db", path)
    assert open_store(instance).read("ended") is not None


def test_a_backup_that_sqlite_puts_back_under_running_processes_is_read(
    instance: Path, tmp_path: Path
) -> None:
    lost = open_store(instance)
    lost.end("ended", later())
    path = next((instance / "oauth2_login").glob("*.db"))
    with sqlite3.connect(path) as source, sqlite3.connect(tmp_path / "backup.db") as backup:
        source.backup(backup)
    source.close()
    backup.close()
    for file in path.parent.iterdir():
        file.unlink()
    store = open_store(instance)
    store.end("later", later())
    for id in ("x", "ended", "y"):
        assert store.read(id) is None
    with sqlite3.connect(tmp_path / "backup.db") as source, sqlite3.connect(path) as target:
        source.backup(target)
    source.close()
    target.close()
    assert store.read("ended") is not None
    assert store.read("x") is None
    assert store.read("later") is not None
    assert open_store(instance).read("ended") is not None


def test_a_writer_that_is_killed_hides_nothing(instance: Path) -> None:
    store = open_store(instance)
    store.read("x")
    for attempt in range(8):
        ids = [f"{attempt}-{number}" for number in range(3000)]
        written = instance / f"written-{attempt}"

        def write(ids: list[str] = ids, written: Path = written) -> None:
            elsewhere = open_store(instance)
            with open(written, "w", buffering=1) as log:
                for id in ids:
                    elsewhere.create(id, "sealed", {}, later())
                    log.write(f"{id}\n")

        child = in_child(write)
        while not (written.exists() and written.stat().st_size > 50 * (attempt + 1)):
            assert os.waitpid(child, os.WNOHANG) == (0, 0)
            time.sleep(0.001)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        told = written.read_text().split()
        path = next((instance / "oauth2_login").glob("*.db"))
        with sqlite3.connect(path) as connection:
            stored = {id for (id,) in connection.execute("SELECT id FROM oauth2_login_records")}
        connection.close()
        assert set(told) <= stored
        assert all((store.read(id) is not None) == (id in stored) for id in ids)


def test_processes_that_write_and_make_maps_at_once_miss_nothing(instance: Path) -> None:
    def work(name: str) -> t.Callable[[], None]:
        def write() -> None:
            for number in range(40):
                # A new one makes the map anew, while the others write.
                store = open_store(instance)
                store.end(f"{name}-{number}", later())
                store.read("x")

        return write

    children = [in_child(work(name)) for name in "abcd"]
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    store = open_store(instance)
    store.read("x")
    for name in "abcd":
        assert all(store.read(f"{name}-{number}") is not None for number in range(40))
