"""What somebody may try at a login with tenants, and odd ways to say which tenant it is."""

from __future__ import annotations

import typing as t
from pathlib import Path
from urllib.parse import quote

import pytest
from flask import Blueprint, Flask, render_template_string, request, session
from werkzeug.exceptions import HTTPException

from flask_oauth2_login import Identity, OAuth2Login, Token, current_identity, login_required
from tests.conftest import MakeApp, MakeProvider
from tests.support.apps import EVE, keep_sessions_on_the_server, make_sessions_permanent
from tests.support.handlers import make_openid
from tests.support.provider import Browser, Provider
from tests.support.provider.browser import next_step
from tests.support.tenants import TenantBrowser, Tenants, add_tenant_views, make_login


@pytest.mark.security("C10", "D1")
def test_two_tenants_share_no_owner_whatever_ids_are_given_out(
    provider: Provider, make_provider: MakeProvider, make_app: MakeApp, tmp_path: Path
) -> None:
    """The administrator of ``a`` chooses an id so that the parts, joined, are another's."""
    evil = make_provider()
    store = f"sqlite:///{tmp_path}/logins.db"
    login = make_login(Tenants({"a:b": provider, "a": evil}), store=store)
    app = make_app(login)
    add_tenant_views(app)
    victim, attacker = Browser(app, provider), Browser(app, evil)
    victim.sign_in("/a:b/sso/login", person={"sub": "c"})
    attacker.sign_in("/a/sso/login", person={"sub": "b:c"})
    owners = [
        (browser.fetch(path).json or {})["owner"]
        for browser, path in ((victim, "/a:b/me"), (attacker, "/a/me"))
    ]
    assert owners == ["sso:a%3Ab:c", "sso:a:b:c"]
    with app.app_context():
        assert [each.id for each in login.accounts(owners[0], tenant="a:b")] == ["c"]
        assert login.accounts(owners[1], tenant="a:b") == []
        assert login.accounts(owners[0], tenant="a") == []


def test_another_owner_at_another_tenant_is_another_person(
    provider: Provider, make_app: MakeApp
) -> None:
    login = make_login(Tenants({"acme": provider, "globex": provider}))

    @login.on_login
    def own(identity: Identity, _token: Token) -> None:
        identity.owner = f"{identity.tenant}-user"

    app = make_app(login)
    add_tenant_views(app)

    @app.get("/cart")
    def cart() -> str:
        was = session.get("cart", "empty")
        session["cart"] = "full"
        return str(was)

    browser = Browser(app, provider)
    browser.sign_in("/acme/sso/login")
    assert [browser.get("/cart").text, browser.get("/cart").text] == ["empty", "full"]
    browser.sign_in("/globex/sso/login")
    assert browser.get("/cart").text == "empty"
    assert browser.fetch("/globex/me").status_code == 200
    assert browser.fetch("/acme/me").status_code == 401


@pytest.mark.security("A10")
def test_what_a_dropped_tenants_person_left_is_gone(provider: Provider, make_app: MakeApp) -> None:
    """Nothing says any more who was there, so whoever signs in there next finds nothing."""
    names = [f"tenant-{number}" for number in range(12)]
    app = make_app(make_login(Tenants(dict.fromkeys(names, provider))))

    @app.get("/cart")
    def cart() -> str:
        was = session.get("cart", "empty")
        session["cart"] = "full"
        return str(was)

    browser = Browser(app, provider)
    browser.sign_in("/tenant-0/sso/login")
    browser.get("/cart")
    assert browser.get("/cart").text == "full"
    for name in names[1:]:
        browser.sign_in(f"/{name}/sso/login")
    browser.sign_in("/tenant-0/sso/login", person=EVE)
    assert browser.get("/cart").text == "empty"


@pytest.mark.security("C4")
def test_long_names_of_tenants_fit_into_the_session(provider: Provider, make_app: MakeApp) -> None:
    names = [f"{chr(0x1F600 + number) * 60}{number}" for number in range(8)]
    app = make_app(make_login(Tenants(dict.fromkeys(names, provider))))
    add_tenant_views(app)
    browser = Browser(app, provider)
    for name in names:
        assert browser.sign_in(f"/{quote(name)}/sso/login").status_code == 302
        assert browser.fetch(f"/{quote(name)}/me").status_code == 200
    assert not browser.jar.refused


def test_sessions_on_the_server_and_permanent_ones_work(
    provider: Provider, make_app: MakeApp, tmp_path: Path
) -> None:
    app = make_app(make_login(Tenants({"acme": provider, "globex": provider})))
    keep_sessions_on_the_server(app, tmp_path)
    make_sessions_permanent(app)
    add_tenant_views(app)
    browser = Browser(app, provider)
    for tenant in ("acme", "globex"):
        browser.sign_in(f"/{tenant}/sso/login")
    assert [browser.fetch(f"/{name}/me").status_code for name in ("acme", "globex")] == [200, 200]
    records = [cookie for cookie in browser.cookies if "%7E" in cookie.name]
    assert len(records) == 2
    assert all(cookie.max_age for cookie in records)


@pytest.mark.security("A1")
def test_an_answer_by_form_is_held_for_its_own_tenant(
    provider: Provider, make_provider: MakeProvider, make_app: MakeApp
) -> None:
    tenants = Tenants({"acme": provider, "globex": make_provider()}, response_mode="form_post")
    app = make_app(make_login(tenants))
    add_tenant_views(app)
    browser = Browser(app, provider)
    url = browser.begin("/acme/sso/login")
    answer = provider.answer(url)
    assert answer.mode == "form_post"
    there = answer.redirect_uri.replace("acme", "globex")
    assert browser.post(there, answer.params, site="cross-site").status_code == 400
    page = browser.post(answer.redirect_uri, answer.params, site="cross-site")
    held = next_step(page)[0] or ""
    assert held.startswith("/acme/sso/callback?waiting=")
    assert browser.get(held.replace("acme", "globex"), site="same-origin").status_code == 400
    assert not provider.calls("/token")
    assert browser.get(held, site="same-origin").status_code == 302
    assert browser.fetch("/acme/me").status_code == 200


@pytest.mark.security("A12")
def test_a_link_of_one_tenant_says_nothing_at_another(
    provider: Provider, make_app: MakeApp
) -> None:
    from flask_oauth2_login import login_url

    app = make_app(make_login(Tenants({"acme": provider, "globex": provider}), "header"))

    @app.get("/link")
    def link() -> str:
        return login_url("sso", further="x")

    acme, globex = (TenantBrowser(app, name, "header", provider) for name in ("acme", "globex"))
    path = acme.get("/link").text
    assert "further=x" in acme.begin(path)
    assert "further=x" not in globex.begin(path)


@pytest.mark.security("C6", "C8")
def test_a_refresh_of_one_tenant_leaves_the_other_ones_record(
    provider: Provider, make_provider: MakeProvider, make_app: MakeApp
) -> None:
    tenants = Tenants({"acme": provider, "globex": make_provider()})
    app = make_app(make_login(tenants))
    add_tenant_views(app)
    browser = Browser(app, provider)
    for tenant, own in tenants.providers.items():
        browser.sign_in(f"/{tenant}/sso/login", provider=own)
    for _ in range(2):
        for own in tenants.providers.values():
            own.grants.expire_access()
        for tenant in tenants.providers:
            assert browser.fetch(f"/{tenant}/call/x").status_code == 200
    for own in tenants.providers.values():
        assert len(own.calls("/token", grant_type="refresh_token")) == 2


def add_me(app: Flask, rule: str) -> None:
    @app.get(rule, endpoint="where_am_i")
    @login_required("sso")
    def where_am_i(**_: t.Any) -> dict[str, t.Any]:
        return {"tenant": current_identity.tenant}


def test_a_number_is_a_name(provider: Provider, make_app: MakeApp) -> None:
    login = make_login(Tenants({"5": provider}), url_prefix="/<int:org>/sso")
    app = make_app(login)
    add_me(app, "/<int:org>/me")
    browser = Browser(app, provider)
    assert browser.get("/5/me").headers["Location"].startswith("/5/sso/login")
    browser.sign_in("/5/sso/login")
    assert browser.fetch("/5/me").json == {"tenant": "5"}
    assert browser.fetch("/05/me").status_code in {200, 401, 404}


def test_a_subdomain_may_name_the_tenant(provider: Provider, make_app: MakeApp) -> None:
    login = OAuth2Login(
        lambda tenant: make_openid(provider) if tenant == "acme" else None,
        name="sso",
        tenant="org",
        subdomain="<org>",
        url_prefix="/sso",
    )
    app = Flask("the_app", subdomain_matching=True)
    app.config |= {"SECRET_KEY": "x" * 32, "TESTING": True, "SERVER_NAME": "app.localhost"}
    app.register_blueprint(login)

    @app.get("/me", subdomain="<org>")
    @login_required("sso")
    def me(org: str) -> str:
        return f"{org} {current_identity.tenant}"

    acme = Browser(app, provider, base_url="http://acme.app.localhost")
    url = acme.begin("/sso/login")
    assert quote("http://acme.app.localhost/sso/callback", safe="") in url
    assert acme.finish(url).status_code == 302
    assert acme.get("/me").text == "acme acme"
    globex = Browser(app, provider, base_url="http://globex.app.localhost")
    assert globex.get("/me").status_code == 404


def test_a_host_may_have_the_variable(provider: Provider) -> None:
    host = "<org>.app.localhost"
    app = Flask("the_app", host_matching=True, static_host="static.localhost")
    app.config |= {"SECRET_KEY": "x" * 32, "TESTING": True}
    tenants = Tenants({"acme": provider, "globex": provider})
    app.register_blueprint(make_login(tenants, url_prefix="/sso", host=host))

    @app.get("/me", host=host)
    @login_required("sso")
    def me(org: str) -> str:
        return f"{org} {current_identity.tenant}"

    acme = Browser(app, provider, base_url="http://acme.app.localhost")
    assert acme.sign_in("/sso/login").status_code == 302
    assert acme.get("/me").text == "acme acme"
    (redeemed,) = provider.calls("/token")
    assert redeemed.form["redirect_uri"] == "http://acme.app.localhost/sso/callback"
    globex = Browser(app, provider, base_url="http://globex.app.localhost")
    assert globex.get("/me").headers["Location"].startswith("/sso/login")
    nowhere = Browser(app, provider, base_url="http://nowhere.app.localhost")
    assert nowhere.get("/me").status_code == 404


def test_a_parent_blueprint_may_have_the_variable(provider: Provider, make_app: MakeApp) -> None:
    parent = Blueprint("parent", __name__, url_prefix="/<org>")
    parent.register_blueprint(make_login(Tenants({"acme": provider}), url_prefix="/sso"))
    app = make_app()
    app.register_blueprint(parent)

    @app.get("/<org>/me")
    @login_required("parent.sso")
    def tenant_me(org: str) -> str:
        return f"{org} {current_identity.tenant}"

    browser = Browser(app, provider)
    browser.sign_in("/acme/sso/login")
    assert browser.get("/acme/me").text == "acme acme"


def test_one_blueprint_may_serve_two_apps_and_two_places(
    provider: Provider, make_app: MakeApp
) -> None:
    login = make_login(Tenants({"acme": provider}), url_prefix=None)
    app = make_app()
    app.register_blueprint(login, name="one", url_prefix="/<org>/one")
    app.register_blueprint(login, name="two", url_prefix="/<org>/two")

    @app.get("/<org>/both")
    def both(org: str) -> list[str | None]:
        assert org
        return [login.identity.provider if login.identity else None]

    browser = Browser(app, provider)
    assert browser.get("/acme/both").json == [None]
    browser.sign_in("/acme/two/login")
    assert browser.get("/acme/both").json == ["two"]
    assert browser.get("/nowhere/both").json == [None]


LAYOUT = "{{ code }} {{ current_identity.name }} {{ logout_button() }} {{ login_url('sso') }}"


@pytest.mark.parametrize(
    ("path", "status", "link"),
    [
        ("/globex/page", 503, "/globex/sso/login"),
        ("/globex/me", 503, "/globex/sso/login"),
        ("/nowhere/page", 200, "/nowhere/sso/login"),
        ("/nowhere/me", 404, "/nowhere/sso/login"),
        ("/nowhere/missing", 404, None),
    ],
)
def test_an_apps_own_layout_works_where_a_tenant_does_not(
    provider: Provider, make_app: MakeApp, path: str, status: int, link: str | None
) -> None:
    tenants = Tenants({"acme": provider, "globex": provider})
    app = make_app(make_login(tenants))
    add_tenant_views(app)

    @app.get("/<org>/page")
    def page(org: str) -> str:
        assert org
        return render_template_string(LAYOUT)

    @app.errorhandler(HTTPException)
    def show(error: HTTPException) -> tuple[str, int]:
        code = error.code or 500
        template = LAYOUT if request.view_args else "{{ code }} {{ current_identity.name }}"
        return render_template_string(template, code=code), code

    browser = Browser(app, provider)
    for tenant in ("acme", "globex"):
        browser.sign_in(f"/{tenant}/sso/login")
    assert browser.get("/globex/page").status_code == 200
    tenants.errors["globex"] = RuntimeError("broken")
    with app.app_context():
        t.cast(OAuth2Login, app.blueprints["sso"]).forget_tenant("globex")
    answer = browser.get(path)
    assert answer.status_code == status
    assert link is None or link in answer.text


@pytest.mark.security("D3")
@pytest.mark.parametrize("store", ["cookie", "session", "sqlite"])
@pytest.mark.parametrize("way", ["sign-out", "sign-in"])
def test_a_login_that_ends_while_its_tenant_is_broken_stays_ended(
    provider: Provider, make_app: MakeApp, tmp_path: Path, store: str, way: str
) -> None:
    tenants = Tenants({"acme": provider, "globex": provider})
    where = f"sqlite:///{tmp_path}/logins.db" if store == "sqlite" else store
    login = make_login(tenants, store=where)
    app = make_app(login)
    add_tenant_views(app)
    browser = Browser(app, provider)
    for tenant in ("acme", "globex"):
        browser.sign_in(f"/{tenant}/sso/login")
    copy = Browser(app)
    copy.jar = browser.jar.copy()
    tenants.errors["acme"] = RuntimeError("the database is down")
    with app.app_context():
        login.forget_tenant("acme")
    if way == "sign-out":
        browser.post("/globex/sso/logout", {"every": "1"})
        assert not [cookie for cookie in browser.cookies if "%7E" in cookie.name]
    else:
        browser.sign_in("/globex/sso/login", person=EVE)
    tenants.errors.clear()
    assert browser.fetch("/acme/me").status_code == 401
    assert copy.fetch("/acme/me").status_code == 401
    assert copy.fetch("/globex/me").status_code == 401


def test_records_are_sealed_anew_tenant_by_tenant(
    provider: Provider, make_app: MakeApp, tmp_path: Path
) -> None:
    def restart(**config: t.Any) -> tuple[Flask, OAuth2Login]:
        tenants = Tenants({"acme": provider, "globex": provider})
        login = make_login(tenants, store=f"sqlite:///{tmp_path}/logins.db")
        return make_app(login, **config), login

    app, _ = restart(SECRET_KEY="older")
    for tenant in ("acme", "globex"):
        Browser(app, provider).sign_in(f"/{tenant}/sso/login")
    app, login = restart(SECRET_KEY="newer", SECRET_KEY_FALLBACKS=["older"])
    with app.app_context():
        assert [login.reseal(tenant=tenant) for tenant in ("acme", "globex")] == [1, 1]
        assert [login.reseal(tenant=tenant) for tenant in ("acme", "globex")] == [0, 0]
    app, login = restart(SECRET_KEY="newer")
    with app.app_context():
        assert login.session_for("sso:acme:ada", tenant="acme").get("x").ok
