"""A login with tenants: what a developer gives, and what can be wrong with it."""

from __future__ import annotations

import typing as t

import pytest
from flask import Flask, abort, request

from flask_oauth2_login import (
    ConfigurationError,
    LoginRequired,
    OAuth2Login,
    login_url,
    require_login,
)
from tests.conftest import MakeApp
from tests.support.assertions import query_of
from tests.support.handlers import make_handler
from tests.support.provider import Browser, Provider
from tests.support.tenants import TenantBrowser, Tenants, add_tenant_views, make_login


@pytest.fixture
def tenants(provider: Provider) -> Tenants:
    return Tenants({"acme": provider, "globex": provider})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tenant": ""}, "neither the name of a variable"),
        ({"tenant": 5}, "neither the name of a variable"),
        ({"tenant": "org", "tenant_cache_size": 0}, "tenant_cache_size=0"),
        ({"tenant": "org", "tenant_cache_size": True}, "tenant_cache_size=True"),
        ({"tenant": "org", "tenant_cache_seconds": -1}, "tenant_cache_seconds=-1"),
        ({"tenant": "org", "tenant_cache_seconds": "9"}, "tenant_cache_seconds='9'"),
        ({"tenant": "organisation"}, "names no variable of '/<org>/sso/callback'"),
        ({"tenant": "org", "offline": True}, "needs a server-side store"),
        ({"tenant": "org", "role_names": {"a": "b"}}, "does not know where they are"),
        ({"tenant": "org", "preset": {"site": "x"}}, "changes a preset"),
    ],
)
def test_a_mistake_is_told_at_registration(
    make_app: MakeApp, tenants: Tenants, options: dict[str, t.Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_app(OAuth2Login(tenants, url_prefix="/<org>/sso", **options))


def test_a_function_needs_a_tenant_and_a_tenant_a_function(
    provider: Provider, tenants: Tenants
) -> None:
    with pytest.raises(ConfigurationError, match="needs tenant=, too"):
        OAuth2Login(tenants)
    with pytest.raises(ConfigurationError, match="takes a function"):
        OAuth2Login(make_handler(provider), tenant="org")
    with pytest.raises(ConfigurationError, match="takes a function"):
        OAuth2Login("github", tenant="org")


def test_nothing_is_looked_up_at_registration(make_app: MakeApp, tenants: Tenants) -> None:
    make_app(make_login(tenants))
    assert tenants.asked == []


@pytest.mark.parametrize("returned", [5, b"acme", ["acme"], True])
def test_a_function_that_returns_no_name_is_a_mistake(
    make_app: MakeApp, tenants: Tenants, returned: t.Any
) -> None:
    app = make_app(OAuth2Login(tenants, tenant=lambda: returned))
    app.config["TESTING"] = False
    assert Browser(app).get("/login").status_code == 500
    app.config["TESTING"] = True
    with pytest.raises(ConfigurationError, match=f"returned {type(returned).__name__}"):
        Browser(app).get("/login")


@pytest.mark.parametrize("returned", [None, ""])
def test_a_function_may_say_that_there_is_no_tenant(
    make_app: MakeApp, tenants: Tenants, returned: str | None
) -> None:
    app = make_app(OAuth2Login(tenants, tenant=lambda: returned))
    assert Browser(app).get("/login").status_code == 404
    assert Browser(app).get("/me").status_code == 401
    assert tenants.asked == []


@pytest.mark.parametrize("code", [403, 404, 410])
def test_a_function_may_refuse_the_request(make_app: MakeApp, tenants: Tenants, code: int) -> None:
    """Where nobody is signed in, it is first called while the guard's error is handled."""

    def read() -> str:
        abort(code)

    app = make_app(OAuth2Login(tenants, name="sso", tenant=read, url_prefix="/sso"))
    browser = Browser(app)
    for path in ("/me", "/sso/login", "/sso/callback?code=x&state=y", "/sso/logout"):
        assert browser.get(path).status_code == code
        assert browser.fetch(path).status_code == code
    assert browser.get("/").status_code == 200


def test_a_provider_may_raise_not_found(make_app: MakeApp) -> None:
    app = make_app(make_login(lambda _: abort(404)))
    assert Browser(app).get("/acme/sso/login").status_code == 404


def test_an_async_function_may_read_the_request(
    make_app: MakeApp, provider: Provider, tenants: Tenants
) -> None:
    async def read() -> str | None:
        return request.headers.get("X-Tenant")

    source: t.Any = read
    app = make_app(OAuth2Login(tenants, name="sso", tenant=source, url_prefix="/sso"))
    add_tenant_views(app, "header")
    acme = TenantBrowser(app, "acme", "header", provider)
    acme.enter()
    assert acme.me().status_code == 200


def test_what_needs_a_tenant_says_so(make_app: MakeApp, tenants: Tenants) -> None:
    login = make_login(tenants, store="sqlite:///:memory:")
    app = make_app(login)

    @app.get("/link")
    def link() -> str:
        return login_url("sso")

    with app.app_context():
        for use in (
            lambda: login.session_for("me"),
            lambda: login.accounts("me"),
            lambda: login.unlink("me", "ada"),
            lambda: login.client_session(),
            lambda: login.reseal(),
        ):
            with pytest.raises(ConfigurationError, match="say which one it is"):
                use()
        with pytest.raises(LoginRequired, match="no tenant 'nowhere'"):
            login.session_for("me", tenant="nowhere")
        assert login.accounts("me", tenant="acme") == []
    with pytest.raises(ConfigurationError, match="This request has no tenant"):
        Browser(app).get("/link")


def test_the_number_of_a_row_is_no_name_of_a_tenant(make_app: MakeApp, tenants: Tenants) -> None:
    """Forgetting the tenant 5 would otherwise leave the handler of ``"5"`` as it is."""
    login = make_login(tenants, store="sqlite:///:memory:")
    uses: list[t.Callable[[t.Any], object]] = [
        lambda tenant: login.session_for("me", tenant=tenant),
        lambda tenant: login.sign_ins("me", tenant=tenant),
        lambda tenant: login.end_sign_ins("me", tenant=tenant),
        login.forget_tenant,
    ]
    with make_app(login).app_context():
        for use in uses:
            with pytest.raises(ConfigurationError, match=r"tenant='5'\."):
                use(5)


def test_a_login_without_tenants_takes_none(
    make_app: MakeApp, provider: Provider, app: Flask
) -> None:
    login = t.cast(OAuth2Login, app.blueprints["oauth2"])
    with app.app_context():
        with pytest.raises(ConfigurationError, match="has no tenants"):
            login.client_session(tenant="acme")
        with pytest.raises(ConfigurationError, match="has no tenants"):
            login.forget_tenant("acme")


def test_a_guarded_view_without_a_tenant_is_in_the_log(
    make_app: MakeApp, tenants: Tenants, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(make_login(tenants))
    for _ in range(2):
        page = Browser(app).get("/me")
        assert page.status_code == 401
        assert "<ul>" not in page.text
        problem = Browser(app).fetch("/me")
        assert (problem.status_code, (problem.json or {})["logins"]) == (401, [])
    assert caplog.text.count("Nobody can sign in for the view 'me'") == 1


def test_a_login_with_tenants_stands_beside_others(
    make_app: MakeApp, provider: Provider, tenants: Tenants
) -> None:
    plain = OAuth2Login(make_handler(provider), name="staff", url_prefix="/staff")
    app = make_app(make_login(tenants), plain)
    add_tenant_views(app)
    browser = Browser(app, provider)
    page = browser.get("/acme/call/x")
    assert page.status_code == 401
    assert "/acme/sso/login" in page.text
    assert "/staff/login" in page.text
    # A view without a tenant offers the other one.
    assert browser.get("/me").headers["Location"].startswith("/staff/login")
    browser.sign_in("/staff/login")
    assert (browser.fetch("/me").json or {})["tenant"] is None
    assert browser.fetch("/acme/me").status_code == 401
    assert browser.fetch("/acme/call/x").status_code == 200
    browser.sign_in("/acme/sso/login")
    assert (browser.fetch("/acme/me").json or {})["tenant"] == "acme"
    assert (browser.fetch("/me").json or {})["provider"] == "staff"


def test_every_request_can_be_guarded(make_app: MakeApp, tenants: Tenants) -> None:
    app = make_app(make_login(tenants))
    app.before_request(lambda: require_login("sso"))
    add_tenant_views(app)
    acme = TenantBrowser(app, "acme", "path", tenants.providers["acme"])
    assert acme.get("/acme/home").headers["Location"].startswith("/acme/sso/login")
    acme.enter()
    assert acme.get("/acme/home").text == "Ada Lovelace"
    assert acme.fetch("/globex/home").status_code == 401


@pytest.mark.security("A7")
@pytest.mark.parametrize(
    ("way", "host", "expected"),
    [
        ("path", "internal", "http://app.example/acme/sso/callback"),
        ("host", "acme.localhost", "http://acme.localhost/sso/callback"),
    ],
)
def test_the_redirect_uri_is_the_tenants(
    make_app: MakeApp, tenants: Tenants, way: t.Any, host: str, expected: str
) -> None:
    app = make_app(make_login(tenants, way), SERVER_NAME="app.example")
    browser = Browser(app, base_url=f"http://{host}")
    url = browser.begin("/acme/sso/login" if way == "path" else "/sso/login")
    assert query_of(url)["redirect_uri"] == expected


def test_a_handler_may_have_its_own_redirect_uri(make_app: MakeApp, provider: Provider) -> None:
    uri = "http://localhost/acme/sso/callback"
    app = make_app(make_login(Tenants({"acme": provider}, redirect_uri=uri)))
    browser = Browser(app, provider)
    url = browser.begin("/acme/sso/login")
    assert query_of(url)["redirect_uri"] == uri
    assert browser.finish(url).status_code == 302
