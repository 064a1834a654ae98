"""A login of which each tenant has its own provider: who is signed in, and where nobody is."""

from __future__ import annotations

import contextlib
import secrets
import typing as t
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Flask, session

from flask_oauth2_login import (
    ConfigurationError,
    Identity,
    OAuth2Login,
    Token,
    current_identity,
    logged_in,
    login_failed,
)
from tests.conftest import MakeApp, MakeProvider
from tests.support.apps import EVE
from tests.support.assertions import query_of, refreshes
from tests.support.provider import Browser, Provider
from tests.support.provider.browser import next_step
from tests.support.tenants import (
    TenantBrowser,
    Tenants,
    Way,
    add_tenant_views,
    make_login,
)

WAYS = pytest.mark.parametrize("way", ["path", "host", "header"])
STORES = pytest.mark.parametrize("store", ["cookie", "session", "sqlite"])


class Site:
    """An app with two tenants, ``acme`` and ``globex``, each with its own provider."""

    def __init__(self, app: Flask, login: OAuth2Login, tenants: Tenants, way: Way) -> None:
        self.app = app
        self.login = login
        self.tenants = tenants
        self.way = way

    def visit(self, tenant: str) -> TenantBrowser:
        """Somebody who is at a tenant, with a browser of their own."""
        provider = self.tenants.providers.get(tenant)
        return TenantBrowser(self.app, tenant, self.way, provider)

    def move(self, browser: Browser, tenant: str) -> TenantBrowser:
        """The same browser at another tenant, with all of its cookies."""
        there = self.visit(tenant)
        there.take(browser)
        return there


@contextlib.contextmanager
def session_of(site: Site, browser: Browser) -> t.Iterator[t.Any]:
    """What a browser's session holds."""
    client = site.app.test_client()
    for cookie in browser.cookies:
        client.set_cookie(cookie.name, cookie.value)
    with client.session_transaction() as content:
        yield content


class MakeSite(t.Protocol):
    def __call__(
        self, way: Way = "path", store: str = "cookie", tenants: t.Any = None, **options: t.Any
    ) -> Site: ...


@pytest.fixture
def providers(provider: Provider, make_provider: MakeProvider) -> dict[str, Provider]:
    return {"acme": provider, "globex": make_provider()}


@pytest.fixture
def make_site(providers: dict[str, Provider], make_app: MakeApp, tmp_path: Path) -> MakeSite:
    def make(
        way: Way = "path", store: str = "cookie", tenants: t.Any = None, **options: t.Any
    ) -> Site:
        table = tenants or Tenants(providers)
        config = options.pop("config", {})
        where = f"sqlite:///{tmp_path}/logins.db" if store == "sqlite" else store
        login = make_login(table, way, store=where, **options)
        app = make_app(login, **config)
        add_tenant_views(app, way)
        return Site(app, login, table, way)

    return make


@WAYS
@STORES
def test_each_tenant_signs_in_at_its_own_provider(
    make_site: MakeSite, way: Way, store: str
) -> None:
    site = make_site(way, store)
    for tenant, provider in site.tenants.providers.items():
        browser = site.visit(tenant)
        assert browser.me().status_code == 401
        assert browser.enter().status_code == 302
        me = browser.me().json
        assert (me["provider"], me["tenant"], me["id"]) == ("sso", tenant, "ada")
        assert me["owner"] == f"sso:{tenant}:ada"
        assert browser.fetch(f"{browser.prefix}/call/x").status_code == 200
        (redeemed,) = provider.calls("/token")
        assert redeemed.form["redirect_uri"] == f"{browser.origin}{browser.prefix}/sso/callback"


@pytest.mark.security("D1", "C2")
@WAYS
@STORES
def test_a_login_of_one_tenant_is_nobody_at_another(
    make_site: MakeSite, way: Way, store: str
) -> None:
    site = make_site(way, store)
    acme = site.visit("acme")
    acme.enter()
    globex = site.move(acme, "globex")
    assert globex.me().status_code == 401
    assert globex.fetch(f"{globex.prefix}/call/x").status_code == 401
    assert globex.get(f"{globex.prefix}/home").text == "nobody"
    assert not site.tenants.providers["globex"].calls("/api/x")
    assert acme.me().status_code == 200


@pytest.mark.security("D1", "C2")
@STORES
@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
def test_the_record_of_one_tenant_opens_under_no_name_of_another(
    provider: Provider, make_site: MakeSite, store: str, shared: bool
) -> None:
    """Not even if both tenants have the same client of the same provider."""
    tenants = Tenants({"acme": provider, "globex": provider}) if shared else None
    site = make_site(store=store, tenants=tenants)
    acme, globex = site.visit("acme"), site.visit("globex")
    acme.enter()
    globex.enter(**EVE)
    # Somebody who could write sessions puts acme's record under each name that globex has.
    names = {cookie.name for cookie in globex.cookies if cookie.name.startswith("oauth2_login")}
    for tenant, status in (("globex", 401), ("acme", 200)):
        forger = site.app.test_client()
        for cookie in acme.cookies:
            forger.set_cookie(cookie.name, cookie.value)
            if cookie.name.startswith("oauth2_login"):
                for name in names:
                    forger.set_cookie(name, cookie.value)
        with forger.session_transaction() as forged:
            session_id, entry = forged["_oauth2"]
            forged["_oauth2"] = [session_id, [*entry[:5], tenant]]
            if records := forged.get("_oauth2_login_records"):
                with session_of(site, globex) as other:
                    names_there = other["_oauth2_login_records"]
                (sealed,) = records.values()
                forged["_oauth2_login_records"] = {**records, **dict.fromkeys(names_there, sealed)}
        assert forger.get(f"/{tenant}/me").status_code == status


@pytest.mark.security("A1", "A4")
@WAYS
@pytest.mark.parametrize("samesite", ["Lax", "Strict"])
def test_one_tenants_provider_finishes_no_sign_in_of_another(
    make_site: MakeSite, way: Way, samesite: str
) -> None:
    site = make_site(way, config={"SESSION_COOKIE_SAMESITE": samesite})
    acme = site.visit("acme")
    at_acme = acme.begin(f"{acme.prefix}/sso/login")
    globex = site.move(acme, "globex")
    # The provider of globex knows the state, and sends the browser to the callback of globex.
    state = query_of(at_acme)["state"]
    forged = site.visit("globex").begin(f"{globex.prefix}/sso/login")
    for overrides in ({"state": state}, {"state": state, "iss": None}):
        answer = site.tenants.providers["globex"].answer(forged, **overrides)
        response = globex.follow(globex.get(answer.url, site="cross-site"), site="cross-site")
        assert response.status_code == 400
    # The answer of acme's own provider, at the callback of globex.
    answer = site.tenants.providers["acme"].answer(at_acme)
    query = urlsplit(answer.url).query
    response = globex.get(f"{globex.prefix}/sso/callback?{query}", site="cross-site")
    assert globex.follow(response, site="cross-site").status_code == 400
    for provider in site.tenants.providers.values():
        assert not provider.calls("/token")
    assert globex.me().status_code == 401
    # The attempt is still acme's.
    assert acme.finish(at_acme).status_code == 302
    assert acme.me().status_code == 200


@STORES
def test_a_browser_can_be_signed_in_at_several_tenants(make_site: MakeSite, store: str) -> None:
    site = make_site(store=store)
    acme = site.visit("acme")
    acme.enter()
    globex = site.visit("globex")
    globex.jar = acme.jar
    globex.enter(**EVE)
    assert [acme.me().json["id"], globex.me().json["id"]] == ["ada", "eve"]
    # Somebody else at one of them is somebody else's session.
    acme.enter(**EVE)
    assert acme.me().json["id"] == "eve"
    assert globex.me().status_code == 401


def test_a_sign_out_by_name_ends_one_tenants_login(make_site: MakeSite) -> None:
    site = make_site()
    acme, globex = site.visit("acme"), site.visit("globex")
    globex.jar = acme.jar
    acme.enter()
    globex.enter()
    assert acme.post("/acme/sso/logout").status_code in {200, 303}
    assert acme.me().status_code == 401
    assert globex.me().status_code == 200
    # A button without a name ends all logins of the browser.
    acme.enter()
    acme.post("/acme/sso/logout", {"every": "1"})
    assert [acme.me().status_code, globex.me().status_code] == [401, 401]
    assert not [cookie for cookie in acme.cookies if "%7E" in cookie.name], "no record is left"


@pytest.mark.security("D1")
@WAYS
def test_a_view_without_a_tenant_knows_nobody(make_site: MakeSite, way: Way) -> None:
    site = make_site(way)
    acme = site.visit("acme")
    acme.enter()
    elsewhere = Browser(site.app)
    elsewhere.jar = acme.jar
    page = elsewhere.get("/me", headers={"X-Tenant": None})
    assert page.status_code == 401
    assert "sso/login" not in page.text
    assert elsewhere.get("/", headers={"X-Tenant": None}).status_code == 200


@WAYS
def test_a_tenant_that_does_not_exist_is_not_found(make_site: MakeSite, way: Way) -> None:
    site = make_site(way)
    nowhere = site.visit("nowhere")
    prefix = nowhere.prefix
    for path in ("/sso/login", "/sso/callback?code=x&state=y", "/sso/logout", "/me", "/call/x"):
        assert nowhere.get(f"{prefix}{path}").status_code == 404
        assert nowhere.fetch(f"{prefix}{path}").status_code == 404
    assert nowhere.post(f"{prefix}/sso/backchannel-logout").status_code == 404
    assert nowhere.post(f"{prefix}/sso/logout").status_code == 404
    # A page for everybody is.
    assert nowhere.get(f"{prefix}/home").text == "nobody"


@WAYS
def test_a_broken_tenant_is_trouble_for_itself_alone(
    make_site: MakeSite, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(way)
    acme, globex = site.visit("acme"), site.visit("globex")
    acme.enter()
    site.tenants.errors["globex"] = RuntimeError("no such table")
    for path in ("/sso/login", "/sso/callback?code=x&state=y", "/me", "/call/x"):
        answer = globex.get(f"{globex.prefix}{path}")
        assert answer.status_code == 503
        assert "<h1>" in answer.text
        assert "no such table" not in answer.text
        assert globex.fetch(f"{globex.prefix}{path}").status_code == 503
    assert "the provider of the tenant 'globex' can't be made" in caplog.text.lower()
    assert "no such table" in caplog.text
    assert acme.me().status_code == 200
    # Once it is mended, it works at once.
    del site.tenants.errors["globex"]
    assert globex.enter().status_code == 302
    assert globex.me().status_code == 200


@pytest.mark.parametrize("returned", ["github", object(), {"issuer": "x"}])
def test_a_provider_that_returns_no_handler_is_a_broken_tenant(
    make_site: MakeSite, returned: object, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(tenants=lambda _: returned)
    assert TenantBrowser(site.app, "acme", "path").get("/acme/sso/login").status_code == 503
    assert "It must return an OAuth2 or an OpenIDConnect, or None" in caplog.text


def test_wrong_options_of_a_handler_are_a_broken_tenant(
    providers: dict[str, Provider], make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(tenants=Tenants(providers, no_such_option=1))
    assert site.visit("acme").get("/acme/sso/login").status_code == 503
    assert "no_such_option" in caplog.text


@pytest.mark.security("C2")
@STORES
def test_another_provider_of_a_tenant_signs_everybody_out_there(
    make_site: MakeSite, make_provider: MakeProvider, store: str
) -> None:
    site = make_site(store=store)
    acme, globex = site.visit("acme"), site.visit("globex")
    acme.enter()
    globex.enter()
    under_way = site.visit("acme")
    begun = under_way.begin("/acme/sso/login")
    answer = site.tenants.providers["acme"].answer(begun)
    former, site.tenants.providers["acme"] = site.tenants.providers["acme"], make_provider()
    with site.app.app_context():
        site.login.forget_tenant("acme")
    assert acme.me().status_code == 401
    assert globex.me().status_code == 200
    assert under_way.get(answer.url, site="cross-site").status_code == 400
    assert len(former.calls("/token")) == 1
    assert not site.tenants.providers["acme"].calls("/token")
    again = site.visit("acme")
    again.enter()
    assert again.me().status_code == 200


@STORES
def test_a_tenant_that_is_deleted_is_not_found(make_site: MakeSite, store: str) -> None:
    site = make_site(store=store)
    acme, globex = site.visit("acme"), site.visit("globex")
    globex.jar = acme.jar
    acme.enter()
    globex.enter()
    del site.tenants.providers["acme"]
    with site.app.app_context():
        site.login.forget_tenant("acme")
    assert acme.me().status_code == 404
    assert globex.me().status_code == 200
    # The rest of this browser's logins can be ended, and begun again.
    assert globex.post("/globex/sso/logout", {"every": "1"}).status_code in {200, 303}
    assert globex.me().status_code == 401
    globex.enter()
    assert globex.me().status_code == 200


def test_signals_and_logs_name_the_tenant(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site()
    caplog.set_level("INFO")
    seen: list[t.Any] = []

    def note_login(_app: Flask, login: str, identity: t.Any, **_: t.Any) -> None:
        seen.append((login, identity.tenant))

    def note_failure(_app: Flask, login: str, tenant: str, **_: t.Any) -> None:
        seen.append(("failed", login, tenant))

    with logged_in.connected_to(note_login), login_failed.connected_to(note_failure):
        acme = site.visit("acme")
        acme.enter()
        assert acme.finish(acme.begin("/acme/sso/login"), error="access_denied").status_code == 400
    assert seen == [("sso", "acme"), ("failed", "sso", "acme")]
    assert "sso ('acme'): sign-in failed." in caplog.text


def test_jobs_name_the_tenant(make_site: MakeSite) -> None:
    site = make_site(store="sqlite", offline=True)
    for tenant in ("acme", "globex"):
        site.visit(tenant).enter()
    login = site.login
    with site.app.app_context():
        for tenant in ("acme", "globex"):
            owner = f"sso:{tenant}:ada"
            assert login.session_for(owner, tenant=tenant).get("x").ok
            assert [each.tenant for each in login.accounts(owner, tenant=tenant)] == [tenant]
        # The owner of one is nobody at the other.
        assert login.accounts("sso:acme:ada", tenant="globex") == []
        assert not login.unlink("sso:acme:ada", "ada", tenant="globex")
        assert login.unlink("sso:acme:ada", "ada", tenant="acme")
        assert login.accounts("sso:acme:ada", tenant="acme") == []
        assert login.session_for("sso:globex:ada", tenant="globex").get("x").ok
        assert login.client_session(tenant="acme").get("x").ok


def test_refreshes_go_to_the_tenants_own_provider(make_site: MakeSite) -> None:
    site = make_site()
    acme, globex = site.visit("acme"), site.visit("globex")
    acme.enter()
    globex.enter()
    for provider in site.tenants.providers.values():
        provider.grants.expire_access()
    assert acme.fetch("/acme/call/x").status_code == 200
    assert refreshes(site.tenants.providers["acme"]) == 1
    assert refreshes(site.tenants.providers["globex"]) == 0


def test_a_provider_that_is_down_is_its_tenants_trouble(make_site: MakeSite) -> None:
    site = make_site()
    acme, globex = site.visit("acme"), site.visit("globex")
    acme.enter()
    globex.enter()
    for provider in site.tenants.providers.values():
        provider.grants.expire_access()
    site.tenants.providers["acme"].down()
    assert acme.fetch("/acme/call/x").status_code in {502, 503}
    assert globex.fetch("/globex/call/x").status_code == 200


def test_the_variable_may_be_taken_out_of_the_arguments(
    providers: dict[str, Provider], make_app: MakeApp
) -> None:
    """As Flask's documentation on ``url_value_preprocessor`` shows it."""
    from flask import g

    from flask_oauth2_login import current_identity, login_required

    app = make_app(make_login(Tenants(providers)))

    @app.url_value_preprocessor
    def pull(_endpoint: str | None, values: dict[str, t.Any] | None) -> None:
        g.org = (values or {}).pop("org", None)

    @app.url_defaults
    def push(endpoint: str, values: dict[str, t.Any]) -> None:
        if app.url_map.is_endpoint_expecting(endpoint, "org"):
            values.setdefault("org", g.org)

    @app.get("/<org>/me")
    @login_required
    def tenant_me() -> dict[str, t.Any]:
        return current_identity.to_dict()

    acme = TenantBrowser(app, "acme", "path", providers["acme"])
    page = acme.get("/acme/me")
    assert (next_step(page)[0] or "").startswith("/acme/sso/login?")
    acme.enter()
    assert acme.me().json["tenant"] == "acme"


@pytest.mark.security("C4")
@STORES
def test_the_oldest_tenants_of_a_browser_make_room(
    provider: Provider, make_site: MakeSite, store: str
) -> None:
    names = [f"tenant-{number}" for number in range(12)]
    site = make_site(store=store, tenants=Tenants(dict.fromkeys(names, provider)))

    @site.login.on_login
    def log_in(identity: Identity, _token: Token) -> None:
        """As Flask-Login does."""
        identity.owner = "2f1a7c1e-6f0f-4a86-9a3c-6d3d6f4f7f55"
        session.update(_user_id=identity.owner, _fresh=True, _id=secrets.token_hex(64))

    browser = site.visit(names[0])
    for name in names:
        response = browser.sign_in(f"/{name}/sso/login", provider=provider)
        assert response.status_code == 302, name
        assert (browser.fetch(f"/{name}/me").json or {})["tenant"] == name
        sent = browser.jar.header(f"{browser.origin}/", "none", safe=True, top_level=True)
        assert len(f"Cookie: {sent}") < 8190
    signed_in = [name for name in names if browser.fetch(f"/{name}/me").status_code == 200]
    least = {"cookie": 2, "session": 1, "sqlite": 8}[store]
    assert least <= len(signed_in) <= 8
    assert signed_in == names[-len(signed_in) :]
    assert not browser.jar.refused


def test_cookies_of_tenants_that_the_session_forgot_take_no_room(
    provider: Provider, make_site: MakeSite
) -> None:
    names = [f"tenant-{number}" for number in range(8)]
    site = make_site(tenants=Tenants(dict.fromkeys(names, provider)))

    @site.app.get("/clear")
    def clear() -> str:
        session.clear()
        return ""

    browser = site.visit(names[0])
    for name in names:
        browser.sign_in(f"/{name}/sso/login", provider=provider)
        assert browser.fetch(f"/{name}/me").status_code == 200
        browser.get("/clear")
        assert browser.fetch(f"/{name}/me").status_code == 401
    assert len([cookie for cookie in browser.cookies if "%7E" in cookie.name]) == 1


@pytest.mark.security("A3", "A13")
@pytest.mark.parametrize("way", ["path", "header"])
def test_attempts_of_all_tenants_count_together(
    provider: Provider, make_site: MakeSite, way: Way
) -> None:
    names = [f"tenant-{number}" for number in range(20)]
    site = make_site(way, tenants=Tenants(dict.fromkeys(names, provider)))
    browser = TenantBrowser(site.app, names[0], way, provider, scheme="https")
    begun = {}
    for name in names:
        path = f"/{name}/sso/login" if way == "path" else "/sso/login"
        answer = browser.get(f"{path}?next=/{'x' * 100}", headers={"X-Tenant": name})
        begun[name] = next_step(answer)[0] or ""
        sent = browser.jar.header(f"{browser.origin}/x", "none", safe=True, top_level=True)
        assert len(sent) <= 3000
    # The newest are still under way, each at its own tenant.
    newest = names[-1]
    callback = provider.answer(begun[newest]).url
    other = callback.replace(newest, names[-2])
    wrong = browser.get(other, site="cross-site", headers={"X-Tenant": names[-2]})
    assert wrong.status_code == 400
    right = browser.get(callback, site="cross-site", headers={"X-Tenant": newest})
    assert right.status_code == 302


@STORES
def test_the_sign_ins_of_one_tenant_are_ended_and_not_those_of_another(
    make_site: MakeSite, store: str
) -> None:
    site = make_site(store=store)

    @site.login.on_login
    def own(identity: Identity, _token: Token) -> None:
        identity.owner = "user-1"

    acme, globex = site.visit("acme"), site.visit("globex")
    acme.enter()
    globex.enter()
    with site.app.app_context():
        if store == "sqlite":
            assert len(site.login.sign_ins("user-1", tenant="acme")) == 1
        with pytest.raises(ConfigurationError, match="has tenants"):
            site.login.end_sign_ins("user-1")
        site.login.end_sign_ins("user-1", tenant="acme")
    assert acme.me().status_code == 401
    assert globex.me().status_code == 200


def test_a_person_ends_the_sign_ins_at_the_tenant_of_the_request(make_site: MakeSite) -> None:
    site = make_site(store="sqlite")

    @site.app.post("/<org>/end")
    def end(org: str) -> dict[str, int]:
        return {"ended": site.login.end_sign_ins(current_identity.owner or "")}

    acme, other, globex = site.visit("acme"), site.visit("acme"), site.visit("globex")
    for browser in (acme, other, globex):
        browser.enter()
    assert acme.post("/acme/end").json == {"ended": 2}
    assert [each.me().status_code for each in (acme, other, globex)] == [401, 401, 200]
