"""What a sign-in asks to be authorized in detail: RFC 9396."""

from __future__ import annotations

import json
import typing as t
from decimal import Decimal

import pytest
from flask import Flask

from flask_oauth2_login import ConfigurationError, OAuth2Login, Token, login_required, login_url
from tests.conftest import MakeApp, MakeSSO
from tests.support.assertions import query_of, refreshes
from tests.support.handlers import make_client, make_handler
from tests.support.provider import Browser, Provider

READ = {"type": "accounts", "actions": ["read"]}
PAY = {"type": "payment", "amount": {"currency": "EUR", "value": "12.50"}, "to": "Zoë & Söhne"}


def asked(url: str) -> t.Any:
    """The details of an authorization request."""
    return json.loads(query_of(url)["authorization_details"])


def show_granted(app: Flask, login: OAuth2Login) -> None:
    """Show the details that were granted, at /granted."""
    details = "authorization_details"
    app.add_url_rule("/granted", "granted", lambda: Token(login.token or {})[details])


@pytest.mark.parametrize("par", [False, True])
def test_what_the_handler_asks_for_is_kept_through_renewals(
    provider: Provider, make_sso: MakeSSO, par: bool
) -> None:
    app, login, browser = make_sso(handler={"authorization_details": [READ, PAY], "par": par})
    show_granted(app, login)
    assert browser.sign_in().status_code == 302
    assert json.loads(provider.authorizations[-1]["authorization_details"]) == [READ, PAY]
    for count in (1, 2):
        provider.grants.expire_access()
        assert browser.get("/call/me").status_code == 200
        assert refreshes(provider) == count
    assert browser.get("/granted").json == [READ, PAY]


@pytest.mark.parametrize("store", ["cookie", "session", "sqlite"])
def test_granted_details_are_kept_in_every_store(
    provider: Provider, make_sso: MakeSSO, store: str
) -> None:
    provider.token_overrides = {"authorization_details": [PAY]}
    app, login, browser = make_sso(store, handler={"authorization_details": [READ]})
    show_granted(app, login)
    assert browser.sign_in().status_code == 302
    assert browser.get("/granted").json == [PAY], "what is granted counts, and not what was asked"


def test_a_renewal_may_bring_new_details(provider: Provider, make_sso: MakeSSO) -> None:
    app, login, browser = make_sso(handler={"authorization_details": [READ, PAY]})
    show_granted(app, login)
    assert browser.sign_in().status_code == 302
    provider.token_overrides = {"authorization_details": [READ]}
    provider.grants.expire_access()
    assert browser.get("/call/me").status_code == 200
    assert browser.get("/granted").json == [READ]


@pytest.mark.parametrize("par", [False, True])
@pytest.mark.parametrize("by", ["link", "guard", "login"])
def test_a_sign_in_asks_for_details_beside_the_handlers(
    provider: Provider, make_app: MakeApp, by: str, par: bool
) -> None:
    handler = make_handler(provider, authorization_details=[READ], par=par, par_url="par")
    params: dict[str, t.Any] = {"authorization_details": [PAY, READ]}
    app = make_app(OAuth2Login(handler, authorize_params=params if by == "login" else None))
    app.add_url_rule("/link", "link", lambda: login_url(**params))
    guard = login_required(authorize_params=params)
    app.add_url_rule("/pay", "pay", guard(lambda: "paid"))
    browser = Browser(app, provider)
    path = {"link": browser.get("/link").text, "guard": "/pay", "login": "/login"}[by]
    assert browser.finish(browser.begin(path)).status_code == 302
    details = json.loads(provider.authorizations[-1]["authorization_details"])
    assert details == [READ, PAY], "each once"


@pytest.mark.security("A12")
def test_a_link_of_another_site_asks_for_no_details(provider: Provider, make_app: MakeApp) -> None:
    app = make_app(OAuth2Login(make_handler(provider, authorization_details=[READ])))
    path = f"/login?authorization_details={json.dumps([PAY])}"
    assert asked(Browser(app, provider).begin(path)) == [READ]


def test_without_details_the_parameter_is_not_there(provider: Provider, make_app: MakeApp) -> None:
    url = Browser(make_app(OAuth2Login(make_handler(provider))), provider).begin()
    assert "authorization_details" not in query_of(url)


WRONG: dict[str, t.Any] = {
    "object": PAY,
    "text": "payment",
    "texts": ["payment"],
    "no-type": [{"amount": 1}],
    "empty-type": [{"type": ""}],
    "number": 5,
    "not-json": [{"type": "payment", "amount": Decimal("12.5")}],
}


@pytest.mark.parametrize("kind", WRONG)
def test_details_that_are_none_are_told_where_they_are_written(
    provider: Provider, make_app: MakeApp, kind: str
) -> None:
    wrong = WRONG[kind]
    with pytest.raises(ConfigurationError, match="authorization_details is not a list"):
        make_client(provider, authorization_details=wrong)
    with pytest.raises(ConfigurationError, match="authorization_details is not a list"):
        login_required(authorize_params={"authorization_details": wrong})
    login = OAuth2Login(make_handler(provider))
    app = make_app(login)
    with (
        app.test_request_context(),
        pytest.raises(ConfigurationError, match="authorization_details is not a list"),
    ):
        login_url(authorization_details=wrong)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ([PAY], [PAY]),
        (json.dumps([PAY]), [PAY]),
        ([], []),
        ({"type": "payment"}, None),
        (["payment"], None),
        ("{", None),
        (None, None),
    ],
    ids=["list", "json", "empty", "object", "texts", "broken", "null"],
)
def test_only_a_list_of_objects_is_kept_of_the_token_response(
    provider: Provider, sent: t.Any, kept: t.Any
) -> None:
    provider.token_overrides = {"authorization_details": sent}
    token = make_client(provider).client_token()
    assert token is not None
    assert token.get("authorization_details") == kept
