"""Renewal: exactly once, whatever happens (SECURITY C6)."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from flask import Flask

from flask_oauth2_login import LoginRequired, OAuth2Login, ProviderError
from tests.conftest import MakeApp
from tests.support.assertions import is_signed_in, refreshes
from tests.support.handlers import make_handler
from tests.support.provider import CUT_AFTER, CUT_BEFORE, HANG, Answer, Browser, Provider
from tests.support.servers import Server, free_port, wait_until
from tests.support.threads import at_once

#: Stampedes, one after the other: a race that is lost now and then shows itself.
ROUNDS = 10


def call_as(browser: Browser, site: Flask | str) -> int:
    """Call the API with a copy of a browser's cookies."""
    visitor = Browser(site)
    visitor.jar = browser.jar.copy()
    return visitor.fetch("/call/x").status_code


@pytest.fixture(params=["cookie", "session", "sqlite", "redis_server", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> t.Iterator[t.Any]:
    """What `store=` takes, for each kind of store."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/logins.db"
        return
    if request.param in {"cookie", "session"}:
        yield request.param
        return
    server: Server = request.getfixturevalue(request.param)
    if request.param == "redis_server":
        from flask_oauth2_login import RedisStore

        yield RedisStore(server.url)
        return
    from flask_oauth2_login import SQLAlchemyStore

    database = SQLAlchemyStore(server.url, table_name=f"logins_{os.getpid()}")
    database.create_tables()
    yield database
    database.close()


@pytest.mark.security("C6")
def test_thirty_two_requests_with_an_expired_token_cost_one_refresh(
    provider: Provider, make_app: MakeApp, store: t.Any
) -> None:
    site = make_app(OAuth2Login(make_handler(provider), store=store))
    browser = Browser(site, provider)
    for _ in range(ROUNDS):
        browser.sign_in()
        provider.grants.expire_access()
        before = refreshes(provider)
        assert at_once(functools.partial(call_as, browser, site), 32) == [200] * 32
        assert refreshes(provider) - before == 1
        assert not provider.latest_grant.reused


@pytest.mark.security("C6")
def test_an_old_copy_of_a_renewed_record_is_good_all_the_same(
    provider: Provider, make_app: MakeApp
) -> None:
    browser = Browser(make_app(OAuth2Login(make_handler(provider))), provider)
    browser.sign_in()
    aborted = browser.jar.copy()
    for _ in range(3):
        provider.grants.expire_access()
        assert browser.fetch("/call/x").status_code == 200
    browser.jar = aborted
    assert browser.fetch("/call/x").status_code == 200
    provider.grants.expire_access()
    assert browser.fetch("/call/x").status_code == 200
    assert refreshes(provider) == 4
    assert not provider.latest_grant.reused


@pytest.mark.security("C6")
@pytest.mark.parametrize(
    ("answer", "status", "lives"),
    [
        (Answer(status=400, body={"error": "invalid_grant"}), 401, False),
        (Answer(status=401, body={"error": "invalid_client"}), 502, True),
        (Answer(status=400, body={"error": "temporarily_unavailable"}), 502, True),
        (Answer(body="<html>"), 502, True),
        (Answer(status=500), 503, True),
        (Answer(status=429, headers={"Retry-After": "1"}), 503, True),
        (CUT_BEFORE, 503, True),
        (HANG, 503, True),
    ],
)
def test_what_ends_a_login_and_what_does_not(
    provider: Provider,
    make_app: MakeApp,
    monkeypatch: pytest.MonkeyPatch,
    answer: t.Any,
    status: int,
    lives: bool,
) -> None:
    site = make_app(OAuth2Login(make_handler(provider, timeout=(1, 1))))
    browser = Browser(site, provider)
    browser.sign_in()
    provider.grants.expire_access()
    provider.on("/token", answer)
    before = len(provider.calls("/token"))
    assert browser.fetch("/call/x").status_code == status
    assert is_signed_in(browser) is lives
    if lives:
        assert browser.fetch("/call/x").status_code == status
        assert len(provider.calls("/token")) - before <= 1, "it is left alone for a while"
        provider.off()
        later = time.monotonic() + 4
        monkeypatch.setattr(time, "monotonic", lambda: later)
        assert browser.fetch("/call/x").status_code == 200


def test_a_provider_that_rotated_and_then_cut_ends_the_login_cleanly(
    provider: Provider, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Browser(make_app(OAuth2Login(make_handler(provider))), provider)
    browser.sign_in()
    provider.grants.expire_access()
    provider.on("/token", CUT_AFTER, times=1)
    assert browser.fetch("/call/x").status_code == 503
    later = time.monotonic() + 4
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert browser.fetch("/call/x").status_code == 401


def test_the_old_token_serves_while_it_lasts(
    provider: Provider, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Browser(make_app(OAuth2Login(make_handler(provider))), provider)
    browser.sign_in()
    provider.on("/token", Answer(status=500))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3580)
    assert browser.fetch("/call/x").status_code == 200
    assert len(provider.calls("/token")) == 2, "it was asked for a new one before"


# -- several processes


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
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, env=environment) as process:
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


# -- for somebody who is not there


def make_jobs(provider: Provider, make_app: MakeApp, tmp_path: Path) -> tuple[Flask, OAuth2Login]:
    handler = make_handler(provider, revoke_url="revoke")
    login = OAuth2Login(handler, store=f"sqlite:///{tmp_path}/logins.db", offline=True)
    return make_app(login), login


def test_a_job_calls_the_api_for_somebody_who_signed_out(
    provider: Provider, make_app: MakeApp, tmp_path: Path
) -> None:
    site, login = make_jobs(provider, make_app, tmp_path)
    browser = Browser(site, provider)
    browser.sign_in()
    assert browser.fetch("/call/x").status_code == 200
    browser.post("/logout")
    provider.grants.expire_access()
    with site.app_context():
        owner = "oauth2::ada"
        assert login.session_for(owner).get("x").json()["sub"] == "ada"
        assert refreshes(provider) == 1
        assert [identity.id for identity in login.accounts(owner)] == ["ada"]
        provider.on("/token", Answer(status=500))
        provider.grants.expire_access()
        with pytest.raises(ProviderError):
            login.session_for(owner).get("x")
        assert login.unlink(owner, "ada")
        assert provider.calls("/revoke")
        with pytest.raises(LoginRequired):
            login.session_for(owner)
        assert not login.unlink(owner, "ada")


def test_accounts_are_linked_for_whoever_is_signed_in_and_nobody_else(
    provider: Provider, make_app: MakeApp, tmp_path: Path
) -> None:
    site, login = make_jobs(provider, make_app, tmp_path)
    browser = Browser(site, provider)
    assert browser.get("/login?link=1").status_code in {302, 401}
    browser.sign_in()
    url = browser.begin(browser.link_path())
    assert browser.finish(url, person={"sub": "ada-at-work"}).status_code == 302
    with site.app_context():
        owned = {identity.id for identity in login.accounts("oauth2::ada")}
        assert owned == {"ada", "ada-at-work"}
        work = login.session_for("oauth2::ada", "ada-at-work").get("x").json()
        assert work["sub"] == "ada-at-work"
    # An attempt to link that somebody else finishes in this browser links nothing.
    url = browser.begin(browser.link_path())
    browser.sign_in(person={"sub": "bob"})
    assert browser.finish(url, person={"sub": "mallory"}).status_code == 400
    with site.app_context():
        assert {identity.id for identity in login.accounts("oauth2::ada")} == owned


def test_the_apps_own_token_is_fetched_once(provider: Provider, make_app: MakeApp) -> None:
    site = make_app(OAuth2Login(make_handler(provider)))
    login = t.cast(OAuth2Login, site.blueprints["oauth2"])

    def call() -> int:
        with site.app_context():
            return login.client_session("read").get("x").status_code

    assert at_once(call, 16) == [200] * 16
    assert len(provider.calls("/token", grant_type="client_credentials")) == 1
    provider.grants.expire_access()
    assert at_once(call, 16) == [200] * 16
    assert len(provider.calls("/token", grant_type="client_credentials")) == 2


@pytest.mark.parametrize("kind", ["cookie", "session", "sqlite"])
def test_how_long_a_login_lasts(
    provider: Provider,
    make_app: MakeApp,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kind: str,
) -> None:
    where = f"sqlite:///{tmp_path}/logins.db" if kind == "sqlite" else kind
    provider.expires_in = None
    day = 24 * 3600
    site = make_app(
        OAuth2Login(make_handler(provider), store=where),
        PERMANENT_SESSION_LIFETIME=7 * day,
        OAUTH2_LOGIN_LIFETIME=30 * day,
    )
    browser, now = Browser(site, provider), time.time()
    browser.sign_in()
    for days in (5, 10, 15, 20, 25, 29):
        monkeypatch.setattr(time, "time", lambda days=days: now + days * day)
        assert is_signed_in(browser), f"in use after {days} days"
    monkeypatch.setattr(time, "time", lambda: now + 31 * day)
    assert not is_signed_in(browser)
    browser.sign_in()
    monkeypatch.setattr(time, "time", lambda: now + 39 * day)
    assert not is_signed_in(browser)
