"""Signing in with a real browser."""

from __future__ import annotations

import os
import typing as t

import pytest
from flask import session

from flask_oauth2_login import OAuth2Login, OpenIDConnect
from tests.app.test_example_app import running
from tests.conftest import MakeApp
from tests.support.chromium import serving
from tests.support.handlers import make_handler
from tests.support.provider import Provider

if t.TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def example(provider: Provider) -> t.Iterator[str]:
    """The example as a process of its own, on a free port, with the tests' provider; its URL."""
    provider.consent_page = True
    variables = {
        "PROVIDER_CLIENT_ID": provider.client_id,
        "PROVIDER_CLIENT_SECRET": str(provider.client_secret),
        "PROVIDER_ISSUER": provider.issuer,
        "PROVIDER_USERINFO_URL": f"{provider.url}/userinfo",
        "PROVIDER_SCOPE": "profile email",
    }
    with running(**variables) as (_, url):
        yield url


def screenshot(page: Page, name: str) -> None:
    """For people to look at, where SCREENSHOTS names a folder: a wide window, and a dark phone."""
    folder = os.environ.get("SCREENSHOTS")
    if not folder:
        return
    page.screenshot(path=f"{folder}/{name}.png")
    wide = page.viewport_size
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 360, "height": 640})
    page.screenshot(path=f"{folder}/{name}-dark.png")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(t.cast("t.Any", wide))


def test_from_the_examples_home_page_to_the_provider_and_back(page: Page, example: str) -> None:
    page.goto(example)
    screenshot(page, "home")
    page.click("main a.oauth2-button")
    page.click("#consent")
    page.wait_for_url(example)
    page.click("text=See your profile")
    page.wait_for_selector("dd:text-is('ada@example.com')")
    screenshot(page, "profile")
    page.reload()
    page.wait_for_selector("dd:text-is('ada@example.com')")
    page.click("text=Sign out")
    page.wait_for_url("**/logout?state=*")
    assert "Signed out" in page.content()
    screenshot(page, "signed-out")
    page.goto(example)
    assert "Nobody is signed in" in page.content()


def test_a_refusal_ends_in_a_clean_page_and_may_be_thought_over(
    page: Page, provider: Provider, example: str
) -> None:
    person, provider.person = provider.person, None
    page.goto(f"{example}profile")
    page.click("#consent")
    page.wait_for_url("**/callback?error=access_denied*")
    assert "Sign-in cancelled" in page.content()
    screenshot(page, "refused")
    provider.person = person
    page.click("text=Try again")
    page.click("#consent")
    page.wait_for_url("**/profile")
    assert "ada@example.com" in page.content()


@pytest.mark.security("A10")
@pytest.mark.parametrize("response_mode", [None, "form_post"])
@pytest.mark.parametrize("samesite", [None, "Lax", "Strict"])
def test_a_visitors_cart_survives_the_way_through_the_provider(
    page: Page, provider: Provider, make_app: MakeApp, samesite: str | None, response_mode: t.Any
) -> None:
    provider.consent_page = True
    login = OAuth2Login(make_handler(provider, response_mode=response_mode))
    app = make_app(login, SESSION_COOKIE_SAMESITE=samesite)

    @app.get("/cart")
    def cart() -> list[str]:
        session["cart"] = [*session.get("cart", []), "book"]
        return t.cast("list[str]", session["cart"])

    with serving(app, "localhost") as url:
        page.goto(f"{url}/cart")
        page.goto(f"{url}/me")
        page.click("#consent")
        page.wait_for_url("**/me")
        assert '"id":"ada"' in page.content().replace(" ", "")
        page.goto(f"{url}/cart")
        assert page.content().count("book") == 2


def test_an_app_that_restricts_form_action_can_sign_out_at_the_provider(
    page: Page, provider: Provider, make_app: MakeApp
) -> None:
    sso = OpenIDConnect(provider.client_id, provider.client_secret, provider.issuer)
    app = make_app(OAuth2Login(sso, name="sso", scope="email"))
    with serving(app) as url:
        page.goto(f"{url}/me")
        assert '"id":"ada"' in page.content().replace(" ", "")
        page.goto(f"{url}/logout")
        screenshot(page, "sign-out")
        page.click("text=Sign out >> nth=-1")
        page.wait_for_url(f"{url}/logout?state=*")
        assert "Signed out" in page.content()
        assert provider.sign_outs


def test_several_logins_are_offered(page: Page, provider: Provider, make_app: MakeApp) -> None:
    one = OAuth2Login(make_handler(provider, label="GitHub"), name="one")
    two = OAuth2Login(make_handler(provider, label="Google"), name="two")
    with serving(make_app(one, two)) as url:
        page.goto(f"{url}/me")
        screenshot(page, "choose")
        page.click("text=Sign in with Google")
        page.wait_for_url("**/me")
        assert '"provider":"two"' in page.content().replace(" ", "")
