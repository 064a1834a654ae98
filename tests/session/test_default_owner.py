"""`Identity.owner` where the app sets none: the key that stores and jobs use, everywhere."""

from __future__ import annotations

import contextlib
import typing as t
from pathlib import Path

import pytest
from flask import render_template_string

from flask_oauth2_login import (
    Identity,
    OAuth2,
    OAuth2Login,
    Token,
    current_identity,
    current_oauth_session,
    logged_in,
    logged_out,
    login_required,
    token_refreshed,
)
from tests.conftest import MakeApp, MakeSSO
from tests.support.apps import STORES, make_sessions_permanent
from tests.support.clock import Clock
from tests.support.provider import Browser, Provider
from tests.support.tenants import Tenants, add_tenant_views, make_login

ADA = "sso::ada"


@STORES
def test_it_is_there_wherever_an_app_sees_who_is_signed_in(
    make_sso: MakeSSO, provider: Provider, clock: Clock, store: str
) -> None:
    sso = make_sso(store, revalidate=900)
    make_sessions_permanent(sso.app)
    seen: dict[str, str | None] = {}

    @sso.login.on_login
    def on_login(identity: Identity, token: Token) -> None:
        # Until the app has set it, none is its own.
        seen["on_login"], seen["proxy in on_login"] = identity.owner, current_identity.owner

    @sso.login.on_logout
    def on_logout(identity: Identity) -> None:
        seen["on_logout"] = identity.owner

    def check(identity: Identity) -> bool:
        seen["check"] = identity.owner
        return True

    @sso.app.get("/all")
    @login_required(check=check)
    def view() -> list[t.Any]:
        before = current_identity.owner
        current_oauth_session.get("x")
        assert sso.login.identity is not None
        return [
            before,
            current_identity.owner,
            sso.login.identity.owner,
            current_identity.to_dict()["owner"],
            render_template_string("{{ current_identity.owner }}"),
        ]

    def note(name: str) -> t.Callable[..., None]:
        def receive(_sender: t.Any, identity: Identity, **_: t.Any) -> None:
            seen[name] = identity.owner

        return receive

    signals = {"logged_in": logged_in, "refreshed": token_refreshed, "logged_out": logged_out}
    with contextlib.ExitStack() as stack:
        for name, signal in signals.items():
            stack.enter_context(signal.connected_to(note(name), sso.app))
        sso.browser.sign_in()
        assert seen == {"on_login": None, "proxy in on_login": None, "logged_in": ADA}
        assert sso.browser.get("/all").json == [ADA] * 5
        provider.grants.expire_access()
        assert sso.browser.get("/all").json == [ADA] * 5
        assert seen.pop("refreshed") == ADA
        clock.ahead += 901
        assert sso.browser.get("/all").json == [ADA] * 5
        assert seen.pop("refreshed") == ADA
        sso.browser.post("/logout")
    assert (seen["check"], seen["on_logout"], seen["logged_out"]) == (ADA, ADA, ADA)


@pytest.mark.parametrize("offline", [False, True], ids=["login", "grant"])
def test_jobs_find_a_person_by_it(make_sso: MakeSSO, offline: bool) -> None:
    sso = make_sso(offline=offline)
    sso.browser.sign_in()
    owner = (sso.browser.get("/me").json or {})["owner"]
    assert owner == ADA
    with sso.app.app_context():
        assert sso.login.session_for(owner).get("x").json()["sub"] == "ada"
        assert [identity.owner for identity in sso.login.accounts(owner)] == [owner]
        assert sso.login.unlink(owner, "ada")
    assert sso.browser.fetch("/call/x").status_code == 401


def test_an_account_that_is_added_has_that_of_the_first(make_sso: MakeSSO) -> None:
    sso = make_sso()
    sso.browser.sign_in()
    path = sso.browser.link_path()
    sso.browser.finish(sso.browser.begin(path), person={"sub": "work", "name": "Ada at work"})
    assert (sso.browser.get("/me").json or {})["owner"] == ADA
    with sso.app.app_context():
        found = {(who.id, who.owner) for who in sso.login.accounts(ADA)}
    assert found == {("ada", ADA), ("work", ADA)}


def test_it_names_the_tenant(make_app: MakeApp, provider: Provider, tmp_path: Path) -> None:
    login = make_login(Tenants({"acme": provider}), store=f"sqlite:///{tmp_path}/logins.db")
    app = make_app(login)
    add_tenant_views(app)
    browser = Browser(app, provider)
    browser.sign_in("/acme/sso/login")
    assert (browser.get("/acme/me").json or {})["owner"] == "sso:acme:ada"
    with app.app_context():
        (account,) = login.accounts("sso:acme:ada", tenant="acme")
        assert account.owner == "sso:acme:ada"


def test_an_app_that_sets_its_own_has_that_alone(make_sso: MakeSSO) -> None:
    sso = make_sso()

    @sso.login.on_login
    def on_login(identity: Identity, token: Token) -> None:
        identity.owner = "user-7"

    sso.browser.sign_in()
    assert (sso.browser.get("/me").json or {})["owner"] == "user-7"
    with sso.app.app_context():
        assert sso.login.accounts(ADA) == []
        assert [who.owner for who in sso.login.accounts("user-7")] == ["user-7"]


@STORES
def test_nobody_has_one_where_the_provider_does_not_say_who_it_is(
    make_app: MakeApp, provider: Provider, tmp_path: Path, store: str
) -> None:
    handler = OAuth2(
        provider.client_id,
        provider.client_secret,
        provider.url,
        authorization_url="authorize",
        token_url="token",
    )
    where = f"sqlite:///{tmp_path}/logins.db" if store == "sqlite" else store
    app = make_app(OAuth2Login(handler, name="plain", store=where))
    browser = Browser(app, provider)
    browser.sign_in()
    answer = browser.get("/me").json or {}
    assert (answer["id"], answer["owner"]) == (None, None)
