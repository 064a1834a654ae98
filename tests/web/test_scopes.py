"""Scopes that a provider grants without a name, and those that can't be asked for."""

from __future__ import annotations

import pytest
from flask import Flask

from flask_oauth2_login import OAuth2Login, login_required
from tests.conftest import MakeApp, MakeSSO
from tests.support.assertions import query_of
from tests.support.handlers import make_handler
from tests.support.provider import Browser, Provider


def add_guarded(app: Flask, scope: str) -> None:
    @app.get("/guarded")
    @login_required(scope=scope)
    def guarded() -> str:
        return "in"


def test_a_scope_that_was_granted_unasked_is_not_asked_for(
    browser: Browser, provider: Provider
) -> None:
    provider.granted_scope = "read internal:granted-only"
    browser.sign_in()
    assert query_of(browser.begin())["scope"] == "read"


def test_a_scope_that_a_page_asked_for_is_asked_for_again(
    provider: Provider, make_app: MakeApp
) -> None:
    app = make_app(OAuth2Login(make_handler(provider), scope="read"))
    add_guarded(app, "write")
    browser = Browser(app, provider)
    provider.granted_scope = "read"
    browser.sign_in()
    provider.granted_scope = "read write internal:x"
    browser.sign_in(browser.get("/guarded").location)
    assert browser.get("/guarded").text == "in"
    assert query_of(browser.begin())["scope"].split() == ["read", "write"]


def test_a_scope_granted_by_its_alias_is_asked_for_by_its_name(
    provider: Provider, make_app: MakeApp
) -> None:
    aliases = {"email": "https://provider.example/auth/email"}
    app = make_app(OAuth2Login(make_handler(provider, scope_aliases=aliases), scope="read"))
    add_guarded(app, "email")
    browser = Browser(app, provider)
    browser.sign_in()
    provider.granted_scope = f"read {aliases['email']}"
    browser.sign_in(browser.get("/guarded").location)
    assert browser.get("/guarded").text == "in"
    assert query_of(browser.begin())["scope"].split() == ["read", "email"]


@pytest.mark.security("D1")
@pytest.mark.parametrize("refreshable", [True, False])
@pytest.mark.parametrize("store", ["cookie", "sqlite"])
def test_a_refresh_token_proves_offline_access(
    provider: Provider, make_sso: MakeSSO, store: str, refreshable: bool
) -> None:
    provider.refreshable = refreshable
    provider.token_overrides = {"scope": "email"}
    app, _, browser = make_sso(
        store, scope="email offline_access", offline=store == "sqlite" and refreshable
    )
    add_guarded(app, "offline_access openid")
    browser.sign_in()
    assert browser.get("/guarded").status_code == (200 if refreshable else 403)


@pytest.mark.security("D1")
def test_no_other_scope_is_proven_by_a_refresh_token(provider: Provider, make_sso: MakeSSO) -> None:
    provider.token_overrides = {"scope": "email"}
    app, _, browser = make_sso(scope="email offline_access admin")
    add_guarded(app, "admin")
    browser.sign_in()
    assert browser.get("/guarded").status_code == 403
