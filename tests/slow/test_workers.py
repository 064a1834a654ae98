"""Several worker processes: one refresh, nobody else's token, and sign-outs that count in all."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.conftest import MakeProvider
from tests.support import ROOT
from tests.support.assertions import refreshes
from tests.support.clock import SharedClock
from tests.support.provider import Answer, Browser, Provider
from tests.support.servers import free_port, wait_until
from tests.support.threads import at_once
from tests.support.visitors import call_as

#: Stampedes, one after the other: a race that is lost now and then shows itself.
ROUNDS = 10


@pytest.fixture(
    params=["cookie", "cookie --preload", "session", "sqlite", "redis_server", "postgresql"]
)
def workers(request: pytest.FixtureRequest, provider: Provider, tmp_path: Path) -> t.Iterator[str]:
    """An app on four workers; its URL."""
    port = free_port()
    environment = {**os.environ, "PROVIDER": provider.url, "INSTANCE": str(tmp_path)}
    kind, *options = request.param.split()
    if kind in {"session", "sqlite"}:
        environment["STORE"] = kind if kind == "session" else f"sqlite:///{tmp_path}/logins.db"
    elif kind != "cookie":
        environment["STORE"] = request.getfixturevalue(kind).url
    if kind == "postgresql":
        from flask_oauth2_login import SQLAlchemyStore

        tables = SQLAlchemyStore(environment["STORE"])
        tables.create_tables()
        tables.close()
    yield from serve(environment, port, "make_worker()", *options)


def serve(environment: dict[str, str], port: int, factory: str, *options: str) -> t.Iterator[str]:
    """An app of ``tests.support.worker`` on four workers with eight threads each; its URL."""
    command = [
        sys.executable, "-m", "gunicorn", "--workers", "4", "--threads", "8",
        "--log-level", "error", "--bind", f"127.0.0.1:{port}",
        *options, f"tests.support.worker:{factory}",
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: requests.get(url, timeout=5).ok)
        yield url
        process.terminate()


@pytest.mark.security("C6")
def test_a_stampede_on_four_workers_costs_one_refresh(workers: str, provider: Provider) -> None:
    browser = Browser(workers, provider)
    for _ in range(ROUNDS):
        browser.sign_in()
        provider.grants.expire_access()
        before = refreshes(provider)
        assert at_once(functools.partial(call_as, browser, workers), 32) == [200] * 32
        assert refreshes(provider) - before == 1
        assert not provider.latest_grant.reused


@pytest.mark.security("C6", "F1", "F3")
def test_bound_tokens_are_renewed_once_and_each_proof_is_sent_once(
    make_provider: MakeProvider, tmp_path: Path
) -> None:
    # This provider refuses a proof that it has seen before.
    provider = make_provider(dpop=True, dpop_nonce="n-0")
    environment = {**os.environ, "PROVIDER": provider.url, "INSTANCE": str(tmp_path)}
    with contextlib.contextmanager(serve)(environment, free_port(), "make_bound_worker()") as url:
        browser = Browser(url, provider)
        browser.sign_in()
        assert at_once(functools.partial(call_as, browser, url), 32) == [200] * 32
        assert len(provider.calls("/token")) == 2, "one demand for a nonce"
        assert len(provider.calls("/api/x")) == 32, "all workers know it"
        for count in range(1, 3):
            provider.grants.expire_access()
            assert at_once(functools.partial(call_as, browser, url), 32) == [200] * 32
            assert refreshes(provider) == count
        assert not provider.latest_grant.reused


@pytest.mark.security("C5")
def test_two_visitors_of_four_workers_never_see_a_foreign_token(
    workers: str, provider: Provider
) -> None:
    def visit(name: str) -> set[str]:
        browser = Browser(workers, provider)
        browser.sign_in(person={"sub": name})
        return {
            t.cast("dict[str, str]", browser.get("/call/x").get_json())["sub"] for _ in range(300)
        }

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(visit, ["ada", "bob"])) == [{"ada"}, {"bob"}]


def test_a_state_and_a_sign_out_count_in_every_worker(workers: str, provider: Provider) -> None:
    browser = Browser(workers, provider)
    url = browser.begin("/login")
    copy = browser.jar.copy()
    assert browser.finish(url).status_code == 302
    signed_in = browser.jar.copy()
    for _ in range(12):
        browser.jar = copy.copy()
        assert browser.finish(url).status_code == 400
    browser.jar = signed_in.copy()
    browser.post("/logout")
    for _ in range(12):
        browser.jar = signed_in.copy()
        assert browser.fetch("/me").status_code == 401


class Confirmed(t.NamedTuple):
    """An app that has logins confirmed each 900 seconds, its visitor, and the workers' clock."""

    browser: Browser
    clock: SharedClock

    def visit(self) -> list[int]:
        """Open a guarded page by 32 copies of the browser at the same time."""
        return at_once(functools.partial(call_as, self.browser, self.browser.base_url, "/me"), 32)

    @property
    def roles(self) -> list[str]:
        return t.cast("list[str]", (self.browser.get("/me").json or {})["roles"])


@pytest.fixture(params=["cookie", "sqlite", "redis_server"])
def confirmed(
    request: pytest.FixtureRequest, provider: Provider, tmp_path: Path
) -> t.Iterator[Confirmed]:
    stores = {"cookie": "cookie", "sqlite": f"sqlite:///{tmp_path}/logins.db"}
    store = stores.get(request.param) or request.getfixturevalue(request.param).url
    # Nothing but `revalidate` renews these.
    provider.expires_in = 30 * 24 * 3600
    clock = SharedClock(tmp_path / "clock")
    more = {
        "PROVIDER": provider.url,
        "INSTANCE": str(tmp_path),
        "STORE": store,
        "CLOCK": str(tmp_path / "clock"),
    }
    served = serve({**os.environ, **more}, free_port(), "make_revalidating_worker()")
    for url in served:
        browser = Browser(url, provider)
        say_groups(provider, "admins")
        browser.sign_in()
        yield Confirmed(browser, clock)


def say_groups(provider: Provider, *groups: str) -> None:
    """Have UserInfo say this of the person, for grants that exist too."""
    assert provider.person is not None
    for person in (provider.person, *(grant.person for grant in provider.grants.all)):
        person["groups"] = list(groups)


@pytest.mark.security("C6")
def test_four_workers_confirm_a_login_once_each_interval(
    confirmed: Confirmed, provider: Provider
) -> None:
    for number in range(1, 4):
        assert confirmed.visit() == [200] * 32
        assert refreshes(provider) == number - 1
        say_groups(provider, f"group-{number}")
        confirmed.clock.ahead += 901
        assert confirmed.visit() == [200] * 32
        assert refreshes(provider) == number
        assert len(provider.calls("/userinfo")) == number + 1
        assert confirmed.roles == [f"group-{number}"]


@pytest.mark.security("C9")
def test_an_outage_leaves_logins_and_four_workers_ask_once_again_later(
    confirmed: Confirmed, provider: Provider
) -> None:
    provider.on("/token", Answer(503))
    confirmed.clock.ahead += 901
    for number in range(1, 4):
        assert confirmed.visit() == [200] * 32
        assert confirmed.visit() == [200] * 32
        assert refreshes(provider) == number
        confirmed.clock.ahead += 60
    say_groups(provider, "staff")
    provider.off()
    assert confirmed.visit() == [200] * 32
    assert refreshes(provider) == 4
    assert confirmed.roles == ["staff"]


@pytest.mark.security("D1")
def test_a_refusal_ends_a_login_in_four_workers(confirmed: Confirmed, provider: Provider) -> None:
    provider.grants.revoke_all()
    confirmed.clock.ahead += 901
    assert confirmed.visit() == [401] * 32
    assert confirmed.visit() == [401] * 32
    assert refreshes(provider) == 1
