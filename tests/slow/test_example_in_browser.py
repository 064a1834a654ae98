"""The example in a real browser: what its own pages and script do."""

from __future__ import annotations

import typing as t

import pytest

from tests.app.test_example_app import Visitor, remove_variables, running
from tests.slow.test_browser import screenshot
from tests.support.accessibility import check_page

if t.TYPE_CHECKING:
    from playwright.sync_api import Page, Route

API = "**/api/profile"


@pytest.fixture(scope="module")
def example() -> t.Iterator[str]:
    """The URL of the example with its own providers."""
    with pytest.MonkeyPatch.context() as patch:
        remove_variables(patch)
        with running() as (_, url):
            yield url


def sign_in(page: Page, url: str) -> None:
    page.goto(url)
    page.click("text=Sign in with Example Corp")
    page.click("text=Ada Lovelace")
    page.wait_for_url(url)


def test_a_spinner_turns_until_the_provider_answers(page: Page, example: str) -> None:
    blocked: list[str] = []
    page.on("console", lambda message: blocked.append(message.text))
    seen: list[bool] = []

    def hold(route: Route) -> None:
        seen.append(page.is_visible(".spinner"))
        screenshot(page, "example-spinner")
        check_page(page)
        route.continue_()

    sign_in(page, example)
    page.route(API, hold)
    page.click("text=See your profile")
    page.wait_for_selector("dd:text-is('ada@example.com')")
    assert seen == [True]
    assert not page.is_visible(".spinner")
    assert page.get_attribute("main img", "src", strict=True)
    assert page.evaluate("document.querySelector('main img').naturalWidth") > 0
    assert blocked == []


def test_whoever_is_signed_out_meanwhile_can_sign_in_again(page: Page, example: str) -> None:
    sign_in(page, example)

    def end_first(route: Route) -> None:
        with Visitor(example) as elsewhere:
            elsewhere.sign_in("Example Corp", "ada")
            elsewhere.submit("account/sign-out")
        route.continue_()

    page.route(API, end_first)
    page.click("text=See your profile")
    page.wait_for_selector("text=You are not signed in any more")
    page.unroute(API)
    page.click("text=Sign in again")
    page.click("text=Sign in with Example Corp")
    page.click("text=Ada Lovelace")
    page.wait_for_selector("dd:text-is('ada@example.com')")


@pytest.mark.parametrize("problem", ["down", "unreachable"])
def test_a_problem_is_told_and_can_be_tried_again(page: Page, example: str, problem: str) -> None:
    sign_in(page, example)
    answers = {
        "down": lambda route: route.fulfill(status=502, body="{}"),
        "unreachable": lambda route: route.abort(),
    }
    page.route(API, answers[problem])
    page.click("text=See your profile")
    page.wait_for_selector("[role=alert]")
    page.unroute(API)
    page.click("text=Try again")
    page.wait_for_selector("dd:text-is('ada@example.com')")


def test_each_page_is_for_everybody(page: Page, example: str) -> None:
    page.goto(example)
    check_page(page)
    sign_in(page, example)
    with Visitor(example, "Safari on iPhone") as elsewhere:
        elsewhere.sign_in("Example Corp", "ada")
        for path in ("", "profile?details=1", "account", "no-such-page"):
            page.goto(f"{example}{path}")
            screenshot(page, f"example-{path.partition('?')[0] or 'home'}")
            check_page(page)


def test_a_keyboard_adds_an_account_and_signs_out_everywhere(page: Page, example: str) -> None:
    sign_in(page, example)
    page.goto(f"{example}account")
    page.focus("text=Add an account at Example Club")
    page.keyboard.press("Enter")
    page.focus("text=Ada King")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{example}account")
    assert page.locator("text=this browser").count() == 2
    page.focus("text=Sign out everywhere")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=You are signed out everywhere")
    assert page.locator("text=Nobody is signed in").count() == 1


def test_without_javascript_a_link_asks_the_provider(page: Page, example: str) -> None:
    assert page.context.browser is not None
    plain = page.context.browser.new_page(java_script_enabled=False)
    sign_in(plain, example)
    plain.click("text=See your profile")
    assert not plain.is_visible(".spinner")
    plain.click("noscript a")
    plain.wait_for_selector("dd:text-is('ada@example.com')")
    plain.close()
