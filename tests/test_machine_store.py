"""The file that the processes of one machine share, and what happens where it can't be had."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

import pytest

from flask_oauth2_login.protocol.errors import StoreError
from flask_oauth2_login.stores import file
from flask_oauth2_login.stores.machine import BestEffortStore
from flask_oauth2_login.stores.machine import MachineStore
from flask_oauth2_login.stores.machine import open_machine_store
from flask_oauth2_login.stores.process import ProcessStore

from .servers import wait_until

WARNING = "should share stays in each of them"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder for temporary files, for this test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    folder = tmp_path / "instance"
    folder.mkdir()
    return folder


def soon() -> float:
    return time.time() + 600


def use(store: t.Any) -> None:
    """Everything that the layers above ask of a machine's store."""
    store.create("used", "first", {}, soon())
    with pytest.raises(KeyError):
        store.create("used", "other", {}, soon())
    version = store.read("used").version
    assert store.replace("used", "second", version, soon()) == "replaced"
    assert store.replace("used", "third", version, soon()) == "changed"
    assert store.read("used").sealed == "second"
    store.touch("used", soon())
    assert store.delete("used") is True
    assert store.read("used") is None
    assert store.replace("used", "fourth", version, soon()) == "gone"
    ticket = store.lease("used", 60)
    assert ticket
    assert store.lease("used", 60) is None
    store.release("used", ticket)
    assert store.lease("used", 60)
    assert store.once("used", 60) is True
    assert store.once("used", 60) is False


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


# Where it is


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_folder_and_files_are_private_whatever_the_umask(instance: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        store = open_machine_store(str(instance), "app")
        use(store)
    finally:
        os.umask(before)
    folder = instance / "oauth2_login"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert sorted(path.suffix for path in folder.iterdir()) == [".db", ".db-shm", ".db-wal"]
    assert modes(folder) == {0o600}


def test_without_an_instance_folder_it_is_in_a_private_temporary_one(
    tmp_path: Path, temporary: Path
) -> None:
    for missing in (None, str(tmp_path / "missing")):
        use(open_machine_store(missing, "app"))
    (folder,) = temporary.iterdir()
    assert folder.name == f"flask-oauth2-login-{os.geteuid()}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(list(folder.glob("*.db"))) == 2


def test_apps_share_nothing(instance: Path) -> None:
    one, other = (open_machine_store(str(instance), name) for name in ("one", "other"))
    again = open_machine_store(str(instance), "one")
    one.create("id", "sealed", {}, soon())
    assert again.read("id") == one.read("id")
    assert other.read("id") is None


def test_nothing_is_made_before_the_first_call(instance: Path, temporary: Path) -> None:
    open_machine_store(str(instance), "app")
    assert [*instance.iterdir(), *temporary.iterdir()] == []


def test_a_folder_that_is_a_link_is_not_used(
    tmp_path: Path, temporary: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trap = tmp_path / "trap"
    trap.mkdir(0o700)
    (temporary / f"flask-oauth2-login-{os.geteuid()}").symlink_to(trap)
    use(open_machine_store(None, "app"))
    assert list(trap.iterdir()) == []
    assert WARNING in caplog.text


def test_a_folder_that_is_open_to_others_is_not_used(
    temporary: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = temporary / f"flask-oauth2-login-{os.geteuid()}"
    folder.mkdir()
    folder.chmod(0o750)
    use(open_machine_store(None, "app"))
    assert list(folder.iterdir()) == []
    assert WARNING in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_not_used(
    temporary: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = temporary / f"flask-oauth2-login-{os.geteuid()}"
    folder.mkdir(0o700)
    os.chown(folder, 65534, 65534)
    use(open_machine_store(None, "app"))
    assert list(folder.iterdir()) == []
    assert WARNING in caplog.text


def test_a_file_of_somebody_else_or_a_link_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.db").touch(0o600)
    (tmp_path / "link.db").symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(StoreError, match=r"link\.db"):
        MachineStore(tmp_path / "link.db").read("id")
    assert (tmp_path / "elsewhere.db").stat().st_size == 0


# When it fails


def test_where_no_file_can_be_had_each_process_is_by_itself_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    store = open_machine_store(None, "app")
    assert isinstance(store, BestEffortStore)
    assert store.trouble is None
    use(store)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("flask_oauth2_login", logging.WARNING)
    assert WARNING in record.message
    assert "missing" in str(store.trouble)


def test_a_file_that_is_no_database_is_an_error_to_nobody(
    instance: Path, caplog: pytest.LogCaptureFixture
) -> None:
    use(open_machine_store(str(instance), "app"))
    (path,) = (instance / "oauth2_login").glob("*.db")
    for beside in path.parent.glob("*.db-*"):
        beside.unlink()
    path.write_bytes(b"nonsense" * 10_000)
    store = open_machine_store(str(instance), "app")
    use(store)
    assert len(caplog.records) == 1
    assert "NOTADB" in caplog.text
    assert str(path) in caplog.text


def test_a_file_that_was_deleted_is_made_anew_and_shared_again(instance: Path) -> None:
    one, other = (open_machine_store(str(instance), "app") for _ in range(2))
    one.create("before", "sealed", {}, soon())
    assert other.read("before")
    for path in (instance / "oauth2_login").iterdir():
        path.unlink()
    one.create("after", "sealed", {}, soon())
    wait_until(lambda: one.read("before") is None)
    if one.read("after") is None:
        one.create("after", "sealed", {}, soon())
    wait_until(lambda: other.read("after") is not None)


def test_a_full_disk_is_an_error_to_nobody_and_what_was_known_stays_known(
    instance: Path,
) -> None:
    code = """
import resource, signal, sys, time
from flask_oauth2_login.stores.machine import open_machine_store
store = open_machine_store(sys.argv[1], "app")
ends = time.time() + 600
store.create("early", "sealed", {}, ends)
store.create("renewed", "first", {}, ends)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
# No file of this process may grow beyond this.
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
for number in range(100):
    store.create(f"late {number}", "sealed" * 1000, {}, ends)
assert store.trouble and "FULL" in store.trouble or "IOERR" in store.trouble, store.trouble
assert all(store.read(f"late {number}") for number in range(100))
assert store.read("early").sealed == "sealed"
version = store.read("renewed").version
assert store.replace("renewed", "second" * 1000, "other", ends) == "changed"
assert store.replace("renewed", "second" * 1000, version, ends) == "replaced"
assert store.replace("renewed", "third" * 1000, version, ends) == "changed"
assert store.read("renewed").sealed == "second" * 1000
assert store.once("name", 60) and not store.once("name", 60)
ticket = store.lease("name", 60)
assert ticket and not store.lease("name", 60)
store.release("name", ticket)
assert store.lease("name", 60)
"""
    done = run(code, str(instance))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(WARNING) == 1


def test_a_process_comes_back_to_the_file_when_it_can_be_used_again(
    instance: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_oauth2_login.stores.machine.COOL_DOWN", 0.2)
    one, other = (open_machine_store(str(instance), "app") for _ in range(2))
    one.create("early", "sealed", {}, soon())
    folder = instance / "oauth2_login"
    folder.rename(instance / "away")
    folder.touch()
    wait_until(lambda: one.read("early") is None)
    one.create("meanwhile", "sealed", {}, soon())
    assert one.once("state", 60)
    folder.unlink()
    (instance / "away").rename(folder)
    wait_until(lambda: one.read("early") is not None)
    assert one.read("meanwhile") is not None
    assert not one.once("state", 60)

    def is_shared() -> bool:
        name = os.urandom(8).hex()
        one.create(name, "sealed", {}, soon())
        return other.read(name) is not None

    wait_until(is_shared)


# Several processes


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_four_processes_that_make_the_file_at_once_all_use_it(instance: Path) -> None:
    code = """
import sys, time
from flask_oauth2_login.stores.machine import open_machine_store
print("ready", flush=True)
sys.stdin.readline()
store = open_machine_store(sys.argv[1], "app")
for number in range(20):
    store.create(f"{sys.argv[2]} {number}", "sealed", {}, time.time() + 600)
print(sum(store.once(f"{number}", 600) for number in range(100)), store.trouble)
"""
    for attempt in range(3):
        folder = instance / str(attempt)
        folder.mkdir()
        workers = [start(code, str(folder), str(number)) for number in range(4)]
        for worker in workers:
            assert worker.stdout
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            assert worker.stdin
            worker.stdin.write("go\n")
            worker.stdin.flush()
        answers = [worker.communicate(timeout=60) for worker in workers]
        assert [errors for _, errors in answers] == [""] * 4
        assert {answer.split()[1] for answer, _ in answers} == {"None"}
        assert sum(int(answer.split()[0]) for answer, _ in answers) == 100
        assert len(open_machine_store(str(folder), "app").scan(None, 1000)) == 80


def test_a_process_that_was_killed_loses_nothing_and_its_lease_ends(instance: Path) -> None:
    code = """
import sys, time
from flask_oauth2_login.stores.machine import open_machine_store
store = open_machine_store(sys.argv[1], "app")
store.create("kept", "sealed", {}, time.time() + 600)
print(store.lease("held", 1.5), flush=True)
time.sleep(60)
"""
    store = open_machine_store(str(instance), "app")
    with start(code, str(instance)) as worker:
        assert worker.stdout
        assert worker.stdout.readline().strip() not in ("", "None")
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert store.read("kept") is not None
    assert store.lease("held", 60) is None
    wait_until(lambda: store.lease("held", 60) is not None)


def test_a_lease_does_not_follow_a_clock_that_jumps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, shift = time.time, 0.0
    monkeypatch.setattr(time, "time", lambda: real() + shift)
    for store in (MachineStore(tmp_path / "shared.db"), ProcessStore()):
        shift = 0.0
        assert store.lease("held", 60)
        for jump in (86400.0, -86400.0):
            shift = jump
            store.sweep()
            assert store.lease("held", 60) is None


def test_a_lease_is_not_taken_by_somebody_who_asked_earlier_and_was_served_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, real = MachineStore(tmp_path / "shared.db"), time.monotonic
    assert store.lease("held", 60)
    monkeypatch.setattr(time, "monotonic", lambda: real() - 1)
    store.sweep()
    assert store.lease("held", 60) is None


def test_a_lease_from_before_a_restart_of_the_machine_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, real = MachineStore(tmp_path / "shared.db"), time.monotonic
    # That clock begins anew when the machine does.
    with monkeypatch.context() as before:
        before.setattr(time, "monotonic", lambda: real() + 1_000_000)
        assert store.lease("held", 60)
        assert store.lease("held", 60) is None
        store.close()
    assert store.lease("held", 60)


# Bounds


def test_the_file_keeps_what_lasts_longest_and_no_more_than_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "WRITES", 50)
    store = MachineStore(tmp_path / "shared.db", limit=100)
    for number in range(300):
        store.create(f"{number:03}", "sealed", {}, soon() + number)
        store.once(f"{number:03}", 60 + number)
    kept = store.scan(None, 1000)
    assert kept[-1] == "299"
    assert len(kept) <= 150
    assert kept == [f"{number:03}" for number in range(300 - len(kept), 300)]
    assert not store.once("299", 60)
    with sqlite3.connect(tmp_path / "shared.db") as connection:
        (count,) = connection.execute("SELECT count(*) FROM seen").fetchone()
    connection.close()
    assert count <= 150
    store.close()


def test_what_expired_is_swept_in_passing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "WRITES", 10)
    store = MachineStore(tmp_path / "shared.db")
    for number in range(30):
        store.create(f"{number}", "sealed", {}, time.time() - 1)
    assert store.sweep() < 10
    store.close()


def test_the_memory_of_a_process_keeps_what_lasts_longest() -> None:
    store = ProcessStore(limit=100)
    for number in range(300):
        store.create(f"{number:03}", "sealed", {}, soon() + number)
    kept = store.scan(None, 1000)
    assert 80 <= len(kept) <= 100
    assert kept == [f"{number:03}" for number in range(300 - len(kept), 300)]
