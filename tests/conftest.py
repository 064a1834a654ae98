"""Fixtures for all tests: a provider, apps to sign in at, and nothing left behind."""

from __future__ import annotations

import gc
import itertools
import secrets
import threading
import time
import typing as t
from pathlib import Path

import pytest
from flask import Flask

from tests.support.provider import Provider

if t.TYPE_CHECKING:
    from flask_oauth2_login import OAuth2Login

#: Seconds in which the threads of a test must have ended.
PATIENCE = 5

#: Characters of a parameter that the name of a test may have.
LONGEST_ID = 80


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Shorten the name of a test with a long parameter.

    pytest puts the name of a running test in the environment, and a server that the test starts
    can't be started with 128 KiB there.
    """
    if isinstance(val, str | bytes) and len(val) > LONGEST_ID:
        return f"{argname}-of-{len(val)}"
    return None


@pytest.fixture(autouse=True)
def no_thread_left() -> t.Iterator[None]:
    """Fail a test that leaves a thread running."""
    before = set(threading.enumerate())
    yield
    give_up = time.monotonic() + PATIENCE
    while left := {
        thread
        for thread in set(threading.enumerate()) - before
        # asgiref keeps the one that it runs async views in.
        if not thread.name.startswith("ThreadPoolExecutor")
    }:
        assert time.monotonic() < give_up, f"Threads are left: {left}"
        time.sleep(0.01)


@pytest.fixture(scope="session", autouse=True)
def nothing_unclosed() -> t.Iterator[None]:
    """Let sockets and files that nobody closed be noticed before the run ends."""
    yield
    gc.collect()


@pytest.fixture
def provider() -> t.Iterator[Provider]:
    """A provider with nothing remembered, well-behaved."""
    with Provider() as provider:
        yield provider


class MakeProvider(t.Protocol):
    """Start one more provider, with settings of `Provider`."""

    def __call__(self, *, tls: bool = False, **settings: t.Any) -> Provider: ...


@pytest.fixture
def make_provider() -> t.Iterator[MakeProvider]:
    """A function that starts further providers, which stop after the test."""
    started: list[Provider] = []

    def make(*, tls: bool = False, **settings: t.Any) -> Provider:
        provider = Provider(tls=tls, **settings)
        started.append(provider)
        provider.start()
        return provider

    yield make
    for provider in started:
        provider.stop()


class MakeApp(t.Protocol):
    """Make an app with logins and configuration: see `make_app`."""

    def __call__(self, *logins: OAuth2Login, **config: t.Any) -> Flask: ...


@pytest.fixture
def make_app(tmp_path: Path) -> MakeApp:
    """A function that makes an app with the views that most tests need.

    ``/`` for everybody, ``/me`` for who is signed in, ``/call/<path>`` for what the provider's API
    answers to them. One login is registered at ``/login``; of several each below ``/<name>``,
    unless it has a prefix of its own.
    """
    numbers = itertools.count()

    def make(*logins: OAuth2Login, **config: t.Any) -> Flask:
        instance_path = tmp_path / f"instance-{next(numbers)}"
        instance_path.mkdir()
        app = Flask("the_app", instance_path=str(instance_path))
        app.config |= {"SECRET_KEY": secrets.token_hex(), "TESTING": True, **config}
        for login in logins:
            alone = len(logins) == 1 or login.url_prefix
            prefix = {} if alone else {"url_prefix": f"/{login.name}"}
            app.register_blueprint(login, **prefix)
        add_views(app)
        return app

    return make


def add_views(app: Flask) -> None:
    """The views of `make_app`."""
    from flask_oauth2_login import current_identity, current_oauth_session, login_required

    @app.get("/")
    def index() -> str:
        return "For everybody."

    @app.get("/me")
    @login_required
    def me() -> dict[str, t.Any]:
        return current_identity.to_dict()

    @app.get("/call/<path:path>")
    @login_required
    def call(path: str) -> tuple[t.Any, int]:
        answer = current_oauth_session.get(path)
        return answer.json(), answer.status_code
