"""SECURITY B1: a deadline holds for all that a request does, and nothing is sent after it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import typing as t

import pytest

from flask_oauth2_login import OAuth2Login, ProviderError
from tests.conftest import MakeApp, MakeProvider
from tests.support.assertions import is_signed_in
from tests.support.handlers import make_client, make_handler
from tests.support.provider import HANG, Browser, Provider

#: Seconds to connect, and between two bytes.
CONNECT, READ = 0.8, 0.4
#: What a request may take in all, and what a busy machine may need beside it.
BOUND = CONNECT + READ + 1


def named(provider: Provider, name: str) -> str:
    """The provider's URL, with a name in place of its address."""
    return provider.url.replace("127.0.0.1", name)


@contextlib.contextmanager
def dead_address(number: int, port: int) -> t.Iterator[str]:
    """An address at which connections wait for ever: its queue of them is full."""
    address = f"127.0.0.{number}"
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((address, port))
        yield address


class Resolver:
    """The system's name lookup: some names have the addresses that a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.addresses: dict[str, list[str]] = {}
        #: Hosts whose lookup waits until :meth:`go_on`.
        self.slow: set[str] = set()
        self._go_on = threading.Event()
        self._lookup = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._getaddrinfo)

    def go_on(self) -> None:
        self._go_on.set()

    def _getaddrinfo(self, host: t.Any, *args: t.Any, **more: t.Any) -> list[t.Any]:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if name in self.slow:
            # Longer than any deadline here; a lookup that nobody waits for ends with the test.
            self._go_on.wait(2 * BOUND)
        addresses = self.addresses.get(name, [name])
        return [found for one in addresses for found in self._lookup(one, *args, **more)]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Resolver]:
    resolver = Resolver(monkeypatch)
    yield resolver
    resolver.go_on()


def all_requests_that_were_sent(resolver: Resolver, provider: Provider, before: set[t.Any]) -> int:
    """How many requests came in, once nobody is left who could send one."""
    resolver.go_on()
    for thread in set(threading.enumerate()) - before:
        if "lookup" in thread.name:
            thread.join()
    return len(provider.requests)


@pytest.mark.security("B1")
@pytest.mark.parametrize("tls", [False, True])
def test_eight_dead_addresses_cost_one_connect_timeout(
    make_provider: MakeProvider, resolver: Resolver, tls: bool
) -> None:
    provider = make_provider(tls=tls)
    port = int(provider.url.rpartition(":")[2])
    with contextlib.ExitStack() as stack:
        dead = [stack.enter_context(dead_address(number, port)) for number in range(11, 19)]
        resolver.addresses["many.localhost"] = dead
        handler = make_client(
            provider,
            timeout=(CONNECT, READ),
            token_url=f"{named(provider, 'many.localhost')}/token",
        )
        began = time.monotonic()
        with pytest.raises(ProviderError):
            handler.get_token("code")
        assert CONNECT / 2 < time.monotonic() - began < BOUND
    assert not provider.requests


@pytest.mark.security("B1")
def test_an_address_that_answers_is_reached_behind_dead_ones(
    provider: Provider, resolver: Resolver
) -> None:
    port = int(provider.url.rpartition(":")[2])
    with dead_address(11, port) as one, dead_address(12, port) as another:
        resolver.addresses["some.localhost"] = [one, another, "127.0.0.1"]
        handler = make_client(
            provider,
            timeout=(CONNECT, READ),
            token_url=f"{named(provider, 'some.localhost')}/token",
        )
        code = provider.answer(handler.authorize_url("read", state="s")).params["code"]
        assert handler.get_token(code)


@pytest.mark.security("B1")
@pytest.mark.parametrize("way", ["http", "https", "proxy", "tunnel"])
def test_nothing_is_sent_after_a_slow_name_lookup(
    make_provider: MakeProvider, resolver: Resolver, way: str
) -> None:
    provider = make_provider(tls=way in {"https", "tunnel"})
    before = set(threading.enumerate())
    options: dict[str, t.Any] = {"verify": provider.ca_file or None}
    if way in {"proxy", "tunnel"}:
        proxy = make_provider()
        options["proxies"] = {
            "http": named(proxy, "slow.localhost"), "https": named(proxy, "slow.localhost"),
        }  # fmt: skip
    else:
        proxy = provider
        options["token_url"] = f"{named(provider, 'slow.localhost')}/token"
    resolver.slow.add("slow.localhost")
    resolver.addresses["slow.localhost"] = ["127.0.0.1"]
    handler = make_client(provider, timeout=(CONNECT, READ), **options)
    began = time.monotonic()
    with pytest.raises(ProviderError) as caught:
        handler.get_token("code")
    assert time.monotonic() - began < BOUND
    assert caught.value.code == 503
    assert all_requests_that_were_sent(resolver, proxy, before) == 0


@pytest.mark.slow
@pytest.mark.security("B1", "C6")
def test_a_slow_name_lookup_spends_no_refresh_token(
    provider: Provider, make_app: MakeApp, resolver: Resolver
) -> None:
    before = set(threading.enumerate())
    resolver.addresses["slow.localhost"] = ["127.0.0.1"]
    handler = make_handler(
        provider,
        timeout=(CONNECT, READ),
        token_url=f"{named(provider, 'slow.localhost')}/token",
    )
    browser = Browser(make_app(OAuth2Login(handler)), provider)
    browser.sign_in()
    provider.requests.clear()
    provider.grants.expire_access()
    # A new connection looks up the name anew.
    provider.down()
    provider.up()
    resolver.slow.add("slow.localhost")
    assert browser.fetch("/call/x").status_code == 503
    all_requests_that_were_sent(resolver, provider, before)
    assert not provider.calls("/token")
    resolver.slow.clear()
    assert is_signed_in(browser)
    # Once the provider is not left alone any more.
    give_up = time.monotonic() + 30
    while browser.fetch("/call/x").status_code != 200:
        assert time.monotonic() < give_up
        time.sleep(0.1)
    assert len(provider.calls("/token", grant_type="refresh_token")) == 1
    assert not provider.latest_grant.reused


@pytest.mark.security("B1")
def test_a_tunnel_whose_end_says_nothing_costs_a_bounded_time(
    make_provider: MakeProvider,
) -> None:
    provider, proxy = make_provider(tls=True), make_provider()
    proxy.on("*", HANG)
    handler = make_client(
        provider, timeout=(CONNECT, READ), verify=provider.ca_file, proxies={"https": proxy.url}
    )
    began = time.monotonic()
    with pytest.raises(ProviderError):
        handler.get_token("code")
    assert time.monotonic() - began < BOUND
