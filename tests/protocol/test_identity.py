"""Claims that become an identity, or none."""

from __future__ import annotations

import pytest

from flask_oauth2_login import OAuth2Login
from tests.conftest import MakeApp
from tests.support.assertions import is_signed_in
from tests.support.handlers import make_handler
from tests.support.provider import Answer, Browser, Provider

HALF_A_PAIR = "\ud83d"


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.security("B3")
@pytest.mark.parametrize("depth", [480, 950])
def test_claims_nested_beyond_all_measure_sign_nobody_in(
    provider: Provider, make_app: MakeApp, depth: int
) -> None:
    app = make_app(OAuth2Login(make_handler(provider), claims=["groups"]))
    browser = Browser(app, provider)
    body = f'{{"sub": "ada", "groups": {nested(depth)}}}'
    provider.on("/userinfo", Answer(body=body.encode()))
    assert browser.sign_in().status_code == 502
    assert not is_signed_in(browser)


def test_nested_claims_are_kept(provider: Provider, make_app: MakeApp) -> None:
    app = make_app(OAuth2Login(make_handler(provider), claims=["groups"]))
    browser = Browser(app, provider)
    body = f'{{"sub": "ada", "groups": {nested(20)}}}'
    provider.on("/userinfo", Answer(body=body.encode()))
    browser.sign_in()
    assert nested(20) in "".join(browser.get("/me").text.split())


def test_a_name_that_was_cut_in_half_keeps_nobody_out(browser: Browser, provider: Provider) -> None:
    person = {"sub": "ada", "name": f"Ada {HALF_A_PAIR}", "picture": HALF_A_PAIR}
    provider.on("/userinfo", Answer(body=person))
    assert browser.sign_in().status_code == 302
    assert (browser.get("/me").get_json() or {})["name"] == "Ada \N{REPLACEMENT CHARACTER}"


def test_an_account_whose_id_is_no_text_is_nobody(browser: Browser, provider: Provider) -> None:
    provider.on("/userinfo", Answer(body={"sub": HALF_A_PAIR}))
    assert browser.sign_in().status_code == 502
    assert not is_signed_in(browser)
