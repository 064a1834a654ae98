"""Sign-outs are remembered by all processes of a machine, whatever becomes of their file."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sqlite3
import time
import typing as t
from pathlib import Path

import pytest
from flask import Flask

from flask_oauth2_login import (
    OAuth2Login,
    login_required,
)
from tests.conftest import MakeApp
from tests.support.apps import make_site
from tests.support.handlers import make_handler
from tests.support.provider import Browser, Provider
from tests.support.servers import wait_until

#: Seconds: that of a renewal's note with Flask's own lifetime of sessions.
MONTH = 32 * 24 * 3600


class MakeProcess(t.Protocol):
    """Start one more process of the app: nothing but files is shared by what this returns."""

    def __call__(self) -> Flask: ...


@pytest.fixture
def make_process(provider: Provider, instance: Path) -> MakeProcess:
    return lambda: make_site(provider.url, str(instance))


def visit(app: Flask, browser: Browser) -> int:
    """What a process answers to a copy of a browser's cookies."""
    visitor = Browser(app)
    visitor.jar = browser.jar.copy()
    return visitor.fetch("/me").status_code


def sign_in(app: Flask, provider: Provider) -> Browser:
    browser = Browser(app, provider)
    browser.sign_in()
    assert visit(app, browser) == 200
    return browser


def sign_in_status(app: Flask, provider: Provider) -> int:
    return Browser(app, provider).sign_in().status_code


def sign_out(app: Flask, browser: Browser) -> int:
    """Sign a copy of a browser out; the browser's own cookies stay."""
    visitor = Browser(app)
    visitor.jar = browser.jar.copy()
    return visitor.post("/logout").status_code


def shared_file(folder: Path) -> Path:
    (path,) = folder.glob("**/*.db")
    return path


def remove_files(instance: Path) -> None:
    for path in (instance / "oauth2_login").iterdir():
        path.unlink()


def remove_folder(instance: Path) -> None:
    shutil.rmtree(instance / "oauth2_login")


def empty_file(instance: Path) -> None:
    path = shared_file(instance)
    for beside in path.parent.glob("*.db-*"):
        beside.unlink()
    os.truncate(path, 0)


def write_nonsense(instance: Path) -> None:
    path = shared_file(instance)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        # Otherwise SQLite puts the file together again from the one beside it.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for beside in path.parent.glob("*.db-*"):
        beside.unlink()
    path.write_bytes(b"nonsense" * 10_000)


def take_permission(instance: Path) -> None:
    if os.geteuid() == 0:
        os.chown(instance / "oauth2_login", 65534, 65534)
    else:
        (instance / "oauth2_login").chmod(0)


def give_permission(instance: Path) -> None:
    if os.geteuid() == 0:
        os.chown(instance / "oauth2_login", 0, 0)
    else:
        (instance / "oauth2_login").chmod(0o700)


@contextlib.contextmanager
def locked(path: Path) -> t.Iterator[None]:
    """Somebody writes to the file, and takes his time."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@pytest.mark.slow
@pytest.mark.security("D3")
@pytest.mark.parametrize("lose", [remove_files, remove_folder, empty_file])
def test_a_sign_out_outlives_the_file_in_the_process_that_made_it_and_in_new_ones(
    provider: Provider,
    instance: Path,
    make_process: MakeProcess,
    caplog: pytest.LogCaptureFixture,
    lose: t.Callable[[Path], None],
) -> None:
    one = make_process()
    browser, other = sign_in(one, provider), sign_in(one, provider)
    assert sign_out(one, browser) == 303
    lose(instance)
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        assert visit(one, browser) == 401
        time.sleep(0.1)
    # What was emptied, SQLite may put together again from the file beside it.
    assert "made anew" in caplog.text or lose is empty_file
    assert visit(make_process(), browser) == 401
    # And the file is one that works.
    assert visit(one, other) == 200
    assert sign_out(make_process(), other) == 303
    assert visit(one, other) == 401


@pytest.mark.security("D3")
def test_a_lost_file_is_told_once_with_what_it_means(
    provider: Provider, instance: Path, make_process: MakeProcess, caplog: pytest.LogCaptureFixture
) -> None:
    one = make_process()
    browser = sign_in(one, provider)
    remove_files(instance)
    wait_until(lambda: visit(one, browser) == 200 and "made anew" in caplog.text)
    for _ in range(3):
        assert visit(one, browser) == 200
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "SECRET_KEY" in record.message
    assert "forgotten" in record.message


@pytest.mark.security("D3")
@pytest.mark.parametrize("spoil", [write_nonsense, take_permission])
def test_nobody_is_let_in_on_a_file_that_cant_be_read_any_more(
    provider: Provider,
    instance: Path,
    temporary: Path,
    make_process: MakeProcess,
    spoil: t.Callable[[Path], None],
) -> None:
    one = make_process()
    browser, other = sign_in(one, provider), sign_in(one, provider)
    assert sign_out(one, browser) == 303
    spoil(instance)
    wait_until(lambda: visit(one, other) == 503)
    assert visit(one, browser) in {401, 503}
    assert sign_in_status(one, provider) == 503
    assert list(temporary.iterdir()) == []


@pytest.mark.security("D3")
def test_a_file_that_cant_be_read_lets_nobody_in_at_a_new_process_either(
    provider: Provider, instance: Path, make_process: MakeProcess
) -> None:
    one = make_process()
    browser = sign_in(one, provider)
    assert sign_out(one, browser) == 303
    write_nonsense(instance)
    assert visit(make_process(), browser) == 503


@pytest.mark.security("D3")
def test_a_file_that_can_be_read_again_knows_what_it_knew(
    provider: Provider, instance: Path, temporary: Path, make_process: MakeProcess
) -> None:
    one, two = make_process(), make_process()
    browser, other = sign_in(one, provider), sign_in(one, provider)
    assert visit(two, browser) == 200
    assert sign_out(one, browser) == 303
    take_permission(instance)
    wait_until(lambda: visit(two, browser) == 503)
    # Where nobody can tell who is there, nobody is signed out, and can do it later.
    assert sign_out(two, other) == 503
    give_permission(instance)
    assert visit(two, browser) == 401
    assert visit(two, other) == 200
    assert list(temporary.iterdir()) == []


@pytest.mark.slow
@pytest.mark.security("D3")
def test_a_sign_out_while_the_file_is_locked_counts_here_and_later_everywhere(
    provider: Provider, instance: Path, make_process: MakeProcess, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = make_process(), make_process()
    browser, other = sign_in(one, provider), sign_in(one, provider)
    assert visit(two, browser) == 200
    with locked(shared_file(instance)):
        began = time.monotonic()
        assert sign_out(one, browser) == 303
        assert sign_out(one, other) == 303
        assert time.monotonic() - began < 12
        assert [visit(one, browser), visit(one, other)] == [401, 401]
    (record,) = caplog.records
    assert "writes them as soon as it can" in record.message
    assert Browser(one).get("/").status_code == 200
    assert visit(one, browser) == 401
    assert [visit(two, browser), visit(two, other)] == [401, 401]
    assert [visit(make_process(), browser), visit(make_process(), other)] == [401, 401]


@pytest.mark.slow
@pytest.mark.security("D3")
def test_an_ending_of_all_while_the_file_is_locked_counts_here_and_later_everywhere(
    provider: Provider, instance: Path, make_process: MakeProcess
) -> None:
    one, two = make_process(), make_process()
    browser = sign_in(one, provider)
    with locked(shared_file(instance)), one.app_context():
        t.cast(OAuth2Login, one.blueprints["oauth2"]).end_sign_ins("oauth2::ada")
        assert visit(one, browser) == 401
    assert Browser(one).get("/").status_code == 200
    assert [visit(one, browser), visit(two, browser)] == [401, 401]
    assert visit(make_process(), browser) == 401


@pytest.mark.slow
@pytest.mark.security("D3")
def test_what_waits_for_a_locked_file_holds_up_no_reader(
    provider: Provider, instance: Path, make_process: MakeProcess
) -> None:
    one = make_process()
    browser, other = sign_in(one, provider), sign_in(one, provider)
    with locked(shared_file(instance)):
        assert sign_out(one, browser) == 303
        began = time.monotonic()
        for _ in range(5):
            assert visit(one, other) == 200
        assert time.monotonic() - began < 2


@pytest.mark.slow
@pytest.mark.security("A1")
def test_a_state_is_used_by_nobody_while_the_file_is_locked(
    provider: Provider, instance: Path, make_process: MakeProcess
) -> None:
    one, two = make_process(), make_process()
    sign_in(one, provider)
    browser = Browser(one, provider)
    back = provider.answer(browser.begin()).url
    copies = [Browser(app) for app in (one, two)]
    for copy in copies:
        copy.jar = browser.jar.copy()
    with locked(shared_file(instance)):
        assert browser.get(back).status_code == 503
        assert visit(one, browser) == 401
    assert [copy.get(back).status_code for copy in copies] == [302, 400]
    assert len(provider.calls("/token")) == 2


@pytest.mark.slow
@pytest.mark.security("D3")
def test_a_sign_out_is_remembered_whatever_the_number_of_renewals_since(
    provider: Provider, make_process: MakeProcess
) -> None:
    one = make_process()
    browser = sign_in(one, provider)
    assert sign_out(one, browser) == 303
    # What each renewal leaves behind; over HTTP they would take an hour.
    store = one.extensions["oauth2_login"].local_store
    for number in range(110_000):
        store.create(f"renewed {number}", "sealed", {}, time.time() + MONTH + number)
    assert visit(one, browser) == 401
    assert visit(make_process(), browser) == 401
    kept = [number for number in range(110_000) if store.read(f"renewed {number}")]
    assert 80_000 < len(kept) <= 101_000
    assert kept[-1] == 109_999


@pytest.mark.security("D3")
def test_an_instance_folder_made_between_two_starts_divides_nobody(
    provider: Provider, tmp_path: Path, temporary: Path
) -> None:
    instance = tmp_path / "later"
    one = make_site(provider.url, str(instance))
    browser, other = sign_in(one, provider), sign_in(one, provider)
    instance.mkdir()
    two = make_site(provider.url, str(instance))
    assert sign_out(two, browser) == 303
    assert visit(one, browser) == 401
    assert sign_out(one, other) == 303
    assert visit(two, other) == 401
    assert len(list(tmp_path.glob("**/*.db"))) == 1
    assert list(temporary.glob("*/*.db"))


@pytest.mark.security("D3")
def test_a_process_without_a_folder_joins_the_others_when_there_is_one(
    provider: Provider, tmp_path: Path, temporary: Path, caplog: pytest.LogCaptureFixture
) -> None:
    temporary.rmdir()
    instance = tmp_path / "later"
    one = make_site(provider.url, str(instance))
    browser, other = sign_in(one, provider), sign_in(one, provider)
    assert sign_out(one, browser) == 303
    assert visit(one, browser) == 401
    (record,) = caplog.records
    assert "Sign-outs and used sign-ins are known only to the process" in record.message
    instance.mkdir()
    two = make_site(provider.url, str(instance))
    assert visit(two, other) == 200
    wait_until(lambda: visit(one, browser) == 401 and visit(two, browser) == 401)
    assert sign_out(two, other) == 303
    assert visit(one, other) == 401
    assert len(caplog.records) == 1


def squat(folder: Path) -> None:
    """Somebody else makes a folder before the app does."""
    if os.geteuid() == 0:
        folder.mkdir(0o755)
        os.chown(folder, 65534, 65534)
    else:
        folder.symlink_to("/")


@pytest.mark.security("D3")
def test_who_makes_the_temporary_folder_first_divides_nobody(
    provider: Provider, tmp_path: Path, temporary: Path, caplog: pytest.LogCaptureFixture
) -> None:
    squatted = temporary / f"flask-oauth2-login-{os.geteuid()}"
    squat(squatted)
    missing = str(tmp_path / "missing")
    one, two = (make_site(provider.url, missing) for _ in range(2))
    browser = sign_in(one, provider)
    assert visit(two, browser) == 200
    assert sign_out(one, browser) == 303
    assert visit(two, browser) == 401
    assert caplog.records == []
    # Nor who takes it away again: what is in use stays in use.
    if squatted.is_symlink():
        squatted.unlink()
    else:
        squatted.rmdir()
    three = make_site(provider.url, missing)
    assert visit(three, browser) == 401
    assert len(list(temporary.glob("*/*.db"))) == 1


@pytest.mark.security("D3")
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes.")
def test_a_folder_that_others_may_write_to_forgets_no_sign_out(
    provider: Provider, make_app: MakeApp
) -> None:
    site = make_app(OAuth2Login(make_handler(provider)))
    browser = Browser(site, provider)
    browser.sign_in()
    copy = browser.jar.copy()
    browser.post("/logout")
    folder = Path(site.instance_path, "oauth2_login")
    assert folder.is_dir()
    folder.chmod(0o770)
    # Another worker starts: it knows only what the file says.
    newer = Flask("the_app", instance_path=site.instance_path)
    newer.config |= {"SECRET_KEY": site.config["SECRET_KEY"], "TESTING": True}
    newer.register_blueprint(OAuth2Login(make_handler(provider)))
    newer.add_url_rule("/me", "me", login_required(lambda: "seen"))
    other = Browser(newer, provider)
    other.jar = copy
    response = other.get("/me")
    assert response.status_code == 503
    folder.chmod(0o700)
    time.sleep(1.1)
    assert other.fetch("/me").status_code == 401
