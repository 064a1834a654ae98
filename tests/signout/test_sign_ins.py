"""Where a person is signed in, and how the app ends that: one browser's sign-in, or all of them."""

from __future__ import annotations

import sqlite3
import time
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask, session
from werkzeug.test import TestResponse

from flask_oauth2_login import (
    ConfigurationError,
    Identity,
    OAuth2Login,
    SignIn,
    current_identity,
    logged_out,
)
from tests.conftest import SSO, MakeSSO
from tests.support.apps import EVE, STORES, add_cart, make_site
from tests.support.assertions import is_signed_in
from tests.support.clock import Clock
from tests.support.handlers import make_handler
from tests.support.provider import Browser, Provider

ADA = "sso::ada"
#: The stores on the server.
SERVER_SIDE = pytest.mark.parametrize("store", ["sqlite", "sqlalchemy", "redis_server"])
FIREFOX = "Mozilla/5.0 Firefox/140.0"


@pytest.fixture
def make_site_of(
    make_sso: MakeSSO, tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[..., SSO]:
    """A function that makes an app with views for a person to see and end sign-ins."""

    def make(store: str, **login: t.Any) -> SSO:
        if store == "sqlalchemy":
            # With a query, the URL means this store.
            store = f"sqlite:///{tmp_path}/more.db?timeout=5"
        if store == "redis_server":
            store = request.getfixturevalue(store).url
        sso = make_sso(store, handler={"revoke_url": "revoke"}, **login)
        add_views(sso)
        return sso

    return make


def add_views(sso: SSO) -> None:
    app, login, _ = sso

    @app.get("/sign-ins")
    def sign_ins() -> list[dict[str, t.Any]]:
        return [vars(each) for each in login.sign_ins(current_identity.owner or "")]

    @app.post("/end")
    def end() -> dict[str, int]:
        return {"ended": login.end_sign_ins(current_identity.owner or "")}

    @app.post("/end-others")
    def end_others() -> dict[str, int]:
        owner = current_identity.owner or ""
        return {"ended": login.end_sign_ins(owner, except_current=True)}


def sign_in(sso: SSO, provider: Provider, **options: t.Any) -> Browser:
    """One more browser of the same person, or of another one."""
    browser = Browser(sso.app, provider)
    browser.sign_in(**options)
    assert is_signed_in(browser)
    return browser


def answer(response: TestResponse) -> t.Any:
    """The JSON of a response."""
    return response.json


def list_in_a_job(sso: SSO, owner: str = ADA) -> list[SignIn]:
    with sso.app.app_context():
        return sso.login.sign_ins(owner)


def end_in_a_job(sso: SSO, *ids: str, owner: str = ADA) -> int:
    with sso.app.app_context():
        return sso.login.end_sign_ins(owner, *ids)


def note_ends(app: Flask) -> list[tuple[str, str | None]]:
    """Note the reason and the person of each login of the app that ends."""
    noted: list[tuple[str, str | None]] = []

    def note(sender: Flask, login: str, identity: Identity, reason: str) -> None:
        noted.append((reason, identity.id))

    logged_out.connect(note, app, weak=False)
    return noted


# The list


@SERVER_SIDE
def test_a_person_sees_where_they_are_signed_in(
    provider: Provider, make_site_of: Callable[..., SSO], store: str
) -> None:
    sso = make_site_of(store)
    before = int(time.time())
    sso.browser.sign_in()
    other = Browser(sso.app, provider)
    other.get("/login")
    url = other.get("/login", headers={"User-Agent": FIREFOX}).location
    callback = provider.consent(url)
    other.get(callback, site="cross-site", headers={"User-Agent": FIREFOX + " é\x07" + "x" * 500})
    assert is_signed_in(other)
    here, there = answer(sso.browser.get("/sign-ins"))
    assert (here["current"], there["current"]) == (True, False)
    assert here["user_agent"] == "Mozilla/5.0 Chrome/140.0"
    assert there["user_agent"].startswith(FIREFOX)
    assert len(there["user_agent"]) <= 200
    assert there["user_agent"].isprintable()
    for each in (here, there):
        assert each["login"] == "sso"
        assert before <= each["created_at"] <= each["last_used_at"] <= time.time()
    assert [each["current"] for each in answer(other.get("/sign-ins"))] == [True, False]
    assert {each.id for each in list_in_a_job(sso)} == {here["id"], there["id"]}
    assert not any(each.current for each in list_in_a_job(sso))
    assert list_in_a_job(sso, "sso::eve") == []


@SERVER_SIDE
def test_the_last_use_is_noted_once_an_hour(
    clock: Clock, make_site_of: Callable[..., SSO], store: str
) -> None:
    sso = make_site_of(store)
    sso.browser.sign_in()
    (first,) = list_in_a_job(sso)
    clock.ahead += 1800
    assert is_signed_in(sso.browser)
    assert list_in_a_job(sso) == [first]
    clock.ahead += 3600
    assert is_signed_in(sso.browser)
    (later,) = list_in_a_job(sso)
    assert later.created_at == first.created_at
    assert later.last_used_at - first.last_used_at in range(5399, 5460)
    clock.ahead += 3600
    assert is_signed_in(sso.browser)
    assert list_in_a_job(sso)[0].last_used_at > later.last_used_at


@pytest.mark.security("C10")
def test_the_id_of_a_sign_in_is_no_credential(tmp_path: Path, sso: SSO) -> None:
    sso.browser.sign_in()
    (here,) = list_in_a_job(sso)
    with sqlite3.connect(tmp_path / "logins.db") as database:
        names = [id for (id,) in database.execute("SELECT id FROM oauth2_login_records")]
    database.close()
    assert here.id not in names
    assert here.id not in repr([cookie.value for cookie in sso.browser.cookies])


def test_a_login_whose_grant_has_ended_is_not_listed(
    provider: Provider, make_site_of: Callable[..., SSO]
) -> None:
    sso = make_site_of("sqlite", offline=True)
    sso.browser.sign_in()
    assert len(list_in_a_job(sso)) == 1, "a grant is no sign-in"
    with sso.app.app_context():
        assert sso.login.unlink(ADA, "ada")
    assert list_in_a_job(sso) == []


# Ending


@SERVER_SIDE
@pytest.mark.security("D3", "C12")
def test_one_of_several_is_ended(
    provider: Provider, make_site_of: Callable[..., SSO], store: str
) -> None:
    sso = make_site_of(store)
    ended = note_ends(sso.app)
    sso.browser.sign_in()
    other = sign_in(sso, provider)
    (there,) = [each for each in answer(sso.browser.get("/sign-ins")) if not each["current"]]
    assert end_in_a_job(sso, "another", there["id"]) == 1
    assert not is_signed_in(other)
    assert is_signed_in(sso.browser)
    assert provider.calls("/revoke")
    assert ended == [("ended", "ada")]
    assert end_in_a_job(sso, there["id"]) == 0


def test_nobody_ends_the_sign_in_of_another_person(
    provider: Provider, make_site_of: Callable[..., SSO]
) -> None:
    sso = make_site_of("sqlite")
    sso.browser.sign_in()
    eve = sign_in(sso, provider, person=EVE)
    (here,) = list_in_a_job(sso)
    assert end_in_a_job(sso, here.id, owner="sso::eve") == 0
    assert end_in_a_job(sso, owner="sso::eve") == 1
    assert is_signed_in(sso.browser)
    assert not is_signed_in(eve)


@STORES
@pytest.mark.security("D3", "C12")
def test_all_of_a_person_are_ended_with_every_store(
    provider: Provider, make_site_of: Callable[..., SSO], store: str
) -> None:
    sso = make_site_of(store)
    ended = note_ends(sso.app)
    sso.browser.sign_in()
    others = [sign_in(sso, provider), sign_in(sso, provider)]
    eve = sign_in(sso, provider, person=EVE)
    end_in_a_job(sso)
    assert not any(map(is_signed_in, [sso.browser, *others]))
    assert is_signed_in(eve)
    assert ended == [("ended", "ada")] * 3
    assert len(provider.calls("/revoke")) >= 3
    # At once, and for good: nothing but a new sign-in counts.
    sso.browser.sign_in()
    assert is_signed_in(sso.browser)
    assert not any(map(is_signed_in, others))


@STORES
@pytest.mark.security("D3")
def test_ending_all_signs_out_of_this_browser_as_a_sign_out_does(
    provider: Provider, make_site_of: Callable[..., SSO], store: str
) -> None:
    sso = make_site_of(store)
    seen = []

    @sso.login.on_logout
    def forget(identity: Identity) -> None:
        seen.append(identity.id)

    add_cart(sso.app)
    ended = note_ends(sso.app)
    other = sign_in(sso, provider)
    sso.browser.sign_in()
    sso.browser.get("/cart/book")
    assert answer(sso.browser.post("/end"))["ended"] >= 1
    assert not is_signed_in(sso.browser)
    assert "cart" not in answer(sso.browser.get("/session"))
    assert seen == ["ada"]
    assert not is_signed_in(other)
    assert ended == [("ended", "ada")] * 2


@STORES
@pytest.mark.security("D3")
def test_the_sign_ins_at_several_logins_are_ended_in_one_request(
    provider: Provider, make_site_of: Callable[..., SSO], store: str
) -> None:
    sso = make_site_of(store)
    second = OAuth2Login(make_handler(provider), name="second")
    logins = [sso.login, second]
    for login in logins:
        login.on_login(lambda identity, _: setattr(identity, "owner", "7"))
    sso.app.register_blueprint(second, url_prefix="/second")
    add_cart(sso.app)

    @sso.app.post("/end-everywhere")
    def end_everywhere() -> str:
        for login in logins:
            login.end_sign_ins("7")
        session["message"] = "Ended."
        return ""

    sso.browser.sign_in()
    sso.browser.sign_in(login_path="/second/login")
    sso.browser.get("/cart/book")
    sso.browser.post("/end-everywhere")
    assert not is_signed_in(sso.browser)
    left = answer(sso.browser.get("/session"))
    assert "message" in left
    assert not {"cart", "csrf_token", "_oauth2"} & {*left}


@STORES
@pytest.mark.security("D3")
def test_all_but_this_browsers_are_ended(
    provider: Provider, make_site_of: Callable[..., SSO], store: str
) -> None:
    sso = make_site_of(store)
    sso.browser.sign_in()
    other = sign_in(sso, provider)
    sso.browser.post("/end-others")
    assert is_signed_in(sso.browser)
    assert not is_signed_in(other)
    # Whoever signs in anew ends what was spared before.
    other.sign_in()
    other.post("/end-others")
    assert is_signed_in(other)
    assert not is_signed_in(sso.browser)


@STORES
@pytest.mark.security("C8", "D3")
def test_a_slow_request_that_spares_its_own_sign_in_brings_nobody_back(
    provider: Provider, make_site_of: Callable[..., SSO], store: str
) -> None:
    sso = make_site_of(store)

    @sso.app.post("/slow")
    def slow() -> str:
        owner = current_identity.owner or ""
        # Meanwhile, another request ends all of them.
        with sso.app.app_context():
            sso.login.end_sign_ins(owner)
        sso.login.end_sign_ins(owner, except_current=True)
        return ""

    sso.browser.sign_in()
    sso.browser.post("/slow")
    assert not is_signed_in(sso.browser)


@pytest.mark.security("D3")
@pytest.mark.parametrize("store", ["cookie", "session"])
def test_an_ending_counts_in_all_processes_and_while_copies_of_cookies_could(
    provider: Provider, instance: Path, clock: Clock, store: str
) -> None:
    one, other = (make_site(provider.url, str(instance), store) for _ in range(2))
    browser = Browser(one, provider)
    browser.sign_in()
    assert is_signed_in(browser)
    with other.app_context():
        t.cast(OAuth2Login, other.blueprints["oauth2"]).end_sign_ins("oauth2::ada")
    copies = []
    for ahead in (0, 3600, 30 * 24 * 3600):
        clock.ahead = ahead
        visitor = Browser(one, provider)
        visitor.jar = browser.jar.copy()
        copies.append(is_signed_in(visitor))
    assert copies == [False] * 3


@pytest.mark.security("D3")
def test_an_ending_outlives_a_change_of_the_secret(provider: Provider, instance: Path) -> None:
    def start(key: str, *fallbacks: str) -> tuple[Flask, OAuth2Login]:
        app = Flask("site", instance_path=str(instance))
        app.config |= {"SECRET_KEY": key, "SECRET_KEY_FALLBACKS": fallbacks}
        login = OAuth2Login(make_handler(provider))
        app.register_blueprint(login)
        app.add_url_rule("/me", view_func=lambda: "in" if login.identity else ("out", 401))
        return app, login

    former, login = start("former")
    first, second = Browser(former, provider), Browser(former, provider)
    first.sign_in()
    newer, newer_login = start("newer", "former")
    with former.app_context():
        login.end_sign_ins("oauth2::ada")
    second.sign_in()

    def status(app: Flask, browser: Browser) -> int:
        visitor = Browser(app)
        visitor.jar = browser.jar.copy()
        return visitor.get("/me").status_code

    assert status(newer, first) == 401
    assert status(newer, second) == 200
    # In the other direction, too: while processes are replaced, both secrets are in use.
    with newer.app_context():
        newer_login.end_sign_ins("oauth2::ada")
    assert status(former, second) == 401


@pytest.mark.security("D3")
def test_a_new_sign_in_counts_although_the_clock_was_put_back(
    make_site_of: Callable[..., SSO], clock: Clock
) -> None:
    sso = make_site_of("cookie")
    clock.ahead = 3600
    end_in_a_job(sso)
    clock.ahead = 0
    sso.browser.sign_in()
    assert is_signed_in(sso.browser)


@pytest.mark.security("D3")
def test_a_new_sign_in_counts_although_another_process_is_ahead(
    provider: Provider, instance: Path, clock: Clock
) -> None:
    one, other = (make_site(provider.url, str(instance)) for _ in range(2))
    browser = Browser(one, provider)
    browser.sign_in()
    assert is_signed_in(browser)
    clock.ahead = 3600
    with other.app_context():
        t.cast(OAuth2Login, other.blueprints["oauth2"]).end_sign_ins("oauth2::ada")
    clock.ahead = 0
    assert not is_signed_in(browser)
    browser.sign_in()
    assert is_signed_in(browser)


def test_a_grant_stays(provider: Provider, make_site_of: Callable[..., SSO]) -> None:
    sso = make_site_of("sqlite", offline=True)
    sso.browser.sign_in()
    assert end_in_a_job(sso) == 1
    assert not is_signed_in(sso.browser)
    assert not provider.calls("/revoke")
    with sso.app.app_context():
        assert sso.login.session_for(ADA).get("me").ok


# What can't be done


@pytest.mark.parametrize("store", ["cookie", "session"])
def test_browsers_records_cant_be_listed_nor_ended_one_by_one(
    make_site_of: Callable[..., SSO], store: str
) -> None:
    sso = make_site_of(store)
    sso.browser.sign_in()
    with sso.app.app_context():
        with pytest.raises(ConfigurationError, match=r"server-side store.*OAUTH2_LOGIN_STORE"):
            sso.login.sign_ins(ADA)
        with pytest.raises(ConfigurationError, match=r"server-side store.*OAUTH2_LOGIN_STORE"):
            sso.login.end_sign_ins(ADA, "one")
    assert is_signed_in(sso.browser)


@STORES
@pytest.mark.parametrize("owner", [None, "", "None"])
def test_people_without_a_key_are_not_one_person(
    make_site_of: Callable[..., SSO], store: str, owner: t.Any
) -> None:
    sso = make_site_of(store)
    with sso.app.app_context(), pytest.raises(ConfigurationError, match="can't be an owner"):
        sso.login.end_sign_ins(owner)
