"""The file that the processes of one machine share, and what happens where it can't be had."""

from __future__ import annotations

import logging
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

import pytest

from flask_oauth2_login.protocol.errors import StoreError
from flask_oauth2_login.stores import sqlite
from flask_oauth2_login.stores.local import LocalStore, open_local_store
from flask_oauth2_login.stores.sqlite import SQLiteStore
from tests.support.servers import wait_until

WARNING = "No file can be made for the processes of this app to share"


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
        store = open_local_store(str(instance), "app", "secret")
        use(store)
    finally:
        os.umask(before)
    folder = instance / "oauth2_login"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = [".db", ".db-map", ".db-shm", ".db-wal"]
    assert sorted(path.suffix for path in folder.iterdir()) == files
    assert modes(folder) == {0o600}


def test_without_an_instance_folder_it_is_in_a_private_temporary_one(
    tmp_path: Path, temporary: Path
) -> None:
    for missing in (None, str(tmp_path / "missing")):
        use(open_local_store(missing, "app", "secret"))
    (folder,) = temporary.iterdir()
    assert folder.name == f"flask-oauth2-login-{os.geteuid()}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(list(folder.glob("*.db"))) == 2


def test_apps_share_nothing(instance: Path) -> None:
    one, other = (open_local_store(str(instance), name, "secret") for name in ("one", "other"))
    again = open_local_store(str(instance), "one", "secret")
    one.create("id", "sealed", {}, soon())
    assert again.read("id") == one.read("id")
    assert other.read("id") is None


def test_nothing_is_made_before_the_first_call(instance: Path, temporary: Path) -> None:
    open_local_store(str(instance), "app", "secret")
    assert [*instance.iterdir(), *temporary.iterdir()] == []


def make_link(folder: Path) -> None:
    folder.symlink_to(folder.parent.parent)


def make_open(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o750)


def make_foreign(folder: Path) -> None:
    folder.mkdir(0o700)
    os.chown(folder, 65534, 65534)


MAKERS = [
    make_link,
    make_open,
    pytest.param(
        make_foreign,
        marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away"),
    ),
]


@pytest.mark.parametrize("make", MAKERS)
def test_a_folder_that_is_not_this_users_alone_is_not_used_but_another(
    temporary: Path, caplog: pytest.LogCaptureFixture, make: t.Callable[[Path], None]
) -> None:
    taken = temporary / f"flask-oauth2-login-{os.geteuid()}"
    make(taken)
    before = sorted(taken.iterdir())
    use(open_local_store(None, "app", "secret"))
    assert sorted(taken.iterdir()) == before
    other = temporary / f"{taken.name}-secret"
    assert stat.S_IMODE(other.stat().st_mode) == 0o700
    assert len(list(other.glob("*.db"))) == 1
    assert caplog.records == []


@pytest.mark.parametrize("make", MAKERS)
def test_where_every_folder_is_taken_each_process_is_by_itself(
    temporary: Path, caplog: pytest.LogCaptureFixture, make: t.Callable[[Path], None]
) -> None:
    taken = temporary / f"flask-oauth2-login-{os.geteuid()}"
    for folder in (taken, temporary / f"{taken.name}-secret"):
        make(folder)
    use(open_local_store(None, "app", "secret"))
    assert list(temporary.glob("**/*.db")) == []
    assert WARNING in caplog.text
    assert "mode 0700" in caplog.text


def test_a_folder_in_use_that_was_opened_to_readers_is_closed_again(instance: Path) -> None:
    use(open_local_store(str(instance), "app", "secret"))
    folder = instance / "oauth2_login"
    folder.chmod(0o755)
    assert not open_local_store(str(instance), "app", "secret").once("used", 60)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_what_is_no_file_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(StoreError, match=r"folder\.db"):
        SQLiteStore(tmp_path / "folder.db").read("id")


# When it fails


def test_where_no_file_can_be_had_each_process_is_by_itself_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    store = open_local_store(None, "app", "secret")
    assert isinstance(store, LocalStore)
    assert store.no_file_reason is None
    use(store)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("flask_oauth2_login", logging.WARNING)
    assert WARNING in record.message
    assert "missing" in str(store.no_file_reason)


def test_a_file_that_is_no_database_is_an_error_until_it_is_deleted(
    instance: Path, caplog: pytest.LogCaptureFixture
) -> None:
    use(open_local_store(str(instance), "app", "secret"))
    (path,) = (instance / "oauth2_login").glob("*.db")
    for beside in path.parent.glob("*.db-*"):
        beside.unlink()
    path.write_bytes(b"nonsense" * 10_000)
    store = open_local_store(str(instance), "app", "secret")
    calls: list[t.Callable[[], t.Any]] = [
        lambda: store.read("id"),
        lambda: store.create("id", "sealed", {}, soon()),
        lambda: store.replace("id", "sealed", "version", soon()),
        lambda: store.delete("id"),
        lambda: store.lease("id", 60),
        lambda: store.once("id", 60),
    ]
    for call in calls:
        with pytest.raises(StoreError, match="NOTADB") as caught:
            call()
        assert str(path) in str(caught.value)
    path.unlink()
    use(store)
    assert caplog.records == []


@pytest.mark.parametrize("size", [0, 3])
def test_a_file_that_never_was_one_is_an_error_to_nobody(instance: Path, size: int) -> None:
    code = """
import resource, signal, sys
from flask_oauth2_login.stores.local import open_local_store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
store = open_local_store(sys.argv[1], "app", "secret")
assert store.once("name", 60) and not store.once("name", 60)
"""
    done = run(code, str(instance), str(size))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(WARNING) == 1
    use(open_local_store(str(instance), "app", "secret"))


def test_a_file_that_was_deleted_is_made_anew_and_shared_again(instance: Path) -> None:
    one, other = (open_local_store(str(instance), "app", "secret") for _ in range(2))
    one.create("before", "sealed", {}, soon())
    assert other.read("before")
    for path in (instance / "oauth2_login").iterdir():
        path.unlink()
    one.create("after", "sealed", {}, soon())
    wait_until(lambda: one.read("before") is None)
    if one.read("after") is None:
        one.create("after", "sealed", {}, soon())
    wait_until(lambda: other.read("after") is not None)


def test_on_a_full_disk_what_is_known_can_be_read_and_sign_outs_are_not_lost(
    instance: Path,
) -> None:
    code = """
import resource, signal, sys, time
from flask_oauth2_login.protocol.errors import StoreError
from flask_oauth2_login.stores.local import open_local_store
store = open_local_store(sys.argv[1], "app", "secret")
ends = time.time() + 600
store.create("early", "sealed", {}, ends)
store.create("ended", "sealed", {}, ends)
for number in range(20):
    store.create(f"{number}", "sealed" * 1000, {}, ends)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
# No file of this process may grow beyond this.
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))

def fails(call):
    try:
        call()
    except StoreError as error:
        return "FULL" in str(error) or "IOERR" in str(error)

assert fails(lambda: store.create("late", "sealed", {}, ends))
assert store.read("early").sealed == "sealed"
assert fails(lambda: store.once("name", 60))
assert fails(lambda: store.lease("name", 60))
store.touch("early", ends)
assert store.end("ended", ends) and not store.end("ended", ends)
store.put("token", "new", ends)
assert (store.read("ended").sealed, store.read("token").sealed) == ("", "new")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert store.read("early").sealed == "sealed"
"""
    done = run(code, str(instance))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("writes them as soon as it can") == 1
    store = open_local_store(str(instance), "app", "secret")
    kept = [store.read(id) for id in ("early", "ended", "token")]
    assert [stored and stored.sealed for stored in kept] == ["sealed", "", "new"]


def test_a_file_that_is_gone_and_cant_be_made_anew_is_an_error_until_it_is_back(
    instance: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    one, other = (open_local_store(str(instance), "app", "secret") for _ in range(2))
    one.create("early", "sealed", {}, soon())
    folder = instance / "oauth2_login"
    folder.rename(instance / "away")
    folder.touch()

    def is_out_of_order() -> bool:
        try:
            one.read("early")
        except StoreError as error:
            return "gone" in str(error)
        return False

    wait_until(is_out_of_order)
    assert one.end("meanwhile", soon())
    folder.unlink()
    (instance / "away").rename(folder)
    early, ended = one.read("early"), other.read("meanwhile")
    assert early is not None
    assert early.sealed == "sealed"
    assert ended is not None
    assert ended.sealed == ""
    assert one.no_file_reason is None


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


@pytest.mark.slow
def test_four_processes_that_make_the_file_at_once_all_use_it(instance: Path) -> None:
    code = """
import sys, time
from flask_oauth2_login.stores.local import open_local_store
print("ready", flush=True)
sys.stdin.readline()
store = open_local_store(sys.argv[1], "app", "secret")
for number in range(20):
    store.create(f"{sys.argv[2]} {number}", "sealed", {}, time.time() + 600)
print(sum(store.once(f"{number}", 600) for number in range(100)), store.no_file_reason)
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
        store = open_local_store(str(folder), "app", "secret")
        ids = [f"{worker} {number}" for worker in range(4) for number in range(20)]
        assert all(store.read(id) for id in ids)


@pytest.mark.slow
def test_a_process_that_was_killed_loses_nothing_and_its_lease_ends(instance: Path) -> None:
    code = """
import sys, time
from flask_oauth2_login.stores.local import open_local_store
store = open_local_store(sys.argv[1], "app", "secret")
store.create("kept", "sealed", {}, time.time() + 600)
print(store.lease("held", 1.5), flush=True)
time.sleep(60)
"""
    store = open_local_store(str(instance), "app", "secret")
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
    for store in (SQLiteStore(tmp_path / "shared.db"), SQLiteStore(":memory:")):
        shift = 0.0
        assert store.lease("held", 60)
        for jump in (86400.0, -86400.0):
            shift = jump
            store.sweep()
            assert store.lease("held", 60) is None


def test_a_lease_is_not_taken_by_somebody_who_asked_earlier_and_was_served_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, real = SQLiteStore(tmp_path / "shared.db"), time.monotonic
    assert store.lease("held", 60)
    monkeypatch.setattr(time, "monotonic", lambda: real() - 1)
    store.sweep()
    assert store.lease("held", 60) is None


def test_a_lease_from_before_a_restart_of_the_machine_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, real = SQLiteStore(tmp_path / "shared.db"), time.monotonic
    # That clock begins anew when the machine does.
    with monkeypatch.context() as before:
        before.setattr(time, "monotonic", lambda: real() + 1_000_000)
        assert store.lease("held", 60)
        assert store.lease("held", 60) is None
        store.close()
    assert store.lease("held", 60)


# Bounds


@pytest.mark.parametrize("place", ["shared.db", ":memory:"])
def test_what_was_written_longest_ago_goes_first_and_never_that_a_login_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(sqlite, "WRITES_BETWEEN_SWEEPS", 50)
    path = place if place == ":memory:" else tmp_path / place
    store = SQLiteStore(path, limit=100)
    assert store.put("ended", "", soon())
    assert store.put("ended:all-of-a-person", "note", soon())
    for number in range(300):
        # Whatever ends first.
        store.create(f"{number:03}", "sealed", {}, soon() - number)
        store.once(f"{number:03}", 60 + number)
    kept = [id for id in store.scan(None, 1000) if id.isdigit()]
    assert 80 <= len(kept) <= 150
    assert kept == [f"{number:03}" for number in range(300 - len(kept), 300)]
    assert store.read("ended") is not None
    assert store.read("ended:all-of-a-person") is not None
    assert not store.put("ended", "sealed", soon())
    assert sum(not store.once(f"{number:03}", 60) for number in range(300)) <= 150
    store.close()


def test_what_was_written_again_is_as_good_as_new(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "shared.db", limit=100)
    for number in range(150):
        store.create(f"{number}", "sealed", {}, soon())
    old = store.read("0")
    assert old is not None
    assert store.replace("0", "renewed", old.version, soon()) == "replaced"
    store.sweep()
    assert store.read("0") is not None
    assert store.read("1") is None
    store.close()


def test_a_store_without_a_limit_forgets_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "WRITES_BETWEEN_SWEEPS", 50)
    store = SQLiteStore(tmp_path / "logins.db")
    for number in range(300):
        store.create(f"{number}", "sealed", {}, soon())
    assert len(store.scan(None, 1000)) == 300
    store.close()


def test_what_expired_is_swept_in_passing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "WRITES_BETWEEN_SWEEPS", 10)
    store = SQLiteStore(tmp_path / "shared.db")
    for number in range(30):
        store.create(f"{number}", "sealed", {}, time.time() - 1)
    assert store.sweep() < 10
    store.close()
