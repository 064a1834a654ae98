"""Other extensions of Flask in the same app, each set up as its own documentation says."""

from __future__ import annotations

import re
import typing as t

import pytest
from flask import Flask, jsonify, render_template_string, request
from flask_babel import Babel
from flask_caching import Cache
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user
from flask_login import login_required as flask_login_required
from flask_sqlalchemy import SQLAlchemy
from flask_talisman import Talisman  # type: ignore[import-untyped]
from flask_wtf import CSRFProtect

from flask_oauth2_login import (
    Identity,
    OAuth2Login,
    SQLAlchemyStore,
    Token,
    current_identity,
    current_oauth_session,
    login_required,
)
from tests.conftest import MakeApp
from tests.support.apps import keep_sessions_on_the_server
from tests.support.assertions import is_signed_in
from tests.support.handlers import make_handler
from tests.support.provider import Browser, Provider


@pytest.fixture
def login(provider: Provider) -> OAuth2Login:
    return OAuth2Login(make_handler(provider))


class User(UserMixin):  # type: ignore[misc]
    def __init__(self, id: str) -> None:
        self.id = id


def test_flask_login(provider: Provider, login: OAuth2Login, make_app: MakeApp) -> None:
    app = make_app(login)
    manager = LoginManager(app)
    manager.user_loader(User)
    manager.login_view = "oauth2.login"

    @login.on_login
    def log_in(identity: Identity, _token: Token) -> None:
        identity.owner = f"user-{identity.id}"
        login_user(User(identity.owner), remember=True)

    @login.on_logout
    def log_out(_identity: Identity) -> None:
        logout_user()

    @app.get("/mine")
    @flask_login_required  # type: ignore[untyped-decorator]
    def mine() -> dict[str, t.Any]:
        repos = current_oauth_session.get("repos").json()
        return {"user": current_user.id, "owner": current_identity.owner, "sub": repos["sub"]}

    browser = Browser(app, provider)
    # Flask-Login's own redirect, with its own `next`.
    begun = browser.get("/mine")
    assert begun.location is not None
    assert begun.location.startswith("/login?next=%2Fmine")
    assert browser.sign_in(begun.location).location == "/mine"
    assert browser.get("/mine").json == {"user": "user-ada", "owner": "user-ada", "sub": "ada"}
    browser.post("/logout")
    assert browser.get("/mine").status_code == 302
    assert not is_signed_in(browser)


def test_flask_session(
    provider: Provider, login: OAuth2Login, make_app: MakeApp, tmp_path: t.Any
) -> None:
    app = make_app(login)
    keep_sessions_on_the_server(app, tmp_path)
    browser = Browser(app, provider)
    browser.sign_in()
    assert is_signed_in(browser)
    browser.post("/logout")
    assert not is_signed_in(browser)


def test_flask_sqlalchemy(provider: Provider, make_app: MakeApp) -> None:
    db = SQLAlchemy()
    login = OAuth2Login(make_handler(provider), store=SQLAlchemyStore(db))
    app = make_app(SQLALCHEMY_DATABASE_URI="sqlite:///app.db")
    db.init_app(app)
    app.register_blueprint(login)
    with app.app_context():
        db.create_all()
    browser = Browser(app, provider)
    browser.sign_in()
    assert is_signed_in(browser)
    with app.app_context():
        db.engine.dispose()


def test_flask_wtf(provider: Provider, login: OAuth2Login, make_app: MakeApp) -> None:
    app = make_app(login)
    CSRFProtect(app)

    @app.post("/write")
    @login_required
    def write() -> str:
        return "written"

    browser = Browser(app, provider)
    browser.sign_in()
    # The app's own forms need the token, and ours have their own checks.
    assert browser.post("/write").status_code == 400
    assert browser.post("/logout").status_code < 400
    assert not is_signed_in(browser)


def test_flask_talisman(provider: Provider, login: OAuth2Login, make_app: MakeApp) -> None:
    app = make_app(login, OAUTH2_LOGIN_CONTENT_SECURITY_POLICY=None)
    # Over plain http, as the test client speaks it.
    Talisman(
        app,
        force_https=False,
        session_cookie_secure=False,
        content_security_policy_nonce_in=["default-src"],
    )
    browser = Browser(app, provider)
    browser.sign_in()
    assert is_signed_in(browser)
    page = browser.get("/logout")
    # Its policy is that of the app, and allows our stylesheet.
    found = re.search(
        r"default-src 'self' 'nonce-([^']+)'", page.headers["Content-Security-Policy"]
    )
    assert found is not None
    assert f'<style nonce="{found[1]}">' in page.text
    browser.post("/logout")
    assert not is_signed_in(browser)


def test_flask_limiter(provider: Provider, login: OAuth2Login, make_app: MakeApp) -> None:
    app = make_app(login)
    limiter = Limiter(get_remote_address, app=app, storage_uri="memory://")
    limiter.limit("3 per hour")(login)

    @app.get("/costly")
    @login_required
    @limiter.limit("1 per hour", key_func=lambda: current_identity.id or "")
    def costly() -> str:
        return "done"

    browser = Browser(app, provider)
    browser.sign_in()
    assert browser.get("/costly").text == "done"
    assert browser.get("/costly").status_code == 429
    eve = Browser(app, provider)
    for _ in range(2):
        assert eve.get("/login").status_code == 302
    assert eve.get("/login").status_code == 429


def test_flask_caching(provider: Provider, login: OAuth2Login, make_app: MakeApp) -> None:
    app = make_app(login)
    cache = Cache(app, config={"CACHE_TYPE": "SimpleCache"})

    @app.get("/cached")
    @login_required
    @cache.cached(make_cache_key=lambda: f"repos:{current_identity.id}")
    def cached() -> t.Any:
        return jsonify(current_oauth_session.get("repos").json()["sub"])

    ada, eve = Browser(app, provider), Browser(app, provider)
    ada.sign_in()
    eve.sign_in(person={"sub": "eve"})
    for _ in range(2):
        assert ada.get("/cached").json == "ada"
        assert eve.get("/cached").json == "eve"
    assert len(provider.calls("/api/repos")) == 2
    # What is cached is behind the guard.
    assert Browser(app, provider).get("/cached").status_code == 302


def test_flask_babel(provider: Provider, login: OAuth2Login, make_app: MakeApp) -> None:
    app = make_app(login)
    Babel(app, locale_selector=lambda: request.accept_languages.best_match(["en", "de"]))
    browser = Browser(app, provider)
    browser.sign_in()
    page = browser.get("/logout", headers={"Accept-Language": "de"})
    assert '<html lang="de"' in page.text
    assert "Abmelden" in page.text
    assert "Sign out" in browser.get("/logout", headers={"Accept-Language": "en"}).text


def test_an_htmx_caller_and_a_script(
    provider: Provider, login: OAuth2Login, make_app: MakeApp
) -> None:
    app = make_app(login)
    browser = Browser(app, provider)
    htmx = {"HX-Request": "true", "HX-Current-URL": "http://localhost/page?tab=2"}
    answer = browser.fetch("/me", headers=htmx)
    assert answer.headers["HX-Redirect"] == "/login?next=/page?tab%3D2"
    answer = browser.fetch("/me")
    assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")
    browser.sign_in()
    assert browser.fetch("/me", headers=htmx).status_code == 200
    assert browser.fetch("/me").json["id"] == "ada"  # type: ignore[index]


def test_async_views(provider: Provider, login: OAuth2Login, make_app: MakeApp) -> None:
    app = make_app(login)

    @app.get("/async")
    @login_required
    async def asynchronous() -> t.Any:
        return current_oauth_session.get("repos").json()

    browser = Browser(app, provider)
    assert browser.get("/async").status_code == 302
    browser.sign_in()
    assert browser.get("/async").json["sub"] == "ada"  # type: ignore[index]


def test_templates_of_the_app(provider: Provider, login: OAuth2Login, make_app: MakeApp) -> None:
    app = make_app(login)

    @app.get("/page")
    def page() -> str:
        return render_template_string(
            "{% if current_identity %}{{ current_identity.name }} {{ logout_button() }}"
            "{% else %}{{ login_url(next=request.path) }}{% endif %}"
        )

    browser = Browser(app, provider)
    assert browser.get("/page").text == "/login?next=/page"
    browser.sign_in()
    assert "Ada" in browser.get("/page").text


def test_the_app_s_own_error_handler(
    provider: Provider, login: OAuth2Login, make_app: MakeApp
) -> None:
    app: Flask = make_app(login)
    app.register_error_handler(404, lambda _error: ("Nothing here.", 404))
    app.register_error_handler(400, lambda _error: (f"No: {request.path}", 400))
    browser = Browser(app, provider)
    browser.sign_in()
    assert browser.get("/nowhere").text == "Nothing here."
    assert is_signed_in(browser)
