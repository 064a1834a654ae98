"""Signing out at a login with tenants, by the browser and by the providers."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask

from tests.conftest import MakeApp, MakeProvider
from tests.support.assertions import query_of
from tests.support.provider import REMOVED, Browser, Provider
from tests.support.provider.browser import next_step
from tests.support.tenants import Tenants, add_tenant_views, make_login


@pytest.fixture
def others(make_provider: MakeProvider) -> Provider:
    """The provider of ``globex``."""
    return make_provider()


@pytest.fixture
def app(provider: Provider, others: Provider, make_app: MakeApp, tmp_path: Path) -> Flask:
    """An app of three tenants, of which ``acme`` and ``initech`` have the same provider."""
    tenants = Tenants({"acme": provider, "globex": others, "initech": provider})
    app = make_app(make_login(tenants, store=f"sqlite:///{tmp_path}/logins.db"))
    add_tenant_views(app)
    return app


def enter(app: Flask, tenant: str, provider: Provider) -> Browser:
    browser = Browser(app, provider)
    assert browser.sign_in(f"/{tenant}/sso/login").status_code == 302
    return browser


def is_in(browser: Browser, tenant: str) -> bool:
    return browser.fetch(f"/{tenant}/me").status_code == 200


@pytest.mark.security("D4")
def test_a_logout_token_ends_the_logins_of_its_own_tenant(
    app: Flask, provider: Provider, others: Provider
) -> None:
    acme, initech = enter(app, "acme", provider), enter(app, "initech", provider)
    globex = enter(app, "globex", others)

    def send(tenant: str, token: str) -> int:
        url = f"/{tenant}/sso/backchannel-logout"
        return app.test_client().post(url, data={"logout_token": token}).status_code

    token = provider.logout_token({"sid": REMOVED})
    assert send("globex", token) == 400
    assert [is_in(acme, "acme"), is_in(globex, "globex")] == [True, True]
    assert send("acme", token) == 200
    assert not is_in(acme, "acme")
    assert [is_in(initech, "initech"), is_in(globex, "globex")] == [True, True]
    # The other tenant of that provider has not seen this token.
    assert send("initech", token) == 200
    assert send("initech", token) == 400
    assert not is_in(initech, "initech")


@pytest.mark.security("D6")
def test_a_frame_ends_the_logins_of_its_own_tenant(
    app: Flask, provider: Provider, others: Provider
) -> None:
    acme = enter(app, "acme", provider)
    query = {"iss": provider.issuer, "sid": provider.latest_grant.sid}
    frame = app.test_client()
    assert frame.get("/globex/sso/frontchannel-logout", query_string=query).status_code == 400
    frame.get("/initech/sso/frontchannel-logout", query_string=query)
    assert is_in(acme, "acme")
    answer = frame.get("/acme/sso/frontchannel-logout", query_string=query)
    assert answer.status_code == 200
    assert not is_in(acme, "acme")


@pytest.mark.security("D5")
def test_a_sign_out_at_the_provider_comes_back_to_the_tenant(
    app: Flask, provider: Provider
) -> None:
    acme = enter(app, "acme", provider)
    page = acme.post("/acme/sso/logout", {"next": "/acme/home"})
    sent = query_of(next_step(page)[0] or "")
    assert sent["post_logout_redirect_uri"] == "http://localhost/acme/sso/logout"
    elsewhere = acme.get(f"/initech/sso/logout?state={sent['state']}", site="cross-site")
    assert next_step(elsewhere)[0] is None
    back = acme.get(f"/acme/sso/logout?state={sent['state']}", site="cross-site")
    assert next_step(back)[0] == "/acme/home"


@pytest.mark.security("D3")
def test_a_copy_of_the_cookies_is_nobody_after_the_sign_out(app: Flask, provider: Provider) -> None:
    acme = enter(app, "acme", provider)
    copy = Browser(app)
    copy.jar = acme.jar.copy()
    acme.post("/acme/sso/logout")
    assert not is_in(copy, "acme")
