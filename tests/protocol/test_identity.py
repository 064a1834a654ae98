"""Claims that become an identity, or none."""

from __future__ import annotations

import pytest

from flask_oauth2_login import OAuth2Login, ProviderError
from tests.conftest import MakeApp
from tests.support.assertions import is_signed_in
from tests.support.handlers import CALLBACK, make_handler, redeem
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


@pytest.mark.security("D1")
@pytest.mark.parametrize(
    "id", [HALF_A_PAIR, " ", "\n", "ada\n", "a\x00da", "\x7f", ["ada"], {"a": "ada"}, True, 1.5]
)
def test_an_account_whose_id_is_no_text_is_nobody(
    browser: Browser, provider: Provider, caplog: pytest.LogCaptureFixture, id: object
) -> None:
    provider.on("/userinfo", Answer(body={"sub": id, "email": "ada@example.com"}))
    assert browser.sign_in().status_code == 502
    assert not is_signed_in(browser)
    assert f"at sub, id, user_id, uid ({type(id).__name__})" in caplog.text
    assert "It has sub, email." in caplog.text
    assert "ada" not in caplog.text


@pytest.mark.parametrize("name", ["https://ns.example.com/v1.0/email", "a.b", "a+b", "a[x]"])
def test_a_claim_may_be_named_by_a_url_with_dots(provider: Provider, name: str) -> None:
    provider.userinfo_overrides = {name: "ada@ns.example.com"}
    handler = make_handler(provider, redirect_uri=CALLBACK, identity={"email": name})
    identity = handler.fetch_identity(redeem(handler, provider))
    assert identity is not None
    assert identity.email == "ada@ns.example.com"
    joined = make_handler(
        provider, redirect_uri=CALLBACK, identity={"name": f"name+{name}", "id": "sub"}
    )
    identity = joined.fetch_identity(redeem(joined, provider))
    assert identity is not None
    assert identity.name == "Ada Lovelace ada@ns.example.com" or "+" in name


def test_userinfo_may_want_a_value_of_the_token(provider: Provider) -> None:
    provider.token_overrides = {"openid": "o-1 &x", "more": {"unit": 7}}
    handler = make_handler(
        provider,
        redirect_uri=CALLBACK,
        userinfo_params={"openid": "token:openid", "unit": "token:more.unit", "lang": "en"},
    )
    handler.fetch_identity(redeem(handler, provider))
    assert provider.calls("/userinfo")[0].query == {"openid": "o-1 &x", "unit": "7", "lang": "en"}
    provider.token_overrides = {}
    with pytest.raises(ProviderError, match=r"userinfo_params.*openid"):
        handler.fetch_identity(redeem(handler, provider))
