"""One API session in several threads, and requests on machines whose clocks differ."""

from __future__ import annotations

import threading
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from flask import Flask

from flask_oauth2_login import (
    LoginRequired,
    OAuth2Login,
    OAuth2Session,
    SQLAlchemyStore,
    StoreError,
    login_required,
    token_refreshed,
)
from tests.conftest import MakeApp
from tests.support.assertions import is_signed_in, refreshes
from tests.support.handlers import make_handler
from tests.support.provider import Answer, Browser, Provider


def hand_out_sessions(site: Flask) -> list[OAuth2Session]:
    """Add a view that gives away the session of whoever asks."""
    login = t.cast(OAuth2Login, site.blueprints["oauth2"])
    given: list[OAuth2Session] = []

    @site.get("/give")
    @login_required
    def give() -> str:
        given.append(login.session)
        return ""

    return given


def in_threads(api: OAuth2Session, count: int = 8) -> set[int]:
    """The statuses of as many calls, each in a thread that knows of no app and no request."""
    with ThreadPoolExecutor(count) as pool:
        return set(pool.map(lambda _: api.get("x").status_code, range(count)))


@pytest.fixture(params=["cookie", "session", "sqlite"])
def site(
    request: pytest.FixtureRequest, provider: Provider, make_app: MakeApp, tmp_path: Path
) -> Flask:
    kind = request.param
    store = f"sqlite:///{tmp_path}/logins.db" if kind == "sqlite" else kind
    return make_app(OAuth2Login(make_handler(provider), store=store))


@pytest.mark.security("C6")
def test_a_session_renews_once_in_threads_after_its_request(
    site: Flask, provider: Provider
) -> None:
    given = hand_out_sessions(site)
    browser = Browser(site, provider)
    browser.sign_in()
    browser.fetch("/give")
    told: list[t.Any] = []

    def hear(sender: Flask, **arguments: t.Any) -> None:
        told.append((sender, arguments["token"].access_token))

    for count in range(1, 4):
        provider.grants.expire_access()
        with token_refreshed.connected_to(hear):
            assert in_threads(given[0]) == {200}
        assert refreshes(provider) == count
        newest = provider.calls("/api/x")[-1].access_token()
        assert told.pop() == (site, newest)
        assert browser.fetch("/call/y").status_code == 200
        assert provider.calls("/api/y")[-1].access_token() == newest
        assert refreshes(provider) == count
    assert not provider.latest_grant.reused


@pytest.mark.security("C6")
def test_a_session_renews_once_in_threads_while_its_request_runs(
    site: Flask, provider: Provider
) -> None:
    login = t.cast(OAuth2Login, site.blueprints["oauth2"])

    @site.get("/spread")
    @login_required
    def spread() -> list[int]:
        return list(in_threads(login.session))

    browser = Browser(site, provider)
    browser.sign_in()
    provider.grants.expire_access()
    assert browser.fetch("/spread").get_json() == [200]
    assert browser.fetch("/call/y").status_code == 200
    assert refreshes(provider) == 1
    assert not provider.latest_grant.reused


@pytest.mark.security("C6")
def test_a_login_that_ends_in_a_thread_has_ended(site: Flask, provider: Provider) -> None:
    given = hand_out_sessions(site)
    browser = Browser(site, provider)
    browser.sign_in()
    browser.fetch("/give")
    provider.grants.expire_access()
    provider.on("/token", Answer(status=400, body={"error": "invalid_grant"}))
    ended: list[BaseException] = []

    def work() -> None:
        try:
            given[0].get("x")
        except LoginRequired as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended
    assert not is_signed_in(browser)


@pytest.mark.security("C5")
def test_a_session_that_is_kept_renews_for_its_own_browser(site: Flask, provider: Provider) -> None:
    given = hand_out_sessions(site)

    @site.get("/use")
    def use() -> dict[str, t.Any]:
        return t.cast("dict[str, t.Any]", given[0].get("x").json())

    ada, bob = Browser(site, provider), Browser(site, provider)
    ada.sign_in(person={"sub": "ada"})
    bob.sign_in(person={"sub": "bob"})
    ada.fetch("/give")
    provider.grants.expire_access()
    answer = bob.fetch("/use")
    assert t.cast("dict[str, str]", answer.get_json())["sub"] == "ada"
    assert refreshes(provider) == 1
    for browser, name in ((ada, "ada"), (bob, "bob")):
        whose = t.cast("dict[str, str]", browser.fetch("/call/x").get_json())
        assert whose["sub"] == name


class HeldStore(SQLAlchemyStore):
    """Reads nothing until it may."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.may_read = threading.Event()
        self.may_read.set()
        self.is_reading = threading.Event()

    def read(self, id: str) -> t.Any:
        self.is_reading.set()
        self.may_read.wait(30)
        return super().read(id)


@pytest.mark.security("C6")
def test_a_record_that_is_read_anew_ends_no_login_for_another_thread(
    provider: Provider, make_app: MakeApp, tmp_path: Path
) -> None:
    store = HeldStore(f"sqlite:///{tmp_path}/logins.db")
    store.create_tables()
    site = make_app(OAuth2Login(make_handler(provider), store=store))
    given = hand_out_sessions(site)
    browser = Browser(site, provider)
    browser.sign_in()
    browser.fetch("/give")
    provider.grants.expire_access()
    store.may_read.clear()
    store.is_reading.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: given[0].get("x").status_code)
        assert store.is_reading.wait(30)
        second = pool.submit(lambda: given[0].get("y").status_code)
        provider.wait_for("/api/y")
        # It has its 401, and waits for a newer token: a false end would come at once.
        wait([second], 0.5)
        assert not second.done()
        store.may_read.set()
        assert [first.result(), second.result()] == [200, 200]
    assert refreshes(provider) == 1
    store.close()


class Leaves(BaseException):
    """Ends one thread, as SystemExit or a greenlet's end does, and is no error of renewal."""


@pytest.mark.security("C6")
def test_what_ends_the_thread_that_renews_ends_none_that_waits_for_it(
    provider: Provider, make_app: MakeApp, tmp_path: Path
) -> None:
    class Store(SQLAlchemyStore):
        is_leased = threading.Event()
        waits = threading.Event()
        leaves = True

        def lease(self, *arguments: t.Any) -> t.Any:
            if Store.leaves:
                Store.leaves = False
                Store.is_leased.set()
                Store.waits.wait(30)
                raise Leaves
            return super().lease(*arguments)

    store = Store(f"sqlite:///{tmp_path}/logins.db")
    store.create_tables()
    site = make_app(OAuth2Login(make_handler(provider), store=store))
    given = hand_out_sessions(site)
    browser = Browser(site, provider)
    browser.sign_in()
    browser.fetch("/give")
    provider.grants.expire_access()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(given[0].get, "x")
        assert store.is_leased.wait(30)
        others = [pool.submit(given[0].get, "y") for _ in range(2)]
        provider.wait_for("/api/y", 2)
        wait(others, 0.5)
        store.waits.set()
        with pytest.raises(Leaves):
            first.result()
        assert [other.result().status_code for other in others] == [200, 200]
    assert refreshes(provider) == 1
    store.close()


class Unreliable(SQLAlchemyStore):
    """Fails at some calls, for as long as it is told to."""

    failing: frozenset[str] = frozenset()

    def release(self, name: str, ticket: str) -> None:
        self._fail("release")
        super().release(name, ticket)

    def replace(self, *arguments: t.Any) -> t.Any:
        self._fail("replace")
        return super().replace(*arguments)

    def _fail(self, name: str) -> None:
        if name in self.failing:
            raise StoreError("The database has a bad day.")


@pytest.mark.slow
@pytest.mark.security("C6")
@pytest.mark.parametrize("failing", ["release", "release and replace"])
def test_a_lease_that_could_not_be_released_makes_nobody_wait_for_its_end(
    provider: Provider, make_app: MakeApp, tmp_path: Path, failing: str
) -> None:
    store = Unreliable(f"sqlite:///{tmp_path}/logins.db")
    store.create_tables()
    login = OAuth2Login(make_handler(provider, timeout=(3, 3)), store=store)
    browser = Browser(make_app(login), provider)
    browser.sign_in()
    provider.grants.expire_access()
    if failing == "release":
        provider.on("/token", Answer(status=500, headers={"Retry-After": "0"}), times=1)
    store.failing = frozenset(failing.split())
    assert browser.fetch("/call/x").status_code == (503 if failing == "release" else 200)
    store.failing = frozenset()
    began = time.monotonic()
    assert browser.fetch("/call/x").status_code == 200
    assert time.monotonic() - began < 5, "the lease would last for eleven seconds"
    assert not provider.latest_grant.reused
    store.close()
