"""Against npm's oidc-provider, the certified one, with a real browser."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from flask_oauth2_login import OAuth2Login, OpenIDConnect, logged_out, login_required
from tests.conftest import MakeApp
from tests.support.certified_provider import Site, certified_site
from tests.support.servers import wait_until

if t.TYPE_CHECKING:
    from flask import Flask
    from playwright.sync_api import Page


@pytest.fixture
def site(make_app: MakeApp, tmp_path: Path) -> t.Iterator[Site]:
    def make(issuer: str) -> Flask:
        sso = OpenIDConnect("the-client", "the-secret-of-the-client", issuer)
        store = f"sqlite:///{tmp_path}/logins.db"
        return make_app(OAuth2Login(sso, name="sso", scope="email profile", store=store))

    with certified_site(make) as found:
        yield found


def sign_in(page: Page, url: str, name: str = "ada") -> None:
    """Go to a page that asks for a sign-in, and be back there."""
    page.goto(url)
    page.fill("input[name=login]", name)
    page.fill("input[name=password]", "any")
    page.click("button[type=submit]")
    page.click("button[type=submit]")
    page.wait_for_url(url)


def test_sign_in_and_step_up(page: Page, site: Site) -> None:
    recent = {"seconds": 3600}

    @site.app.get("/recent")
    def view() -> str:
        @login_required(max_age=recent["seconds"])
        def inner() -> str:
            return "recent enough"

        return inner()

    sign_in(page, f"{site.url}/me")
    assert '"email":"ada@example.com"' in page.content().replace(" ", "")
    page.goto(f"{site.url}/recent")
    assert "recent enough" in page.content()
    recent["seconds"] = 0
    page.goto(f"{site.url}/recent")
    assert page.url.startswith(site.issuer), "a sign-in of some seconds ago is too old"
    recent["seconds"] = 3600
    page.fill("input[name=login]", "ada")
    page.fill("input[name=password]", "any")
    page.click("button[type=submit]")
    page.wait_for_url(f"{site.url}/recent")
    assert "recent enough" in page.content()


@pytest.mark.security("D5")
def test_signing_out_of_the_app_signs_out_at_the_provider(page: Page, site: Site) -> None:
    sign_in(page, f"{site.url}/me")
    page.goto(f"{site.url}/logout")
    page.click("button")
    page.wait_for_url(f"{site.issuer}/session/end*")
    page.click("button[value=yes]")
    page.wait_for_url(f"{site.url}/logout?state=*")
    assert "Signed out" in page.content()
    page.goto(f"{site.url}/me")
    assert page.locator("input[name=login]").count() == 1, "the provider asks who it is again"


@pytest.mark.security("D4")
def test_signing_out_at_the_provider_signs_out_of_the_app(page: Page, site: Site) -> None:
    sign_in(page, f"{site.url}/me")
    reasons: list[str] = []

    def note(_sender: t.Any, reason: str, **_: t.Any) -> None:
        reasons.append(reason)

    with logged_out.connected_to(note, site.app):
        page.goto(f"{site.issuer}/session/end")
        page.click("button[value=yes]")
        wait_until(lambda: reasons == ["back-channel"])
    page.goto(f"{site.url}/me")
    assert page.url.startswith(site.issuer)
