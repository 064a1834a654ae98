"""Pages that everybody can use: axe-core finds nothing, in light, in dark and at 400 % zoom."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from flask_babel import Babel
from werkzeug.wrappers import Response

from flask_oauth2_login import OAuth2Login, ProviderError, StoreError, login_required
from tests.conftest import MakeApp
from tests.slow.test_browser import screenshot
from tests.support.accessibility import check_page
from tests.support.chromium import serving
from tests.support.handlers import make_handler
from tests.support.provider import Provider

if t.TYPE_CHECKING:
    from playwright.sync_api import Page

LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
    '<rect width="32" height="32" rx="8" fill="#0f766e"/><path d="M8 22l8-14 8 14z" fill="#fff"/>'
    "</svg>"
)

Visit = t.Callable[["Page", str], object]


def post_a_form(page: Page, url: str) -> None:
    page.goto(f"{url}/form")
    page.click("button")


def sign_in(page: Page, url: str, name: str = "google") -> None:
    page.goto(f"{url}/{name}/login?next=/me")
    page.wait_for_url("**/me")


def open_when_signed_in(path: str) -> Visit:
    def visit(page: Page, url: str) -> None:
        sign_in(page, url)
        page.goto(f"{url}{path}")

    return visit


def sign_out(page: Page, url: str) -> None:
    open_when_signed_in("/google/logout")(page, url)
    page.click("form button")
    page.wait_for_selector("h1")


def ask_to_add_an_account(page: Page, url: str) -> None:
    # Accounts are added to somebody whose login has a server-side store.
    sign_in(page, url, "stored")
    page.goto(f"{url}/stored/login?link=1")
    assert page.locator('a[href*="signature="]').count() == 1


def stop_on_the_way(page: Page, url: str) -> None:
    """Open the page that goes on by itself, and stay there: a browser keeps it at a status 204."""
    page.route("**/callback?waiting=*", lambda route: route.fulfill(status=204))
    page.goto(f"{url}/google/login?next=/me")
    assert page.locator('meta[http-equiv="refresh"]').count() == 1


#: How to get to each page.
PAGES: t.Mapping[str, Visit] = {
    "choose": lambda page, url: page.goto(f"{url}/me"),
    "post": post_a_form,
    "error": lambda page, url: page.goto(f"{url}/google/callback?code=x&state={'a' * 32}"),
    "provider down": lambda page, url: page.goto(f"{url}/provider-down"),
    "store down": lambda page, url: page.goto(f"{url}/store-down"),
    "not allowed": open_when_signed_in("/admin"),
    "add an account": ask_to_add_an_account,
    "on the way": stop_on_the_way,
    "sign out": open_when_signed_in("/google/logout"),
    "signed out": sign_out,
}


@pytest.fixture(params=["en", "de"])
def url(
    request: pytest.FixtureRequest, provider: Provider, make_app: MakeApp, tmp_path: Path
) -> t.Iterator[str]:
    """An app with a look of its own, several logins, and all pages; in each language."""
    labels = {"google": "Google", "microsoft": "Microsoft", "github": "GitHub", "sso": "Acme"}
    logins = [
        OAuth2Login(make_handler(provider), name=name, label=label)
        for name, label in labels.items()
    ]
    store = f"sqlite:///{tmp_path}/logins.db"
    stored = OAuth2Login(make_handler(provider), name="stored", store=store)
    app = make_app(
        *logins,
        stored,
        OAUTH2_LOGIN_APP_NAME="Acme Invoices",
        OAUTH2_LOGIN_APP_LOGO="/logo.svg",
        OAUTH2_LOGIN_ACCENT_COLOR="#0f766e",
        # An answer of another site comes without the session then, so there is a page on the way.
        SESSION_COOKIE_SAMESITE="Strict",
    )
    Babel(app, locale_selector=lambda: request.param)
    app.add_url_rule("/admin", "admin", login_required(check=lambda _: False)(lambda: "seen"))
    app.add_url_rule("/send", "send", login_required(lambda: "sent"), methods=["POST"])
    app.add_url_rule("/logo.svg", "logo", lambda: Response(LOGO, mimetype="image/svg+xml"))

    @app.get("/form")
    def form() -> str:
        return '<form method="post" action="/send"><button>Send</button></form>'

    @app.get("/provider-down")
    def provider_down() -> str:
        raise ProviderError("It is down.")

    @app.get("/store-down")
    def store_down() -> str:
        raise StoreError("It is down.")

    with serving(app, "localhost") as url:
        yield url


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(page: Page, url: str, name: str) -> None:
    blocked: list[str] = []
    page.on("console", lambda message: blocked.append(message.text))
    PAGES[name](page, url)
    screenshot(page, name)
    check_page(page)
    assert [text for text in blocked if "Content Security Policy" in text] == []


def test_a_keyboard_is_enough_without_javascript(page: Page, url: str) -> None:
    assert page.context.browser is not None
    plain = page.context.browser.new_page(java_script_enabled=False)
    plain.goto(f"{url}/me")
    plain.keyboard.press("Tab")
    plain.keyboard.press("Enter")
    plain.wait_for_selector("text=ada@example.com")
    plain.goto(f"{url}/google/logout")
    plain.keyboard.press("Tab")
    plain.keyboard.press("Enter")
    plain.wait_for_selector('img[src*="clear"]', state="attached")
    assert not plain.locator("form").count()
    plain.close()
