"""Whole apps on several worker processes, of which something dies in the middle of a renewal."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import time
import typing as t
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa
import urllib3

from flask_oauth2_login import RedisStore, SQLAlchemyStore
from tests.support.apps import Site, asleep, make_site, serve
from tests.support.assertions import is_signed_in
from tests.support.provider import HANG, Browser, Grant, Hold, Provider
from tests.support.servers import Server

#: Seconds in which an answer must come that waits for the lease of a worker that died.
PATIENCE = 25


@pytest.fixture
def pool() -> t.Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def store_url(request: pytest.FixtureRequest, kind: str) -> str | None:
    """The URL of a store whose tables are there; None for the default."""
    if kind == "cookie":
        return None
    url: str = request.getfixturevalue(kind).url
    if kind == "postgresql":
        store = SQLAlchemyStore(url)
        store.create_tables()
        store.close()
    return url


def sign_in(site: Site, provider: Provider, name: str) -> tuple[Browser, Grant]:
    browser = Browser(site.url, provider)
    assert browser.sign_in(person={"sub": name}).status_code == 302
    return browser, provider.latest_grant


def call(browser: Browser, name: str) -> int:
    """Call the API for somebody, and see that it is they."""
    response = browser.fetch(f"/call/{name}")
    if response.status_code == 200:
        answer = t.cast("dict[str, str]", response.get_json())
        assert answer["sub"] == name
    return response.status_code


def spent(provider: Provider) -> list[str]:
    """The refresh tokens that were sent, in order."""
    calls = provider.calls("/token", grant_type="refresh_token")
    return [request.form["refresh_token"] for request in calls]


# -- a worker dies


@pytest.mark.parametrize("kind", ["cookie", "redis_server", "postgresql"])
def test_a_worker_that_dies_while_it_renews_ends_no_login_that_can_go_on(
    request: pytest.FixtureRequest,
    provider: Provider,
    tmp_path: Path,
    pool: ThreadPoolExecutor,
    kind: str,
) -> None:
    def call_soon(browser: Browser, name: str) -> Future[int]:
        return pool.submit(call, browser, name)

    with serve(provider, tmp_path, store_url(request, kind), workers=5) as site:
        ada, adas = sign_in(site, provider, "ada")
        bob, bobs = sign_in(site, provider, "bob")
        provider.grants.expire_access()
        eve, eves = sign_in(site, provider, "eve")
        before = len(provider.calls("/token"))

        # One worker waits for the provider in vain; another, for an answer that will come to
        # nobody, though the provider has rotated. Two more wait for their leases.
        provider.on("/token", HANG, times=1)
        dying = [call_soon(ada, "ada")]
        provider.wait_for("/token", before + 1)
        held = Hold(handled=True)
        provider.on("/token", held, times=1)
        dying.append(call_soon(bob, "bob"))
        held.wait()
        waiting = call_soon(ada, "ada"), call_soon(bob, "bob")
        victims = [site.answering(f"/call/{name}", 2)[0] for name in ("ada", "bob")]
        assert call(eve, "eve") == 200
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        for cut in dying:
            with pytest.raises(urllib3.exceptions.HTTPError):
                cut.result(PATIENCE)

        assert waiting[0].result(PATIENCE) == 200
        assert call(ada, "ada") == 200
        assert not adas.reused
        # Nobody knows the token that followed his. The provider says so, and the login ends.
        assert waiting[1].result(PATIENCE) == 401
        assert not is_signed_in(bob)
        assert bobs.reused == 1
        assert bob.sign_in(person={"sub": "bob"}).status_code == 302
        assert call(bob, "bob") == 200
        assert call(eve, "eve") == 200
        assert not eves.reused
        assert len(spent(provider)) == 4


# -- the store goes away, and comes back


@pytest.mark.parametrize("kind", ["redis_server", "postgresql"])
def test_a_store_that_goes_away_in_the_middle_of_a_renewal_costs_nobody_the_login(
    request: pytest.FixtureRequest,
    provider: Provider,
    tmp_path: Path,
    pool: ThreadPoolExecutor,
    kind: str,
) -> None:
    url = store_url(request, kind)
    server: Server = request.getfixturevalue(kind)
    with serve(provider, tmp_path, url, workers=2) as site:
        (ada, adas), (bob, bobs) = (sign_in(site, provider, name) for name in ("ada", "bob"))
        provider.grants.expire_access()

        # The provider has rotated, and the answers come when there is no store to keep them in.
        held = Hold(handled=True)
        provider.on("/token", held)
        before = len(provider.calls("/token"))
        calls = [pool.submit(call, *who) for who in ((ada, "ada"), (bob, "bob"))]
        provider.wait_for("/token", before + 2)
        workers = [site.answering(f"/call/{name}")[0] for name in ("ada", "bob")]
        assert workers[0] != workers[1]
        try:
            server.stop()
            held.release()
            provider.off()
            # These were let in before it went.
            assert {begun.result(PATIENCE) for begun in calls} <= {200, 503}
            for browser in (ada, bob):
                page, problem = browser.get("/me"), browser.fetch("/me")
                assert (page.status_code, problem.status_code) == (503, 503)
                assert "<h1>" in page.text
                assert problem.mimetype == "application/problem+json"
            stranger = Browser(site.url, provider)
            assert stranger.sign_in(person={"sub": "eve"}).status_code == 503
            assert stranger.fetch("/me").status_code == 401
        finally:
            server.start()

        # Whichever worker is first to go on: the one that has the token, or another.
        with asleep(workers[0]):
            assert call(bob, "bob") == 200
            assert call(ada, "ada") == 200
        assert (adas.reused, bobs.reused) == (0, 0)
        assert len(spent(provider)) == len(set(spent(provider))) == 2
        provider.grants.expire_access()
        assert call(ada, "ada") == 200
        assert call(bob, "bob") == 200
        assert (adas.reused, bobs.reused) == (0, 0)
        assert len(spent(provider)) == len(set(spent(provider))) == 4


# -- a browser goes away, and comes back


def test_an_answer_that_never_arrived_and_new_workers_cost_nobody_the_login(
    provider: Provider, tmp_path: Path
) -> None:
    with serve(provider, tmp_path) as site:
        ada, adas = sign_in(site, provider, "ada")
        bob, bobs = sign_in(site, provider, "bob")
        provider.grants.expire_access()
        held = Hold(handled=True)
        provider.on("/token", held, times=1)
        abort(site, ada, "/call/ada", held.wait)
        held.release()
        # He has the answer, and never the cookie.
        old = bob.jar.copy()
        assert call(bob, "bob") == 200
        bob.jar = old
        for browser, name in (ada, "ada"), (bob, "bob"):
            assert call(browser, name) == 200
        assert len(spent(provider)) == 2

        # Whoever comes with an older copy than the newest, comes to workers that saw nothing.
        provider.grants.expire_access()
        for browser, name in (ada, "ada"), (bob, "bob"):
            jar = browser.jar.copy()
            assert call(browser, name) == 200
            browser.jar = jar
        site.stop()
        site.start()
        for _ in range(2):
            for browser, name in (ada, "ada"), (bob, "bob"):
                assert is_signed_in(browser)
                assert call(browser, name) == 200
            provider.grants.expire_access()
        assert len(spent(provider)) == len(set(spent(provider))) == 6
        assert (adas.reused, bobs.reused) == (0, 0)


def abort(site: Site, browser: Browser, path: str, when: t.Callable[[], object]) -> None:
    """Ask for something with a browser's cookies, and leave before the answer."""
    host, _, port = site.url.removeprefix("http://").partition(":")
    cookies = browser.jar.header(f"{site.url}{path}", "same-origin", safe=True, top_level=False)
    with socket.create_connection((host, int(port))) as connection:
        lines = [f"GET {path} HTTP/1.1", f"Host: {host}:{port}", f"Cookie: {cookies}", "", ""]
        connection.sendall("\r\n".join(lines).encode())
        when()


# -- many logins

MANY = 10_000
#: In a database's plan: a look at all rows, or at all that have not ended.
READS_ALL = re.compile("SEQ SCAN|^SCAN|(INDEX COND|USING INDEX).*EXPIRES_AT", re.MULTILINE)
#: Labels that all records of one login have in common.
ONE_LOGIN = {"provider": "oauth2", "tenant": "none"}


def live(browser: Browser, provider: Provider) -> None:
    """Have a login do all that it asks of its store, from beginning to end."""
    assert browser.sign_in().status_code == 302
    assert is_signed_in(browser)
    provider.grants.expire_access()
    assert call(browser, "ada") == 200
    assert browser.post("/logout").status_code == 303


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_of_many_logins_in_a_database_each_is_found_by_an_index(
    request: pytest.FixtureRequest, provider: Provider, tmp_path: Path, kind: str
) -> None:
    in_file = f"sqlite:///{tmp_path}/logins.db"
    url = in_file if kind == "sqlite" else request.getfixturevalue(kind).url
    store = SQLAlchemyStore(url, table_name=f"many_{secrets.token_hex(4)}")
    store.create_tables()
    browser = Browser(make_site(provider.url, str(tmp_path), store), provider)
    live(browser, provider)
    sent: dict[str, t.Any] = {}

    def note(_: t.Any, __: t.Any, statement: str, values: t.Any, *___: t.Any) -> None:
        sent[statement] = values

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        live(browser, provider)
        assert store.find(owner="nobody") == []
        assert store.find(**ONE_LOGIN, subject="nobody") == []
        assert store.find(**ONE_LOGIN, sid="none") == []
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    store.close()
    assert {statement.split()[0] for statement in sent} == {"SELECT", "INSERT", "UPDATE", "DELETE"}

    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for table in store.metadata.sorted_tables:
            connection.execute(table.insert(), [make_row(table) for _ in range(MANY)])
        connection.execute(sa.text("ANALYZE"))
        for statement, values in sent.items():
            plan = explain(connection, statement, values)
            assert not READS_ALL.search(plan), plan
    engine.dispose()


def make_row(table: sa.Table) -> dict[str, t.Any]:
    """A record, or what was leased or used, of somebody."""
    ends = time.time() + 3600
    row = {
        column.name: ends if isinstance(column.type, sa.Double) else secrets.token_hex(16)
        for column in table.columns
    }
    return row | {name: value for name, value in ONE_LOGIN.items() if name in row}


def explain(connection: sa.Connection, statement: str, values: t.Any) -> str:
    """How a database finds what a statement is about."""
    prefix = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
    rows = connection.exec_driver_sql(f"{prefix} {statement}", values)
    return "\n".join(str(row[-1]) for row in rows).upper()


def test_many_logins_in_redis_cost_a_request_no_command_more(
    provider: Provider, tmp_path: Path, redis_server: Server
) -> None:
    prefix = f"many-{secrets.token_hex(4)}:"
    store = RedisStore(redis_server.url, prefix=prefix)
    browser = Browser(make_site(provider.url, str(tmp_path), store), provider)
    live(browser, provider)
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:

        def commands() -> dict[str, int]:
            """What a login's life sends to Redis, and how often."""
            client.config_resetstat()
            live(browser, provider)
            found: t.Any = client.info("commandstats")
            return {name.removeprefix("cmdstat_"): found[name]["calls"] for name in found}

        alone = commands()
        assert not alone.keys() & {"keys", "scan", "smembers", "sscan", "zscan", "hgetall"}
        one = secrets.token_hex(16)
        labels = {**ONE_LOGIN, "owner": one, "subject": one, "sid": one}
        store.create(one, "sealed", labels, time.time() + 3600)
        last = multiply(client, prefix, one)
        assert store.find(owner=last) == store.find(**ONE_LOGIN, subject=last) == [last]
        assert len(store.scan(None, 2 * MANY)) >= MANY
        assert commands() == alone
        client.delete(*client.scan_iter(f"{prefix}*", count=1000))


def multiply(client: redis.Redis, prefix: str, one: str) -> str:
    """Make many records of one by copying all that Redis has of it; the id of the last."""
    pipeline, last = client.pipeline(transaction=False), one
    hashes: dict[str, t.Any] = {}
    lists: dict[str, t.Any] = {}
    for key in client.scan_iter(f"{prefix}*", count=1000):
        if client.type(key) == "hash":
            hashes[key] = client.hgetall(key)
        elif client.type(key) == "zset":
            found: t.Any = client.zrange(key, 0, -1, withscores=True)
            lists[key] = [(member, score) for member, score in found if one in member]
    for _ in range(MANY - 1):
        last = secrets.token_hex(16)
        for key, values in hashes.items():
            pipeline.hset(
                key.replace(one, last),
                mapping={name: value.replace(one, last) for name, value in values.items()},
            )
        for key, members in lists.items():
            pipeline.zadd(
                key.replace(one, last),
                {member.replace(one, last): score for member, score in members},
            )
    pipeline.execute()
    return last
