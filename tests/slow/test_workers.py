"""Several worker processes: one refresh, nobody else's token, and sign-outs that count in all."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.support import ROOT
from tests.support.assertions import refreshes
from tests.support.provider import Browser, Provider
from tests.support.servers import free_port, wait_until
from tests.support.threads import at_once
from tests.support.visitors import call_as

#: Stampedes, one after the other: a race that is lost now and then shows itself.
ROUNDS = 10


@pytest.fixture(
    params=["cookie", "cookie --preload", "session", "sqlite", "redis_server", "postgresql"]
)
def workers(request: pytest.FixtureRequest, provider: Provider, tmp_path: Path) -> t.Iterator[str]:
    """An app on four gunicorn workers with eight threads each; its URL."""
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
    command = [
        sys.executable, "-m", "gunicorn", "--workers", "4", "--threads", "8",
        "--log-level", "error", "--bind", f"127.0.0.1:{port}",
        *options, "tests.support.worker:make_worker()",
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
