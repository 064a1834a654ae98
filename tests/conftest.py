"""Fixtures for all tests: a provider, apps to sign in at, and nothing left behind."""

from __future__ import annotations

import gc
import itertools
import secrets
import tempfile
import threading
import time
import typing as t
from pathlib import Path

import pytest
from flask import Flask

from flask_oauth2_login import OAuth2, OAuth2Login, OpenIDConnect
from tests.support.any_host import AnyHost
from tests.support.apps import add_views
from tests.support.chromium import page as page
from tests.support.clock import Clock
from tests.support.handlers import make_handler, make_openid
from tests.support.keycloak.server import keycloak as keycloak
from tests.support.provider import Browser, Provider
from tests.support.servers import mariadb as mariadb
from tests.support.servers import postgresql as postgresql
from tests.support.servers import redis_cluster as redis_cluster
from tests.support.servers import redis_server as redis_server

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


#: Fixtures that start a server or a browser. A test that uses one is slow.
SERVERS = {"redis_server", "redis_cluster", "postgresql", "mariadb", "keycloak", "page"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--security",
        action="append",
        metavar="ROW",
        help="only tests of this row of docs/security.md, such as A1; may be repeated",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark as slow what is in tests/slow or needs a server; select the rows that are asked for."""
    rows = set(config.getoption("--security") or ())
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        if "slow" in item.path.parts or SERVERS & used_fixtures(item):
            item.add_marker(pytest.mark.slow)
        own = {row for mark in item.iter_markers("security") for row in mark.args}
        (kept if not rows or rows & own else left_out).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how many presets have signed somebody in, after a run that has tried them."""
    counts = {
        outcome: sum(
            "test_a_preset_signs_somebody_in[" in report.nodeid
            for report in terminalreporter.stats.get(outcome, ())
            if isinstance(report, pytest.TestReport) and report.when == "call"
        )
        for outcome in ("passed", "failed")
    }
    if any(counts.values()):
        terminalreporter.section("presets")
        terminalreporter.write_line(
            f"presets that signed somebody in by their row alone: {counts['passed']};"
            f" others: {counts['failed']}"
        )


def used_fixtures(item: pytest.Item) -> set[str]:
    """The fixtures that a test names, by a parameter too."""
    params = item.callspec.params.values() if hasattr(item, "callspec") else ()
    by_name = {value for value in params if isinstance(value, str)}
    return {*getattr(item, "fixturenames", ()), *by_name}


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
def provider(no_thread_left: None) -> t.Iterator[Provider]:
    """A provider with nothing remembered, well-behaved."""
    with Provider() as provider:
        yield provider


class MakeProvider(t.Protocol):
    """Start one more provider, with settings of `Provider`."""

    def __call__(self, *, tls: bool = False, **settings: t.Any) -> Provider: ...


@pytest.fixture
def make_provider(no_thread_left: None) -> t.Iterator[MakeProvider]:
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


@pytest.fixture
def hosts(no_thread_left: None) -> t.Iterator[AnyHost]:
    """All https hosts of the Internet, on loopback."""
    with AnyHost() as hosts:
        yield hosts


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


@pytest.fixture
def oauth_handler(provider: Provider) -> OAuth2:
    """A handler by the provider's endpoints, that of revocation included."""
    return make_handler(provider, revoke_url="revoke")


@pytest.fixture
def oidc_handler(provider: Provider) -> OpenIDConnect:
    """A handler by the provider's issuer."""
    return make_openid(provider)


@pytest.fixture(autouse=True)
def _push_request_context() -> None:
    """Leave out pytest-flask's request context around each test: it is no visitor's request."""


@pytest.fixture(autouse=True)
def _monkeypatch_response_class() -> None:
    """Leave an app's response class as it is, which pytest-flask replaces."""


@pytest.fixture(autouse=True)
def _configure_application() -> None:
    """Make no app before a test asks for one: its threads would end after `no_thread_left`."""


@pytest.fixture
def app(oauth_handler: OAuth2, make_app: MakeApp) -> Flask:
    """An app with one login, whose records are kept in cookies."""
    return make_app(OAuth2Login(oauth_handler, scope="read"))


@pytest.fixture
def browser(app: Flask, provider: Provider) -> Browser:
    """A visitor of `app`, who would consent at the provider."""
    return Browser(app, provider)


class SSO(t.NamedTuple):
    """An app, its only login, and a visitor."""

    app: Flask
    login: OAuth2Login
    browser: Browser


class MakeSSO(t.Protocol):
    """Make an app with a login at an OpenID Provider: see `make_sso`."""

    def __call__(
        self,
        store: t.Any = "sqlite",
        config: dict[str, t.Any] | None = None,
        handler: dict[str, t.Any] | None = None,
        **login: t.Any,
    ) -> SSO: ...


@pytest.fixture
def make_sso(provider: Provider, make_app: MakeApp, tmp_path: Path) -> MakeSSO:
    """A function that makes an app with one login by OpenID Connect, named ``sso``.

    It takes the store (by default a SQLite file, the same one each time), the app's configuration,
    options of the handler, and options of the login.
    """

    def make(
        store: t.Any = "sqlite",
        config: dict[str, t.Any] | None = None,
        handler: dict[str, t.Any] | None = None,
        **login: t.Any,
    ) -> SSO:
        where = f"sqlite:///{tmp_path}/logins.db" if store == "sqlite" else store
        blueprint = OAuth2Login(
            make_openid(provider, **{"timeout": (5, 5), **(handler or {})}),
            **{"name": "sso", "scope": "email", "store": where, **login},
        )
        app = make_app(blueprint, **(config or {}))
        return SSO(app, blueprint, Browser(app, provider))

    return make


@pytest.fixture
def sso(make_sso: MakeSSO) -> SSO:
    """An app with one login by OpenID Connect, whose records are kept in a SQLite file."""
    return make_sso()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of this process, which a test can let run ahead."""
    return Clock(monkeypatch)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder for temporary files, for this test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    """An instance folder that several apps can be given."""
    folder = tmp_path / "instance"
    folder.mkdir()
    return folder
