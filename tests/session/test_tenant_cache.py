"""The handlers of tenants in a process: made once, kept within bounds, and dropped."""

from __future__ import annotations

import gc
import threading
import time
import typing as t
import weakref

import pytest
from flask import Flask

from flask_oauth2_login import OAuth2, OAuth2Login, current_identity, login_url
from tests.conftest import MakeApp, MakeProvider
from tests.support.clock import Clock
from tests.support.provider import Browser, Provider
from tests.support.tenants import TenantBrowser, Tenants, add_tenant_views, make_login
from tests.support.threads import at_once, at_once_numbered


@pytest.fixture
def tenants(provider: Provider) -> Tenants:
    return Tenants(dict.fromkeys(("acme", "globex", "initech"), provider))


class MakeSite(t.Protocol):
    def __call__(self, tenants: t.Any, **options: t.Any) -> tuple[Flask, OAuth2Login]: ...


@pytest.fixture
def make_site(make_app: MakeApp) -> MakeSite:
    def make(tenants: t.Any, **options: t.Any) -> tuple[Flask, OAuth2Login]:
        login = make_login(tenants, **options)
        app = make_app(login)
        add_tenant_views(app)
        return app, login

    return make


def ask(app: Flask, tenant: str) -> int:
    """The status of a tenant's ``/login``."""
    return Browser(app).get(f"/{tenant}/sso/login").status_code


def test_fifty_threads_make_one_handler(make_site: MakeSite, tenants: Tenants) -> None:
    release = threading.Event()

    def slow(tenant: str) -> OAuth2 | None:
        found = tenants(tenant)
        release.wait(5)
        return found

    app, _ = make_site(slow)
    threading.Timer(0.5, release.set).start()
    assert at_once(lambda: ask(app, "acme"), 50) == [302] * 50
    assert tenants.asked == ["acme"]


def test_fifty_threads_share_a_failure_and_nothing_of_it_stays(
    make_site: MakeSite, tenants: Tenants
) -> None:
    tenants.errors["acme"] = RuntimeError("the database is down")
    app, _ = make_site(tenants)
    assert at_once(lambda: ask(app, "acme"), 50) == [503] * 50
    assert ask(app, "globex") == 302
    tenants.errors.clear()
    assert ask(app, "acme") == 302


def test_names_that_somebody_invents_take_no_room(make_site: MakeSite, tenants: Tenants) -> None:
    app, _ = make_site(tenants, tenant_cache_size=2)
    assert [ask(app, "acme"), ask(app, "globex")] == [302, 302]
    tenants.asked.clear()
    assert {ask(app, f"made-up-{number}") for number in range(100)} == {404}
    assert [ask(app, "acme"), ask(app, "globex")] == [302, 302]
    assert not {"acme", "globex"} & set(tenants.asked)


def test_the_handlers_that_were_used_last_are_kept(make_site: MakeSite, tenants: Tenants) -> None:
    app, _ = make_site(tenants, tenant_cache_size=2)
    for tenant in ("acme", "globex", "acme", "initech", "acme", "globex"):
        ask(app, tenant)
    assert tenants.asked == ["acme", "globex", "initech", "globex"]


def test_a_handler_is_made_anew_after_a_while(
    make_site: MakeSite, tenants: Tenants, clock: Clock
) -> None:
    app, _ = make_site(tenants, tenant_cache_seconds=600)
    ask(app, "acme")
    clock.ahead += 599
    ask(app, "acme")
    assert tenants.asked == ["acme"]
    clock.ahead += 2
    ask(app, "acme")
    assert tenants.asked == ["acme", "acme"]
    # It was deleted meanwhile.
    del tenants.providers["acme"]
    clock.ahead += 601
    assert ask(app, "acme") == 404


def test_a_forgotten_tenant_is_made_anew(
    make_site: MakeSite, tenants: Tenants, make_provider: MakeProvider
) -> None:
    app, login = make_site(tenants)
    browser = Browser(app)
    assert browser.begin("/acme/sso/login").startswith(tenants.providers["acme"].url)
    tenants.providers["acme"] = make_provider()
    with app.app_context():
        login.forget_tenant("acme")
        login.forget_tenant("nowhere")
    assert browser.begin("/acme/sso/login").startswith(tenants.providers["acme"].url)


def test_a_handler_that_was_being_made_when_it_was_forgotten_is_not_kept(
    make_site: MakeSite, tenants: Tenants
) -> None:
    begun, release = threading.Event(), threading.Event()

    def slow(tenant: str) -> OAuth2 | None:
        found = tenants(tenant)
        if len(tenants.asked) == 1:
            begun.set()
            release.wait(5)
        return found

    app, login = make_site(slow)
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(ask(app, "acme"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert begun.wait(5)
    with app.app_context():
        login.forget_tenant("acme")
    release.set()
    for thread in threads:
        thread.join()
    assert statuses == [302] * 3
    assert ask(app, "acme") == 302
    assert tenants.asked == ["acme", "acme"]


def test_a_provider_may_ask_who_is_signed_in(make_site: MakeSite, tenants: Tenants) -> None:
    """It is nobody, and no thread waits for itself."""
    seen: list[bool] = []

    def curious(tenant: str) -> OAuth2 | None:
        seen.append(bool(current_identity))
        return tenants(tenant)

    app, _ = make_site(curious, tenant_cache_seconds=1e-9)
    browser = TenantBrowser(app, "acme", "path", tenants.providers["acme"])
    browser.enter()
    assert browser.me().status_code == 200
    assert seen
    assert not any(seen)


def test_a_thread_that_is_interrupted_lets_another_one_go_on(
    make_site: MakeSite, tenants: Tenants
) -> None:
    begun = threading.Event()

    def interrupted(tenant: str) -> OAuth2 | None:
        found = tenants(tenant)
        if len(tenants.asked) == 1:
            begun.set()
            time.sleep(0.2)
            raise SystemExit
        return found

    app, _ = make_site(interrupted)

    def give_up() -> None:
        with pytest.raises(SystemExit):
            ask(app, "acme")

    first = threading.Thread(target=give_up)
    first.start()
    assert begun.wait(5)
    assert ask(app, "acme") == 302
    first.join()


@pytest.mark.parametrize(
    "name",
    ["ACME", "acme%20", "acme%00", "..%2facme", "%2e%2e", "acme%0d%0aX", "ac%E2%80%8Bme",
     "a" * 10_000, "%C3%A4cme", "acme%2Fsso", "~", "%25", "a~b"],
)  # fmt: skip
def test_odd_names_are_no_tenants(make_site: MakeSite, tenants: Tenants, name: str) -> None:
    app, _ = make_site(tenants)
    browser = Browser(app)
    assert browser.get(f"/{name}/sso/login").status_code in {404, 308}
    assert browser.fetch(f"/{name}/me").status_code == 404
    assert not [asked for asked in tenants.asked if len(asked) > 255 or not asked.isprintable()]


@pytest.mark.security("D1")
@pytest.mark.parametrize(
    "names", [("acme", "ACME"), ("a~b", "a"), ("ä", "a\u0308"), ("a b", "a%20b")]
)
def test_names_that_look_alike_are_tenants_of_their_own(
    provider: Provider, make_site: MakeSite, names: tuple[str, str]
) -> None:
    from urllib.parse import quote

    app, _ = make_site(Tenants(dict.fromkeys(names, provider)))
    one, other = (quote(name) for name in names)
    browser = Browser(app, provider)
    assert browser.sign_in(f"/{one}/sso/login").status_code == 302
    assert browser.fetch(f"/{one}/me").status_code == 200
    assert browser.fetch(f"/{other}/me").status_code == 401
    assert browser.sign_in(f"/{other}/sso/login").status_code == 302
    tenants = [(browser.fetch(f"/{name}/me").json or {})["tenant"] for name in (one, other)]
    assert tenants == list(names)


def test_a_link_can_lead_to_another_tenant(make_site: MakeSite, tenants: Tenants) -> None:
    app, _ = make_site(tenants)

    @app.get("/start")
    def start() -> str:
        return login_url("sso", org="globex", next="/globex/home")

    @app.get("/<org>/link")
    def link(org: str) -> str:
        return f"{login_url('sso')} {login_url('sso', org='initech', hint='x')}"

    browser = Browser(app)
    assert browser.get("/start").text == "/globex/sso/login?next=/globex/home"
    own, other = browser.get("/acme/link").text.split()
    assert own == "/acme/sso/login"
    assert other.startswith("/initech/sso/login?hint=x&signature=")
    assert "hint=x" in browser.begin(other)


@pytest.mark.slow
def test_a_thousand_tenants_do_not_mix(
    make_provider: MakeProvider, make_app: MakeApp, make_site: MakeSite
) -> None:
    providers = [make_provider() for _ in range(4)]
    table = {f"tenant-{number}": providers[number % 4] for number in range(1000)}
    tenants = Tenants(table)
    handlers: weakref.WeakSet[OAuth2] = weakref.WeakSet()

    def look_up(tenant: str) -> OAuth2 | None:
        found = tenants(tenant)
        if found is not None:
            handlers.add(found)
        return found

    app, _ = make_site(look_up)

    def visit(number: int) -> bool:
        name = f"tenant-{number * 20}"
        browser = Browser(app, table[name])
        person = {"sub": f"person-{number}", "name": f"Person {number}"}
        assert browser.sign_in(f"/{name}/sso/login", person=person).status_code == 302
        me = browser.fetch(f"/{name}/me").json or {}
        other = browser.fetch(f"/tenant-{number * 20 + 1}/me")
        return (me["tenant"], me["id"], other.status_code) == (name, f"person-{number}", 401)

    assert all(at_once_numbered(visit, 50))
    # Each of the fifty was made once, and so were the fifty where nobody signed in.
    assert len(tenants.asked) == len(set(tenants.asked)) == 100
    documents = [len(each.calls("/.well-known/openid-configuration")) for each in providers]
    assert sum(documents) == 50
    for name in table:
        assert Browser(app).fetch(f"/{name}/me").status_code == 401
    assert set(tenants.asked) == set(table)
    gc.collect()
    assert len(handlers) == 256
