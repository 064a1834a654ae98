"""A login whose name stays while the provider, or the client registered there, is another (C2)."""

from __future__ import annotations

import typing as t
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask, session

from flask_oauth2_login import LoginRequired, OAuth2, OAuth2Login, OpenIDConnect
from tests.conftest import MakeProvider
from tests.support.apps import STORES, add_views
from tests.support.assertions import is_signed_in, refreshes
from tests.support.provider import HANG, Browser, Provider
from tests.support.provider.browser import next_step

#: What is another afterwards.
Change = t.Literal["provider", "realm", "client"]

CHANGES = pytest.mark.parametrize("change", ["provider", "realm", "client"])
KINDS = pytest.mark.parametrize("kind", [OAuth2, OpenIDConnect])


def make_handler_of(kind: type[OAuth2], provider: Provider) -> OAuth2:
    """The client that is registered with a provider, in its realm."""
    if kind is OpenIDConnect:
        return OpenIDConnect(
            provider.client_id, provider.client_secret, provider.issuer, api_url=provider.api_url
        )
    return OAuth2(
        provider.client_id,
        provider.client_secret,
        provider.url,
        authorization_url=f"authorize?realm={provider.issuer_path}",
        token_url="token",
        revoke_url="revoke",
        userinfo_url="userinfo",
        api_url=provider.api_url,
    )


class Deployment:
    """One app on one folder, which is started anew with another provider."""

    def __init__(self, folder: Path, store: str, kind: type[OAuth2]) -> None:
        self._folder = folder
        self._store = f"sqlite:///{folder}/logins.db" if store == "sqlite" else store
        self._kind = kind
        self.browser: Browser | None = None

    def start(
        self, provider: Provider, config: dict[str, t.Any] | None = None, **options: t.Any
    ) -> tuple[Flask, OAuth2Login, Browser]:
        """The app, its login and the browser, which keeps its cookies."""
        app = Flask("the_app", instance_path=str(self._folder))
        app.config |= {"SECRET_KEY": "always the same", "TESTING": True, **(config or {})}
        handler = make_handler_of(self._kind, provider)
        login = OAuth2Login(handler, name="sso", store=self._store, **options)
        app.register_blueprint(login)
        add_views(app)

        @app.get("/cart")
        def cart() -> str:
            was = session.get("cart", "empty")
            session["cart"] = "full"
            return str(was)

        browser = Browser(app, provider)
        if self.browser is not None:
            browser.jar = self.browser.jar
        self.browser = browser
        return app, login, browser


class MakeAnother(t.Protocol):
    def __call__(self, change: Change) -> Provider: ...


@pytest.fixture
def make_another(provider: Provider, make_provider: MakeProvider) -> MakeAnother:
    """A function that makes a provider which differs from the first by one thing.

    A realm is another issuer, or authorization endpoint, at the same origin.
    """

    def make(change: Change) -> Provider:
        if change == "provider":
            return make_provider()
        if change == "client":
            provider.client_id, provider.client_secret = "another-client", "another-secret"
        else:
            provider.issuer_path = "/another"
        return provider

    return make


@pytest.mark.security("C2")
@KINDS
@STORES
@CHANGES
def test_who_signed_in_at_a_former_provider_is_nobody(
    provider: Provider,
    make_another: MakeAnother,
    tmp_path: Path,
    kind: type[OAuth2],
    store: str,
    change: Change,
) -> None:
    deployment = Deployment(tmp_path, store, kind)
    _, _, browser = deployment.start(provider)
    browser.sign_in()
    assert is_signed_in(browser)
    assert browser.get("/cart").text == "empty"
    assert browser.get("/cart").text == "full"
    provider.grants.expire_access()
    another = make_another(change)
    _, _, browser = deployment.start(another)
    assert browser.fetch("/call/x").status_code == 401
    assert not is_signed_in(browser)
    assert refreshes(provider) == refreshes(another) == 0, "the old token was sent nowhere"
    # Another person may have the same id there.
    assert browser.sign_in().status_code == 302
    assert is_signed_in(browser)
    assert browser.get("/cart").text == "empty", "what was somebody else's is gone"


@pytest.mark.security("C2")
@KINDS
@CHANGES
def test_a_former_providers_grant_is_sent_to_nobody(
    provider: Provider,
    make_another: MakeAnother,
    tmp_path: Path,
    kind: type[OAuth2],
    change: Change,
) -> None:
    deployment = Deployment(tmp_path, "sqlite", kind)
    app, login, browser = deployment.start(provider, offline=True)
    browser.sign_in()
    with app.app_context():
        assert login.session_for("sso::ada").get("x").ok
        assert login.client_session().get("x").ok
    provider.grants.expire_access()
    was, (issuer, client) = provider, (provider.issuer_path, provider.client_id)
    secret = provider.client_secret
    another = make_another(change)
    app, login, browser = deployment.start(another, offline=True)
    with app.app_context():
        with pytest.raises(LoginRequired):
            login.session_for("sso::ada")
        assert login.accounts("sso::ada") == []
        assert not login.unlink("sso::ada", "ada")
        assert login.client_session().get("x").ok
    assert browser.sign_in().status_code == 302
    with app.app_context():
        assert login.session_for("sso::ada").get("x").ok
    assert refreshes(provider) == refreshes(another) == 0
    # The former provider's rests untouched: whoever takes the change back has it again.
    was.issuer_path, was.client_id, was.client_secret = issuer, client, secret
    app, login, _ = deployment.start(was, offline=True)
    with app.app_context():
        assert login.session_for("sso::ada").get("x").ok
    assert refreshes(was) == 1


@pytest.mark.security("C2")
@KINDS
@pytest.mark.parametrize("samesite", ["Lax", "Strict"])
@CHANGES
def test_what_was_under_way_at_a_former_provider_comes_to_nothing(
    provider: Provider,
    make_another: MakeAnother,
    tmp_path: Path,
    kind: type[OAuth2],
    samesite: str,
    change: Change,
) -> None:
    deployment = Deployment(tmp_path, "cookie", kind)
    config = {"SESSION_COOKIE_SAMESITE": samesite}
    _, _, browser = deployment.start(provider, config)
    answer = provider.answer(browser.begin()).url
    if samesite == "Strict":
        # The answer has come home, and waits for the app's own page.
        answer = next_step(browser.get(answer, site="cross-site"))[0] or ""
        assert "/callback" in answer
    another = make_another(change)
    _, _, browser = deployment.start(another, config)
    codes = len(another.calls("/token", grant_type="authorization_code"))
    assert browser.get(answer, site="same-origin").status_code == 400
    assert len(another.calls("/token", grant_type="authorization_code")) == codes
    assert not is_signed_in(browser)


@pytest.mark.security("C2")
@CHANGES
def test_a_sign_out_that_goes_on_at_a_former_provider_leads_nowhere(
    provider: Provider, make_another: MakeAnother, tmp_path: Path, change: Change
) -> None:
    def state_of(browser: Browser) -> str:
        browser.sign_in()
        at_provider, _ = next_step(browser.post("/logout", {"next": "/cart"}))
        return parse_qs(urlsplit(at_provider or "").query)["state"][0]

    deployment = Deployment(tmp_path, "sqlite", OpenIDConnect)
    _, _, browser = deployment.start(provider)
    there = browser.get(f"/logout?state={state_of(browser)}", site="cross-site")
    assert next_step(there)[0] == "/cart", "the same provider sends back"
    state = state_of(browser)
    _, _, browser = deployment.start(make_another(change))
    assert next_step(browser.get(f"/logout?state={state}", site="cross-site"))[0] is None


@pytest.mark.security("C2")
@STORES
def test_the_same_provider_and_client_stay_who_they_are(
    provider: Provider, tmp_path: Path, store: str
) -> None:
    """Written in another way, or with another secret, that is."""
    deployment = Deployment(tmp_path, store, OAuth2)
    _, _, browser = deployment.start(provider)
    browser.sign_in()
    provider.client_secret = "a new secret"
    _, _, browser = deployment.start(provider)
    assert is_signed_in(browser)
    app = Flask("the_app", instance_path=str(tmp_path))
    app.config["SECRET_KEY"] = "always the same"
    handler = make_handler_of(OAuth2, provider)
    handler.site = f"{provider.url}/"
    handler.authorization_url = f"{provider.url}/authorize?realm="
    store = f"sqlite:///{tmp_path}/logins.db" if store == "sqlite" else store
    app.register_blueprint(OAuth2Login(handler, name="sso", store=store))
    add_views(app)
    again = Browser(app, provider)
    again.jar = browser.jar
    assert is_signed_in(again)


@pytest.mark.security("C2")
def test_a_handlers_site_may_change_while_people_are_signed_in(
    provider: Provider, tmp_path: Path, make_provider: MakeProvider
) -> None:
    app = Flask("the_app", instance_path=str(tmp_path))
    app.config |= {"SECRET_KEY": "a key", "TESTING": True}
    handler = OAuth2(
        provider.client_id, provider.client_secret, "", None, "authorize", "token",
        userinfo_url="userinfo", api_url="api",
    )  # fmt: skip
    app.register_blueprint(OAuth2Login(handler, name="shop"))
    add_views(app)
    other = make_provider()
    browsers = []
    for shop in (provider, other):
        handler.site = shop.url
        browser = Browser(app, shop)
        assert browser.sign_in().status_code == 302
        browsers.append(browser)
    assert all(map(is_signed_in, browsers))


@pytest.mark.security("C2")
def test_registration_asks_the_provider_nothing(provider: Provider, tmp_path: Path) -> None:
    provider.on("*", HANG)
    Deployment(tmp_path, "sqlite", OpenIDConnect).start(provider, offline=True)
    assert provider.requests == []
