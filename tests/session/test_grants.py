"""Names under which records, grants and notes rest (C10), and the owners of accounts."""

from __future__ import annotations

import base64
import hashlib
import sqlite3
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import flask_login
import pytest
from flask import Flask, abort, session
from flask_login import LoginManager, UserMixin, login_user, logout_user
from flask_sqlalchemy import SQLAlchemy

from flask_oauth2_login import (
    ConfigurationError,
    Identity,
    LoginRequired,
    OAuth2,
    OAuth2Login,
    OpenIDConnect,
    SQLAlchemyStore,
    Token,
    current_identity,
    logged_in,
    login_required,
    login_url,
)
from flask_oauth2_login.stores.sealing import Sealer
from tests.conftest import MakeSSO
from tests.support import ROOT
from tests.support.apps import EVE, STORES, add_views, own
from tests.support.assertions import is_signed_in
from tests.support.clock import Clock
from tests.support.handlers import make_handler
from tests.support.provider import Browser, Provider


class MakeSite(t.Protocol):
    """Start an app with one login, on the same folder and store as those before it."""

    def __call__(
        self,
        key: str = "a key",
        *,
        handler: OAuth2 | None = None,
        store: str = "sqlite",
        config: dict[str, t.Any] | None = None,
        **login: t.Any,
    ) -> tuple[Flask, OAuth2Login]: ...


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """The file of the SQLite store."""
    return tmp_path / "logins.db"


@pytest.fixture
def make_site(provider: Provider, tmp_path: Path, database: Path) -> MakeSite:
    def make(
        key: str = "a key",
        *,
        handler: OAuth2 | None = None,
        store: str = "sqlite",
        config: dict[str, t.Any] | None = None,
        **login: t.Any,
    ) -> tuple[Flask, OAuth2Login]:
        app = Flask("the_app", instance_path=str(tmp_path))
        app.config |= {"SECRET_KEY": key, "TESTING": True, **(config or {})}
        where = f"sqlite:///{database}" if store == "sqlite" else store
        blueprint = OAuth2Login(
            handler or make_handler(provider, revoke_url="revoke"), store=where, **login
        )
        app.register_blueprint(blueprint)
        add_views(app)
        return app, blueprint

    return make


def sign_in(app: Flask, provider: Provider, id: str = "ada") -> Browser:
    """A new browser, in which somebody has signed in."""
    browser = Browser(app, provider)
    response = browser.sign_in(person={"sub": id, "name": id})
    assert response.status_code == 302, response.text
    return browser


def called_for(app: Flask, login: OAuth2Login, owner: t.Any, account: str | None = None) -> str:
    """Whose token a job sends."""
    with app.app_context():
        return str(login.session_for(owner, account).get("x").json()["sub"])


def rest(path: Path) -> set[str]:
    """Every text of every table of a store's file."""
    texts = set()
    with sqlite3.connect(path) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
            for row in connection.execute(f"SELECT * FROM {table}"):  # noqa: S608
                texts |= {value for value in row if isinstance(value, str)}
    connection.close()
    return texts


@pytest.mark.security("C10")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("bob:eu-west-1", "7"), ("bob", "eu-west-1:7")),
        (("a", ":b"), ("a:", "b")),
        (("1", "23"), ("12", "3")),
        (("7", "x y"), ("7 x", "y")),
        (("1:a", "2"), ("1", "a2")),
    ],
)
def test_no_two_owners_and_accounts_share_a_grant(
    provider: Provider, make_site: MakeSite, first: tuple[str, str], second: tuple[str, str]
) -> None:
    app, login = make_site(offline=True)
    owners = {account: owner for owner, account in (first, second)}

    @login.on_login
    def own(identity: Identity, _token: Token) -> None:
        identity.owner = owners[str(identity.id)]

    for _, account in (first, second):
        sign_in(app, provider, account)
    for owner, account in (first, second):
        assert called_for(app, login, owner) == account
    with app.app_context():
        assert login.unlink(*second)
    assert called_for(app, login, first[0]) == first[1], "another's unlinking has not ended it"


@pytest.mark.security("C10")
def test_no_two_lists_of_parts_share_a_name_or_a_seal() -> None:
    sealer = Sealer(lambda: ("a secret",))
    names = [
        ("bob:eu-west-1", "7"),
        ("bob", "eu-west-1:7"),
        ("bob", "", "eu-west-1:7"),
        ("b", "ob"),
    ]
    assert len({sealer.keyed_hash("grant", *parts) for parts in names}) == len(names)
    assert sealer.keyed_hash("ab", "c") != sealer.keyed_hash("a", "bc")
    # Two contexts that are alike when their lengths are left out.
    sealed = sealer.seal(["value"], "record", "a:b", "c")
    assert sealer.open(sealed, "record", "a:b", "c") == ["value"]
    assert sealer.open(sealed, "record", "a", "b:c") is None
    assert sealer.open(sealed, "recorda:b", "c") is None


@pytest.mark.security("C10")
def test_a_record_in_another_records_row_opens_nothing(
    provider: Provider, make_site: MakeSite, database: Path
) -> None:
    """Somebody who can write to the table puts what is sealed for one person in another's place."""
    app, _ = make_site("one key")
    ada, bob = sign_in(app, provider), sign_in(app, provider, "bob")
    with sqlite3.connect(database) as connection:
        table = "oauth2_login_records"
        rows = connection.execute(f"SELECT id, sealed FROM {table}").fetchall()  # noqa: S608
        (one, ones), (two, twos) = rows
        for id, sealed in ((one, twos), (two, ones)):
            update = f"UPDATE {table} SET sealed = ? WHERE id = ?"  # noqa: S608
            connection.execute(update, (sealed, id))
    connection.close()
    assert not is_signed_in(ada)
    assert not is_signed_in(bob)


def unkeyed_names(*parts: str) -> set[str]:
    """What a grant was called before its name was keyed."""
    digest = hashlib.sha256(":".join(parts).encode()).digest()
    return {base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), digest.hex()}


@pytest.mark.security("C10")
def test_a_mark_that_names_a_grant_opens_nothing(
    provider: Provider, make_site: MakeSite, database: Path
) -> None:
    """Whoever has the session's key alone, and even the table, is nobody."""
    config = {"OAUTH2_LOGIN_ENCRYPTION_KEY": "another key, which seals"}
    app, login = make_site(config=config, offline=True)
    login.on_login(lambda identity, _token: setattr(identity, "owner", "42"))
    victim = sign_in(app, provider)
    assert called_for(app, login, "42") == "ada"
    signer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
    cookie = victim.cookie("session")
    assert cookie is not None
    marks = signer.loads(cookie.value)["_oauth2"]

    def call_with(marks: t.Any) -> int:
        forger = app.test_client()
        forger.set_cookie("session", signer.dumps({"_oauth2": marks}))
        return forger.get("/call/x").status_code

    assert call_with(marks) == 200, "this is how a mark is forged"
    names = {name for name in rest(database) if len(name) <= 64}
    names |= unkeyed_names("oauth2", "42", "ada")
    for id in names | {f"grant:{name}" for name in names}:
        marks[1][1] = id
        assert call_with(marks) == 401, id
    assert is_signed_in(victim)


@pytest.mark.security("C10")
def test_a_mark_opens_no_record_of_another_login(
    provider: Provider, tmp_path: Path, database: Path
) -> None:
    app = Flask("the_app", instance_path=str(tmp_path))
    app.config |= {"SECRET_KEY": "a key", "OAUTH2_LOGIN_ENCRYPTION_KEY": "another"}
    for name in ("low", "high"):
        blueprint = OAuth2Login(
            make_handler(provider, revoke_url="revoke"),
            name=name,
            store=f"sqlite:///{database}",
            url_prefix=f"/{name}",
        )
        app.register_blueprint(blueprint)
    high = login_required("high")(lambda: "let in")
    app.add_url_rule("/high", "high", high)
    app.add_url_rule("/both", "both", login_required("low")(high))
    app.add_url_rule("/any", "any", login_required(lambda: current_identity.provider))
    browser = Browser(app, provider)
    browser.sign_in("/low/login")
    signer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
    cookie = browser.cookie("session")
    assert cookie is not None
    id, own = signer.loads(cookie.value)["_oauth2"]
    forged = ["high", *own[1:]]
    client = app.test_client()
    for rows in ([forged], [own, forged], [forged, own]):
        for path in ("/high", "/both"):
            client.set_cookie("session", signer.dumps({"_oauth2": [id, *rows]}))
            assert client.get(path).status_code == 401, (rows, path)
        client.set_cookie("session", signer.dumps({"_oauth2": [id, *rows]}))
        assert client.get("/any").text == "low" or own not in rows, "its own login's mark opens it"


@pytest.mark.security("C10")
def test_nobody_without_the_key_can_tell_who_has_an_account(
    provider: Provider, make_site: MakeSite, database: Path
) -> None:
    """What rests of one and the same person has nothing in common under another key."""
    tables = []
    handler = OpenIDConnect(
        provider.client_id, provider.client_secret, provider.issuer, api_url=provider.api_url
    )
    for key in ("one key", "another key"):
        database.unlink(missing_ok=True)
        app, login = make_site(key, handler=handler, offline=True)
        browser = sign_in(app, provider)
        with app.app_context():
            assert login.client_session("read").get("x").ok
        logout = {"logout_token": provider.logout_token({"jti": "the same one", "sid": "other"})}
        assert app.test_client().post("/backchannel-logout", data=logout).status_code == 200
        assert is_signed_in(browser)
        tables.append(rest(database))
    assert all(len(table) > 10 for table in tables)
    assert (tables[0] & tables[1]) <= {""}


@pytest.mark.security("C10")
def test_two_apps_with_other_keys_keep_each_its_grant(
    provider: Provider, make_site: MakeSite
) -> None:
    one, login_of_one = make_site("one key", offline=True)
    two, login_of_two = make_site("another key", offline=True)
    browser = sign_in(one, provider)
    sign_in(two, provider)
    for app, login in ((one, login_of_one), (two, login_of_two)):
        assert called_for(app, login, "oauth2::ada") == "ada"
    sign_in(one, provider)
    assert called_for(two, login_of_two, "oauth2::ada") == "ada"
    with two.app_context():
        assert login_of_two.unlink("oauth2::ada", "ada")
        assert login_of_two.accounts("oauth2::ada") == []
        with pytest.raises(LoginRequired):
            login_of_two.session_for("oauth2::ada")
    assert called_for(one, login_of_one, "oauth2::ada") == "ada"
    assert browser.fetch("/call/x").status_code == 200


@pytest.mark.security("C10")
def test_sign_ins_at_the_same_time_make_one_grant(
    provider: Provider, make_site: MakeSite, database: Path
) -> None:
    app, login = make_site(offline=True)
    with ThreadPoolExecutor(8) as pool:
        browsers = list(pool.map(lambda _: sign_in(app, provider), range(8)))
    assert len(SQLAlchemyStore(f"sqlite:///{database}").scan(None, 100)) == 8 + 1
    provider.grants.expire_access()
    assert called_for(app, login, "oauth2::ada") == "ada"
    assert all(browser.fetch("/call/x").status_code == 200 for browser in browsers)
    assert len(provider.calls("/token", grant_type="refresh_token")) == 1


@pytest.mark.security("C10")
@pytest.mark.parametrize("resealed", [False, True])
def test_after_a_new_secret_a_person_has_one_grant(
    provider: Provider, make_site: MakeSite, database: Path, resealed: bool
) -> None:
    app, _ = make_site("older", offline=True)
    sign_in(app, provider)
    app, login = make_site("newer", config={"SECRET_KEY_FALLBACKS": ["older"]}, offline=True)
    if resealed:
        with app.app_context():
            assert login.reseal() == 2
        app, login = make_site("newer", offline=True)
    # A provider that sends a refresh token the first time only: the grant's is kept.
    provider.refreshable = False
    browser = sign_in(app, provider)
    provider.grants.expire_access()
    assert called_for(app, login, "oauth2::ada") == "ada"
    assert browser.fetch("/call/x").status_code == 200
    assert len(SQLAlchemyStore(f"sqlite:///{database}").scan(None, 100)) == 3, "two browsers', one"
    with app.app_context():
        assert login.unlink("oauth2::ada", "ada")
        with pytest.raises(LoginRequired):
            login.session_for("oauth2::ada")


@pytest.mark.security("C10")
def test_what_cannot_be_opened_is_left_alone(
    provider: Provider, make_site: MakeSite, database: Path
) -> None:
    app, login = make_site(offline=True)
    sign_in(app, provider)
    with app.app_context():
        assert login.client_session("read").get("x").ok
    store = SQLAlchemyStore(f"sqlite:///{database}")
    spoiled = store.scan(None, 100)
    for name in spoiled:
        stored = store.read(name)
        assert stored is not None
        store.replace(name, "spoiled", stored.version, time.time() + 3600)
    browser = sign_in(app, provider)
    sign_in(app, provider)
    assert called_for(app, login, "oauth2::ada") == "ada"
    assert browser.fetch("/call/x").status_code == 200
    with app.app_context():
        assert login.client_session("read").get("x").ok
        assert login.unlink("oauth2::ada", "ada")
    assert len(spoiled) == 3
    for name in spoiled:
        stored = store.read(name)
        assert stored is not None
        assert stored.sealed == "spoiled"


@pytest.mark.security("C10", "D3")
@STORES
def test_a_sign_out_counts_after_a_new_secret(
    provider: Provider, make_site: MakeSite, store: str
) -> None:
    app, _ = make_site("older", store=store)
    browser = sign_in(app, provider)
    copy = list(browser.cookies)
    provider.grants.expire_access()
    assert browser.fetch("/call/x").status_code == 200, "it was renewed"
    browser.post("/logout")
    app, _ = make_site("newer", store=store, config={"SECRET_KEY_FALLBACKS": ["older"]})
    client = app.test_client()
    for cookie in copy:
        client.set_cookie(cookie.name, cookie.value, path=cookie.path)
    assert client.get("/me").status_code == 401
    assert is_signed_in(sign_in(app, provider))


@pytest.mark.security("C10")
@pytest.mark.parametrize("store", ["cookie", "sqlite"])
@pytest.mark.parametrize("fallbacks", [[], ["older"]])
def test_the_apps_own_token_is_fetched_anew_after_a_new_secret(
    provider: Provider, make_site: MakeSite, store: str, fallbacks: list[str]
) -> None:
    old, login_of_old = make_site("older", store=store)
    new, login_of_new = make_site("newer", store=store, config={"SECRET_KEY_FALLBACKS": fallbacks})
    for _ in range(2):
        for app, login in ((old, login_of_old), (new, login_of_new)):
            with app.app_context():
                assert login.client_session("read").get("x").ok
    sent = [call.headers.get("Authorization", "") for call in provider.calls("/api/x")]
    assert len(sent) == 4
    assert all(len(value.split()) == 2 for value in sent), "none is empty"
    assert len(provider.calls("/token", grant_type="client_credentials")) == 2


@pytest.mark.security("C10")
def test_the_apps_own_session_never_sends_an_empty_token(
    provider: Provider, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its token expires in the store at the moment when it does at the provider."""
    app, login = make_site()
    clock = Clock(monkeypatch)
    with app.app_context():
        session = login.client_session("read")
        for _ in range(3):
            assert session.get("x").ok
            clock.ahead += 4000
    sent = [call.headers.get("Authorization", "") for call in provider.calls("/api/x")]
    assert all(len(value.split()) == 2 for value in sent), sent
    assert len(provider.calls("/token", grant_type="client_credentials")) == 3


@pytest.mark.security("C10")
def test_client_tokens_of_two_scopes_are_two(provider: Provider, make_site: MakeSite) -> None:
    app, login = make_site()
    with app.app_context():
        found = {login.client_session(scope).get("x").json()["scope"] for scope in ("a", "a:b")}
    assert found == {"a", "a:b"}


@pytest.mark.parametrize("owner", [None, "", "None"])
@STORES
def test_an_owner_that_is_no_key_is_refused(
    provider: Provider,
    make_site: MakeSite,
    caplog: pytest.LogCaptureFixture,
    owner: str | None,
    store: str,
) -> None:
    """A user who was not written to the database yet has none; str() makes a text of that."""
    app, login = make_site(store=store)
    app.testing = False

    @app.get("/cart")
    def cart() -> str:
        session["cart"] = "full"
        return "full"

    @login.on_login
    def own(identity: Identity, _token: Token) -> None:
        assert identity.owner is None
        if identity.id != "eve":
            identity.owner = owner

    browser = Browser(app, provider)
    browser.sign_in(person=EVE)
    browser.get("/cart")
    assert browser.sign_in().status_code == 500
    assert "identity.owner" in caplog.text
    assert browser.fetch("/me").get_json()["id"] == "eve", "who was there before still is"
    if store == "sqlite":
        with app.app_context():
            assert [found.id for found in login.accounts("oauth2::eve")] == ["eve"]


def test_an_owner_that_on_login_does_not_set_is_the_account(
    provider: Provider, make_site: MakeSite
) -> None:
    app, login = make_site()
    owners: list[str | None] = []
    login.on_login(lambda identity, _token: owners.append(identity.owner))

    def note(_sender: t.Any, identity: Identity, **_: t.Any) -> None:
        owners.append(identity.owner)

    with logged_in.connected_to(note, app):
        browser = sign_in(app, provider)
    assert owners == [None, "oauth2::ada"]
    assert browser.fetch("/me").get_json()["owner"] == "oauth2::ada"
    assert called_for(app, login, "oauth2::ada") == "ada"


def test_an_owner_may_be_a_number(provider: Provider, make_site: MakeSite) -> None:
    app, login = make_site()
    login.on_login(lambda identity, _token: setattr(identity, "owner", 7))
    assert sign_in(app, provider).fetch("/me").get_json()["owner"] == "7"
    assert called_for(app, login, 7) == called_for(app, login, "7") == "ada"


@pytest.mark.parametrize("owner", [None, "", "None"])
def test_nobody_is_looked_for_by_no_key(make_site: MakeSite, owner: t.Any) -> None:
    app, login = make_site()
    with app.app_context():
        for ask in (login.session_for, login.accounts, lambda key: login.unlink(key, "ada")):
            with pytest.raises(ConfigurationError, match="owner"):
                ask(owner)


def test_a_grant_needs_an_account(provider: Provider, make_site: MakeSite) -> None:
    """Without a userinfo_url nothing says whose the grant is."""
    handler = make_handler(provider, revoke_url="revoke")
    handler.userinfo_url = None
    app, login = make_site(handler=handler, offline=True)
    login.on_login(lambda identity, _token: setattr(identity, "owner", "7"))
    app.testing = False
    browser = Browser(app, provider)
    assert browser.sign_in().status_code == 500
    assert not is_signed_in(browser)


def hooks_of_the_guide() -> str:
    """The code of the two hooks in the guide on an app's own users."""
    guide = (ROOT / "docs" / "guides" / "own-users.md").read_text("utf-8")
    start, end = "@github.on_login", "@manager.user_loader"
    return guide[guide.index(start) : guide.index(end)]


@pytest.mark.security("A11", "A10")
def test_the_guide_keeps_whose_account_it_is(provider: Provider, make_site: MakeSite) -> None:
    app, login = make_site(config={"SQLALCHEMY_DATABASE_URI": "sqlite://"})
    db, manager = SQLAlchemy(app), LoginManager(app)

    class User(UserMixin, db.Model):  # type: ignore[misc, name-defined]
        id = db.Column(db.Integer, primary_key=True)
        name = db.Column(db.String)
        is_blocked = db.Column(db.Boolean, default=False)

    class Account(db.Model):  # type: ignore[misc, name-defined]
        provider = db.Column(db.String, primary_key=True)
        id = db.Column(db.String, primary_key=True)
        user_id = db.Column(db.ForeignKey(User.id))
        user = db.relationship(User)

    manager.user_loader(lambda id: db.session.get(User, int(id)))
    names = {"abort": abort, "login_user": login_user, "logout_user": logout_user}
    exec(hooks_of_the_guide(), {**names, **locals(), "github": login})  # noqa: S102
    app.add_url_rule("/who", "who", lambda: f"{flask_login.current_user.get_id()}")
    app.add_url_rule("/add", "add", lambda: login_url(link=True))
    with app.app_context():
        db.create_all()
    ada, eve = (sign_in(app, provider, id) for id in ("ada", "eve"))
    assert (ada.get("/who").text, eve.get("/who").text) == ("1", "2")

    add = ada.get("/add").text
    assert ada.sign_in(add, person={"sub": "ada-at-work", "name": "Ada"}).status_code == 302
    assert ada.get("/who").text == "1"
    assert sign_in(app, provider, "ada-at-work").get("/who").text == "1"
    assert called_for(app, login, 1, "ada-at-work") == "ada-at-work"

    # Of others nothing is taken: Eve still is Eve, and Ada Ada.
    assert ada.sign_in(ada.get("/add").text, person={"sub": "eve"}).status_code == 409
    assert ada.get("/who").text == "1"
    assert eve.get("/who").text == sign_in(app, provider, "eve").get("/who").text == "2"
    with app.app_context():
        assert {found.id for found in login.accounts("1")} == {"ada", "ada-at-work"}
        assert {found.id for found in login.accounts("2")} == {"eve"}
        db.session.execute(db.update(User).where(User.name == "eve").values(is_blocked=True))
        db.session.commit()
    assert Browser(app, provider).sign_in(person={"sub": "eve"}).status_code == 403
    ada.post("/logout")
    assert ada.get("/who").text == "None"
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


@pytest.mark.security("D1")
def test_unlinking_ends_the_browsers_login_too(provider: Provider, make_sso: MakeSSO) -> None:
    app, login, browser = make_sso(offline=True)
    login.on_login(own)
    browser.sign_in()
    with app.app_context():
        assert login.unlink("user-ada", "ada")
    assert provider.calls("/revoke")
    assert not is_signed_in(browser)


@pytest.mark.security("D1")
def test_a_grant_that_the_provider_ended_ends_the_browsers_login(
    provider: Provider, make_sso: MakeSSO
) -> None:
    app, _, browser = make_sso(offline=True)
    other = Browser(app, provider)
    browser.sign_in()
    other.sign_in()
    provider.grants.revoke_all()
    assert browser.fetch("/call/x").status_code == 401
    assert not is_signed_in(browser)
    assert not is_signed_in(other)


def test_a_second_sign_in_without_a_refresh_token_keeps_the_grant(
    provider: Provider, make_sso: MakeSSO
) -> None:
    _, _, browser = make_sso(offline=True)
    provider.signed_in_at = time.time() - 5000
    browser.sign_in()
    provider.refreshable, provider.signed_in_at = False, time.time() - 10
    browser.sign_in()
    provider.grants.expire_access()
    assert browser.fetch("/call/x").status_code == 200
    assert is_signed_in(browser)
