"""The session after a sign-in: what stays, what goes, and what `on_login` decides."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from flask import Flask, abort, session
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user
from flask_sqlalchemy import SQLAlchemy

from flask_oauth2_login import (
    ConfigurationError,
    Identity,
    OAuth2Login,
    SQLAlchemyStore,
    StoreError,
    Token,
    current_identity,
    current_oauth_session,
    login_url,
)
from tests.conftest import SSO, MakeApp, MakeSSO
from tests.support.apps import EVE, STORES, accounts, add_cart, own
from tests.support.assertions import is_signed_in
from tests.support.handlers import make_handler, make_openid_login
from tests.support.provider import Browser, Provider

NAMES = ("one", "two")

ADA = {"one": "ada", "two": None, "user": "ada", "cart": ["book"]}

ADA_TWICE = {**ADA, "two": "ada"}

BOB = {"one": "bob", "two": None, "user": "bob", "cart": None}

NOBODY = {"one": None, "two": None, "user": None, "cart": None}


class FragileStore:
    """A store of the app's own, over another one, that is away at one of its calls."""

    def __init__(self, folder: Path) -> None:
        self._store = SQLAlchemyStore(f"sqlite:///{folder}/logins.db")
        self._store.create_tables()
        self._left: int | None = None
        self._lasts = self._takes_effect = False

    def fail(self, at: int | None, *, lasts: bool = False, takes_effect: bool = False) -> None:
        """Fail at the call of this number, counted from now; None never.

        :param lasts: at each call from then on, too.
        :param takes_effect: the call does what it should, and the answer to it is lost.
        """
        self._left, self._lasts, self._takes_effect = at, lasts, takes_effect

    @property
    def has_failed(self) -> bool:
        return self._left is not None and self._left <= 0

    def __getattr__(self, name: str) -> t.Any:
        method = getattr(self._store, name)

        def call(*args: t.Any, **kwargs: t.Any) -> t.Any:
            if self._left is not None:
                self._left -= 1
                if self._left == 0 or (self._left < 0 and self._lasts):
                    if self._takes_effect:
                        method(*args, **kwargs)
                    raise StoreError("The store is away.")
            return method(*args, **kwargs)

        return call


class Site:
    """An app with two logins over one store, and what a browser of it is."""

    def __init__(self, provider: Provider, make_app: MakeApp, folder: Path) -> None:
        self.provider = provider
        self.store = FragileStore(folder)
        self.logins = [
            OAuth2Login(make_handler(provider), name=name, store=self.store) for name in NAMES
        ]
        self.app = make_app(*self.logins)
        add_cart(self.app)
        self.app.add_url_rule("/who", view_func=self.who)

        for login in self.logins:
            login.on_login(lambda identity, _token: session.update(user=identity.id))
            login.on_logout(lambda _identity: session.pop("user"))

    def who(self) -> dict[str, t.Any]:
        ids = {login.name: login.identity and login.identity.id for login in self.logins}
        return {**ids, "user": session.get("user"), "cart": session.get("cart")}

    def has_record(self, id: str) -> bool:
        """Whether a record of somebody lives, at the login "one"."""
        with self.app.app_context():
            return bool(self.logins[0].accounts(f"one::{id}"))

    def browser(self, *logins: str) -> Browser:
        """A browser in which Ada is signed in at these logins."""
        browser = Browser(self.app, self.provider)
        for name in logins:
            browser.sign_in(f"/{name}/login", person={"sub": "ada"})
        browser.get("/cart/book")
        return browser


@pytest.fixture
def site(provider: Provider, make_app: MakeApp, tmp_path: Path) -> Site:
    return Site(provider, make_app, tmp_path)


def look(browser: Browser) -> t.Any:
    return browser.get("/who").get_json()


@pytest.mark.security("A10")
@pytest.mark.parametrize("lasts", [False, True])
def test_while_the_store_fails_one_is_still_who_one_was(site: Site, lasts: bool) -> None:
    failures = 0
    for number in range(1, 30):
        browser = site.browser("one")
        url = browser.begin("/one/login")
        site.store.fail(number, lasts=lasts)
        answer = browser.finish(url, person={"sub": "bob"})
        failed = site.store.has_failed
        site.store.fail(None)
        if not failed:
            assert answer.status_code == 302
            assert look(browser) == BOB
            break
        failures += 1
        # To look whether the session was displaced meanwhile is no step, and needs no answer.
        assert (answer.status_code, look(browser)) in [(503, ADA), (302, BOB)]
        if answer.status_code == 503 and not lasts:
            assert not site.has_record("bob")
        # And whoever it is can sign out, and somebody can sign in.
        assert browser.post("/one/logout").status_code == 303
        assert look(browser) == NOBODY
        browser.sign_in("/one/login", person={"sub": "bob"})
        assert look(browser) == BOB
        browser.post("/one/logout")
    assert failures >= 4
    assert number == failures + 1


@pytest.mark.security("A10")
@pytest.mark.parametrize("takes_effect", [False, True])
def test_of_several_logins_too_it_is_one_person_or_the_other(
    site: Site, takes_effect: bool
) -> None:
    seen = []
    for number in range(1, 30):
        browser = site.browser("one", "two")
        assert look(browser) == ADA_TWICE
        url = browser.begin("/one/login")
        site.store.fail(number, takes_effect=takes_effect)
        answer = browser.finish(url, person={"sub": "bob"})
        failed = site.store.has_failed
        site.store.fail(None)
        now = look(browser)
        if answer.status_code == 302:
            assert now == BOB
        else:
            assert answer.status_code == 503
            seen.append(now)
            # Where the answer to the first deletion is lost, that login has ended.
            ended = {**ADA_TWICE, "one": None} if takes_effect else ADA_TWICE
            other = {**ADA_TWICE, "two": None} if takes_effect else ADA_TWICE
            assert now in (ADA_TWICE, ended, other)
        if not failed:
            break
    assert len(seen) >= 4
    assert ADA_TWICE in seen


@pytest.mark.security("A10")
def test_a_session_on_the_server_that_gets_no_new_id_is_still_ones_own(
    site: Site, tmp_path: Path
) -> None:
    from cachelib import FileSystemCache
    from flask_session import Session

    class FragileCache(FileSystemCache):
        fails = False

        def delete(self, key: str, mgmt_element: bool = False) -> bool:
            if self.fails:
                raise OSError("The cache is away.")
            return super().delete(key, mgmt_element)

    cache = FragileCache(str(tmp_path / "sessions"))
    site.app.config |= {"SESSION_TYPE": "cachelib", "SESSION_CACHELIB": cache}
    Session(site.app)
    site.app.config["PROPAGATE_EXCEPTIONS"] = False
    browser = site.browser("one", "two")
    url = browser.begin("/one/login")
    cache.fails = True
    assert browser.finish(url, person={"sub": "bob"}).status_code == 500
    cache.fails = False
    assert look(browser) == ADA_TWICE
    assert not site.has_record("bob")
    browser.sign_in("/one/login", person={"sub": "bob"})
    assert look(browser) == BOB


@pytest.mark.security("D3")
@pytest.mark.parametrize("lasts", [False, True])
@pytest.mark.parametrize("takes_effect", [False, True])
def test_while_the_store_fails_a_login_has_ended_or_can_be_ended(
    site: Site, lasts: bool, takes_effect: bool
) -> None:
    failures = 0
    for number in range(1, 30):
        browser = site.browser("one")
        copy = Browser(site.app)
        copy.jar = browser.jar.copy()
        site.store.fail(number, lasts=lasts, takes_effect=takes_effect)
        answer = browser.post("/one/logout")
        failed = site.store.has_failed
        site.store.fail(None)
        if answer.status_code == 503:
            failures += 1
            if not takes_effect:
                assert look(browser) == ADA
            assert look(browser)["one"] == look(copy)["one"]
            answer = browser.post("/one/logout")
        assert answer.status_code == 303
        assert look(browser) == NOBODY
        assert look(copy)["one"] is None
        if not failed:
            break
    assert failures >= 2


@pytest.mark.security("D3")
def test_of_several_logins_those_that_could_not_be_ended_stay(site: Site) -> None:
    seen = []
    for number in range(1, 30):
        browser = site.browser("one", "two")
        copy = Browser(site.app)
        copy.jar = browser.jar.copy()
        site.store.fail(number)
        answer = browser.post("/one/logout", {"every": "1"})
        failed = site.store.has_failed
        site.store.fail(None)
        now, there = look(browser), look(copy)
        assert [now[name] for name in NAMES] == [there[name] for name in NAMES]
        if answer.status_code == 503:
            seen.append([now[name] for name in NAMES])
            assert now["user"] == "ada"
            assert browser.post("/one/logout", {"every": "1"}).status_code == 303
        assert look(browser) == NOBODY
        assert [look(copy)[name] for name in NAMES] == [None, None]
        if not failed:
            break
    assert ["ada", "ada"] in seen
    assert ["ada", None] in seen
    assert [None, "ada"] in seen


@pytest.mark.security("D3")
def test_a_store_that_is_away_keeps_no_other_login_from_ending(
    provider: Provider, make_app: MakeApp, tmp_path: Path
) -> None:
    store = FragileStore(tmp_path)
    one = OAuth2Login(make_handler(provider), name="one", store=store)
    two = OAuth2Login(make_handler(provider), name="two")
    app = make_app(one, two)
    browser = Browser(app, provider)
    browser.sign_in("/one/login")
    browser.sign_in("/two/login")
    ended: list[str | None] = []
    two.on_logout(lambda identity: ended.append(identity.id))
    # Reading works once more; what follows does not.
    store.fail(2, lasts=True)
    assert browser.post("/two/logout").status_code == 303
    store.fail(None)
    assert ended == ["ada"]
    assert (browser.get("/me").get_json() or {})["provider"] == "one"


@pytest.mark.security("A10")
def test_a_hook_of_the_app_that_fails_leaves_no_record(site: Site) -> None:
    browser = site.browser("one")

    @site.logins[0].on_login
    def refuse(identity: Identity, _token: object) -> None:
        if identity.id == "bob":
            raise StoreError("A store of the app's own is away.")

    assert browser.sign_in("/one/login", person={"sub": "bob"}).status_code == 503
    assert look(browser) == ADA
    assert not site.has_record("bob")


@pytest.mark.security("A10")
def test_what_the_browser_keeps_itself_is_not_replaced_either(
    provider: Provider, make_app: MakeApp, tmp_path: Path
) -> None:
    store = FragileStore(tmp_path)
    one = OAuth2Login(make_handler(provider), name="one", store=store)
    two = OAuth2Login(make_handler(provider), name="two")
    browser = Browser(make_app(one, two), provider)
    browser.sign_in("/one/login")
    browser.sign_in("/two/login")
    url, before = browser.begin("/two/login"), browser.cookie("oauth2_login_two")
    # Reading works once more; what follows does not.
    store.fail(2, lasts=True)
    assert browser.finish(url, person={"sub": "bob"}).status_code == 503
    store.fail(None)
    assert browser.cookie("oauth2_login_two") == before
    assert (browser.get("/me").get_json() or {})["id"] == "ada"


@pytest.mark.security("A10")
def test_a_form_token_of_another_name_goes_too(provider: Provider, make_app: MakeApp) -> None:
    from flask_wtf import CSRFProtect
    from flask_wtf.csrf import generate_csrf

    app = make_app(OAuth2Login(make_handler(provider)), WTF_CSRF_FIELD_NAME="form_token")
    CSRFProtect(app)
    app.add_url_rule("/form", "form", generate_csrf)
    app.add_url_rule("/session", "session", lambda: sorted(session))
    browser = Browser(app, provider)
    browser.get("/form")
    assert browser.get("/session").get_json() == ["form_token"]
    browser.sign_in()
    assert browser.get("/session").get_json() == ["_oauth2"]


@pytest.mark.security("C5")
@STORES
def test_in_on_login_who_signs_in_is_there_and_nobody_else(make_sso: MakeSSO, store: str) -> None:
    _, login, browser = make_sso(store)
    seen = []

    @login.on_login
    def look(_identity: Identity, token: Token) -> None:
        whose = {current_identity.id, login.identity.id if login.identity else None}
        whose |= {each.get("x").json()["sub"] for each in (login.session, current_oauth_session)}
        seen.append((whose, login.token == token))

    browser.sign_in()
    browser.sign_in(person=EVE)
    assert seen == [({"ada"}, True), ({"eve"}, True)]
    assert browser.fetch("/call/x").get_json()["sub"] == "eve"


@pytest.mark.security("C5")
def test_in_on_login_a_second_login_is_the_current_one(
    provider: Provider, make_app: MakeApp
) -> None:
    one, two = (OAuth2Login(make_handler(provider), name=name) for name in ("one", "two"))
    browser = Browser(make_app(one, two), provider)
    seen = []
    two.on_login(lambda *_: seen.append((current_identity.provider, current_identity.id)))
    browser.sign_in("/one/login")
    browser.sign_in("/two/login", person=EVE)
    assert seen == [("two", "eve")]


def test_who_is_missing_in_on_login_sends_nobody_in_circles(
    provider: Provider, make_app: MakeApp
) -> None:
    one, two = (OAuth2Login(make_handler(provider), name=name) for name in ("one", "two"))
    browser = Browser(make_app(one, two), provider)
    two.on_login(lambda *_: one.session.get("x"))
    response = browser.sign_in("/two/login")
    assert response.status_code == 400
    assert "Location" not in response.headers
    assert not is_signed_in(browser)


def test_an_account_is_linked_to_nobody_who_has_signed_out(sso: SSO) -> None:
    app, login, browser = sso.app, sso.login, sso.browser
    login.on_login(own)
    browser.sign_in()
    url = browser.begin(browser.link_path())
    browser.post("/logout")
    response = browser.finish(url, person=EVE)
    assert response.status_code == 400
    assert "Location" not in response.headers
    assert not is_signed_in(browser)
    assert accounts(app, login, "user-ada") == accounts(app, login, "user-eve") == []


@pytest.mark.security("A10")
@pytest.mark.parametrize("again", ["ada", "eve"])
def test_signing_in_once_more_as_either_of_ones_accounts_keeps_both(
    provider: Provider, sso: SSO, again: str
) -> None:
    app, login, browser = sso.app, sso.login, sso.browser
    login.on_login(lambda identity, _token: setattr(identity, "owner", "user-ada"))
    browser.sign_in()
    browser.sign_in(browser.link_path(), person=EVE)
    browser.sign_in(person=EVE if again == "eve" else None)
    assert sorted(map(str, accounts(app, login, "user-ada"))) == ["ada", "eve"]
    assert (browser.get("/me").get_json() or {})["id"] == again
    browser.post("/logout")
    assert accounts(app, login, "user-ada") == []


def test_linking_where_records_rest_in_browsers_is_told_to_the_developer(
    make_sso: MakeSSO,
) -> None:
    app, _, browser = make_sso("cookie")
    browser.sign_in()
    assert browser.get("/login?link=1").status_code == 400, "a stranger's link is no 500"
    with app.test_request_context(), pytest.raises(ConfigurationError, match="sqlite"):
        login_url(link=True)


@pytest.mark.security("A10")
def test_ones_own_session_is_kept_and_somebody_elses_cleared(app: Flask, browser: Browser) -> None:
    add_cart(app)
    browser.get("/cart/book")
    browser.sign_in()
    assert browser.get("/cart/pen").get_json() == ["book", "pen"]
    browser.sign_in()
    assert browser.get("/cart/cup").get_json() == ["book", "pen", "cup"]
    browser.sign_in(person={"sub": "bob"})
    assert browser.get("/cart/hat").get_json() == ["hat"]


@pytest.mark.security("A10")
def test_the_fingerprint_outlives_the_login(app: Flask, provider: Provider) -> None:
    add_cart(app)
    browser = Browser(app, provider)
    browser.sign_in()
    browser.get("/cart/book")
    provider.grants.revoke_all()
    provider.grants.expire_access()
    assert browser.fetch("/call/x").status_code == 401
    browser.sign_in(person={"sub": "bob"})
    assert browser.get("/cart/hat").get_json() == ["hat"]


@pytest.mark.security("A10")
def test_tokens_made_for_the_session_before_go(app: Flask, browser: Browser) -> None:
    add_cart(app)
    browser.get("/cart/book")
    browser.sign_in()
    assert browser.get("/session").get_json() == ["_oauth2", "cart"]


@pytest.mark.security("A10")
def test_nobody_can_say_who_clears(provider: Provider, make_app: MakeApp) -> None:
    app = make_app(OAuth2Login(make_handler(provider, userinfo_url=None)))
    add_cart(app)
    browser = Browser(app, provider)
    browser.sign_in()
    browser.get("/cart/book")
    browser.sign_in()
    assert browser.get("/cart/hat").get_json() == ["hat"]


@pytest.mark.security("A10")
def test_another_owner_clears_but_what_the_hook_wrote_stays(app: Flask, browser: Browser) -> None:
    add_cart(app)
    login = t.cast(OAuth2Login, app.blueprints["oauth2"])

    @login.on_login
    def note(identity: Identity, _token: Token) -> None:
        identity.owner = str(identity.id)
        session["user"] = identity.id

    browser.sign_in()
    browser.get("/cart/book")
    browser.sign_in(person={"sub": "bob"})
    assert browser.get("/session").get_json() == ["_oauth2", "user"]


@pytest.mark.security("A10")
def test_refused_by_on_login_nothing_has_happened(app: Flask, browser: Browser) -> None:
    add_cart(app)
    login = t.cast(OAuth2Login, app.blueprints["oauth2"])

    @login.on_login
    def refuse(identity: Identity, _token: Token) -> None:
        session["planted"] = True
        if identity.id == "mallory":
            abort(403)

    browser.sign_in()
    browser.get("/cart/book")
    before = browser.get("/session").get_json()
    assert browser.sign_in(person={"sub": "mallory"}).status_code == 403
    assert browser.get("/session").get_json() == before
    assert (browser.get("/me").get_json() or {})["id"] == "ada"


def test_on_login_with_flask_login_and_flask_sqlalchemy(
    provider: Provider, sso: SSO, tmp_path: Path
) -> None:
    app, login, browser = sso.app, sso.login, sso.browser
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path}/app.db"
    db = SQLAlchemy(app)

    class User(UserMixin, db.Model):  # type: ignore[name-defined, misc]
        id = db.mapped_column(db.Integer, primary_key=True)
        account = db.mapped_column(db.String, unique=True)
        name = db.mapped_column(db.String)

    manager = LoginManager(app)
    manager.user_loader(lambda id: db.session.get(User, int(id)))

    @login.on_login
    def find_or_create(identity: Identity, _token: Token) -> None:
        account = f"{identity.provider}:{identity.tenant}:{identity.id}"
        user = db.session.execute(db.select(User).filter_by(account=account)).scalar()
        if user is None:
            if identity.name == "Mallory":
                abort(403)
            user = User(account=account, name=identity.name)
            db.session.add(user)
            db.session.commit()
        identity.owner = str(user.id)
        login_user(user, remember=True)

    @login.on_logout
    def forget(_identity: Identity) -> None:
        logout_user()

    @app.get("/whoami")
    def whoami() -> t.Any:
        return [current_user.is_authenticated and current_user.name]

    with app.app_context():
        db.create_all()
    browser.sign_in()
    assert browser.get("/whoami").get_json() == ["Ada Lovelace"]
    refused = browser.sign_in(person={"sub": "mallory", "name": "Mallory"})
    assert refused.status_code == 403
    assert browser.get("/whoami").get_json() == ["Ada Lovelace"]
    browser.post("/logout")
    assert browser.get("/whoami").get_json() == [False]
    with app.app_context():
        assert db.session.query(User).count() == 1
        db.session.remove()
        db.engine.dispose()


@pytest.mark.security("A10")
def test_another_owner_at_another_login_finds_nothing_of_the_one_before(
    provider: Provider, make_app: MakeApp
) -> None:
    one, two = (make_openid_login(provider, name) for name in ("one", "two"))
    app = make_app(one, two)
    add_cart(app)
    for login in (one, two):

        @login.on_login
        def name_owner(identity: Identity, _token: Token) -> None:
            identity.owner = str(identity.email)
            session["welcome"] = identity.owner

    browser = Browser(app, provider)
    browser.sign_in("/one/login")
    browser.get("/cart/book")
    browser.sign_in("/two/login")
    assert browser.get("/cart/pen").get_json() == ["book", "pen"], "it is the same owner"
    browser.sign_in("/two/login", person={"email": "eve@example.com"})
    assert browser.get("/cart/hat").get_json() == ["hat"]


@pytest.mark.security("A10")
def test_an_account_that_went_to_another_owner_finds_nothing_of_the_one_before(
    provider: Provider, make_app: MakeApp
) -> None:
    login, owners = make_openid_login(provider), iter(["first", "second"])
    app = make_app(login)
    add_cart(app)

    @login.on_login
    def name_owner(identity: Identity, _token: Token) -> None:
        identity.owner = session["welcome"] = next(owners)

    @app.get("/welcome")
    def welcome() -> str:
        return str(session["welcome"])

    browser = Browser(app, provider)
    browser.sign_in()
    browser.get("/cart/book")
    browser.sign_in()
    assert browser.get("/cart/hat").get_json() == ["hat"]
    assert browser.get("/welcome").text == "second", "what the hook has written is the new owner's"
