"""Signing in and out while the store, or the session's own, fails in the midst."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from flask import session

from flask_oauth2_login import Identity, OAuth2Login, SQLAlchemyStore, StoreError
from tests.conftest import MakeApp
from tests.support.apps import add_cart
from tests.support.handlers import make_handler
from tests.support.provider import Browser, Provider


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


NAMES = ("one", "two")


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


ADA = {"one": "ada", "two": None, "user": "ada", "cart": ["book"]}
ADA_TWICE = {**ADA, "two": "ada"}
BOB = {"one": "bob", "two": None, "user": "bob", "cart": None}
NOBODY = {"one": None, "two": None, "user": None, "cart": None}


# -- A10: somebody else signs in


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


# -- D3: signing out


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
