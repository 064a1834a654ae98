"""Any order of what can happen to logins whose tokens are renewed: nothing is lost, nobody returns.

Several tabs, some with copies of another's cookies or with old ones, at a provider that rotates
refresh tokens and revokes a login when one is used twice; and a model that knows who is signed in.
"""

from __future__ import annotations

import dataclasses
import functools
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flask import session
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from flask_oauth2_login import SQLAlchemyStore
from flask_oauth2_login.protocol.http_options import HTTPOptions
from tests.support.apps import make_site
from tests.support.clock import Clock
from tests.support.provider import (
    CUT_AFTER,
    CUT_BEFORE,
    HANG,
    Answer,
    Browser,
    Grant,
    Hold,
    Provider,
)

PATIENCE = 30


@dataclasses.dataclass(eq=False)
class Login:
    """What must be true of somebody's login."""

    name: str
    grant: Grant
    lives: bool = True
    #: The provider takes the access token no more, or the app knows that it ran out.
    stale: bool = False
    #: The provider has rotated, and nobody got the answer: the next renewal ends it.
    lost: bool = False


class Tab:
    """A browser, and whose login its cookies are of."""

    def __init__(self) -> None:
        self.browser: Browser
        self.login: Login | None = None

    @property
    def lives(self) -> bool:
        return self.login is not None and self.login.lives


@dataclasses.dataclass(frozen=True)
class Trouble:
    """How a renewal can fail, and what comes of it."""

    reaction: t.Any
    status: int
    ends: bool = False
    loses: bool = False


TROUBLES = {
    "refused": Trouble(Answer(400, {"error": "invalid_grant"}), 401, ends=True),
    "misconfigured": Trouble(Answer(401, {"error": "invalid_client"}), 502),
    "nonsense": Trouble(Answer(200, "<html>"), 502),
    "broken": Trouble(Answer(500), 503),
    "cut before": Trouble(CUT_BEFORE, 503),
    "cut after": Trouble(CUT_AFTER, 503, loses=True),
    "hangs": Trouble(HANG, 503),
}

names = st.sampled_from(["ada", "bob"])
tabs = st.integers(0, 3)


def call(browser: Browser) -> tuple[int, str | None]:
    """Call the API: the status, and whose token it was."""
    response = browser.fetch("/call/x")
    answer = t.cast("dict[str, str]", response.get_json())
    return response.status_code, answer["sub"] if response.status_code == 200 else None


class Logins(RuleBasedStateMachine):
    """Four tabs of one app, and what must be true of the logins that they have.

    :param make_store: makes what ``OAuth2Login`` takes, again for the same records.
    """

    def __init__(
        self, provider: Provider, clock: Clock, instance: Path, make_store: t.Callable[[], t.Any]
    ) -> None:
        super().__init__()
        self.provider = provider
        self.clock = clock
        self.instance = instance
        self.make_store = make_store
        self.store: t.Any = None
        self.tabs = [Tab() for _ in range(4)]
        self.logins: list[Login] = []
        #: The app has just seen that the provider is out of order, and leaves it alone.
        self.cooling = False
        provider.off()

    # -- what is there

    @initialize(permanent=st.booleans())
    def begin(self, permanent: bool) -> None:
        """Start the app.

        :param permanent: each answer sends the session again, as it was when the request came.
        """
        self.permanent = permanent
        self.lose_memory()

    @rule()
    def lose_memory(self) -> None:
        """Go on in a new process."""
        self.close()
        self.store = self.make_store()
        self.app = make_site(self.provider.url, str(self.instance), self.store, (5.0, 15.0))
        self.app.before_request(self.set_permanent)
        self.cooling = False
        for tab in self.tabs:
            browser = Browser(self.app, self.provider)
            browser.jar = tab.browser.jar if hasattr(tab, "browser") else browser.jar
            tab.browser = browser

    def set_permanent(self) -> None:
        session.permanent = self.permanent

    @rule()
    def let_tokens_run_out(self) -> None:
        self.clock.ahead += 3600
        self.cooling = False
        self.all_are_stale()

    @rule()
    def let_provider_take_tokens_back(self) -> None:
        self.provider.grants.expire_access()
        self.all_are_stale()

    def all_are_stale(self) -> None:
        for login in self.logins:
            login.stale = True

    @rule()
    def wait(self) -> None:
        self.clock.ahead += 4
        self.cooling = False

    # -- what browsers do

    @rule(tab=tabs, name=names)
    def sign_in(self, tab: int, name: str) -> None:
        self.signed_in(self.tabs[tab], name)

    def signed_in(self, tab: Tab, name: str) -> None:
        assert tab.browser.sign_in(person={"sub": name}).status_code == 302
        if tab.login is not None:
            tab.login.lives = False
        tab.login = Login(name, self.provider.latest_grant)
        self.logins.append(tab.login)

    @rule(tab=tabs)
    def sign_out(self, tab: int) -> None:
        self.signed_out(self.tabs[tab])

    def signed_out(self, tab: Tab) -> None:
        assert tab.browser.post("/logout").status_code == 303
        if tab.login is not None:
            tab.login.lives = False

    @rule(tab=tabs, other=tabs)
    def copy_cookies(self, tab: int, other: int) -> None:
        """Open a second tab, or come back with what was there before: an old cookie jar."""
        self.tabs[tab].browser.jar = self.tabs[other].browser.jar.copy()
        self.tabs[tab].login = self.tabs[other].login

    @rule(tab=tabs, aborts=st.booleans())
    def call(self, tab: int, aborts: bool) -> None:
        """Call the API.

        :param aborts: leave before the answer is there, and its cookies with it.
        """
        one = self.tabs[tab]
        before = one.browser.jar.copy()
        self.expect(one.login, [call(one.browser)])
        if aborts:
            one.browser.jar = before

    @rule(tab=tabs)
    def call_at_once(self, tab: int) -> None:
        copies = [Browser(self.app) for _ in range(3)]
        for copy in copies:
            copy.jar = self.tabs[tab].browser.jar.copy()
        with ThreadPoolExecutor(len(copies)) as pool:
            self.expect(self.tabs[tab].login, list(pool.map(call, copies)))

    def expect(self, login: Login | None, answers: list[tuple[int, str | None]]) -> None:
        """See that the answers of calls are right, where nothing new is wrong."""
        statuses = {status for status, _ in answers}
        if login is None or not login.lives:
            assert statuses == {401}
        elif self.cooling and login.stale:
            # The time may be over meanwhile, by the real clock.
            assert statuses <= {502, 503, 401 if login.lost else 200}
        elif login.lost:
            assert statuses == {401}
        else:
            assert statuses == {200}
        assert {sub for _, sub in answers} <= {None, login.name if login else None}
        if login is not None:
            login.lives = login.lives and 401 not in statuses
            login.stale = login.stale and 200 not in statuses

    # -- renewals that fail, or come too late

    def due(self) -> list[Tab]:
        """Tabs whose next call asks the provider, which would renew the token."""
        return [
            tab
            for tab in self.tabs
            if tab.login is not None and tab.login.lives and tab.login.stale and not tab.login.lost
        ]

    @precondition(lambda self: self.due() and not self.cooling)
    @rule(data=st.data(), how=st.sampled_from(sorted(TROUBLES)))
    def fail_to_renew(self, data: st.DataObject, how: str) -> None:
        tab, trouble = data.draw(st.sampled_from(self.due())), TROUBLES[how]
        login = t.cast(Login, tab.login)
        handler = self.app.extensions["oauth2_login"].logins["oauth2"].handler
        usual = handler.http_options
        if trouble.reaction is HANG:
            handler.http_options = HTTPOptions((5.0, 0.3))
        self.provider.on("/token", trouble.reaction, times=1)
        assert call(tab.browser) == (trouble.status, None)
        self.provider.off()
        handler.http_options = usual
        login.lives, login.lost = not trouble.ends, trouble.loses
        self.cooling = not trouble.ends

    @precondition(lambda self: self.due() and not self.cooling)
    @rule(data=st.data(), name=st.none() | names)
    def end_while_it_is_renewed(self, data: st.DataObject, name: str | None) -> None:
        """Sign out, or in as somebody, while another tab's call waits for a new token.

        Its answer comes last, to the cookies that both tabs have in common.
        """
        tab = data.draw(st.sampled_from(self.due()))
        held = Hold(handled=data.draw(st.booleans()))
        self.provider.on("/token", held, times=1)
        with ThreadPoolExecutor(1) as pool:
            late = pool.submit(call, tab.browser)
            try:
                held.wait(PATIENCE)
                if name is None:
                    self.signed_out(tab)
                else:
                    self.signed_in(tab, name)
            finally:
                held.release()
            assert late.result(PATIENCE) == (401, None)

    # -- what is always true

    @invariant()
    def nobody_is_let_in_or_shut_out(self) -> None:
        for tab in self.tabs:
            if not hasattr(tab, "browser"):
                continue
            response = tab.browser.fetch("/me")
            assert response.status_code == (200 if tab.lives else 401)
            if tab.login is not None and tab.lives:
                identity = t.cast("dict[str, str]", response.get_json())
                assert identity["id"] == tab.login.name

    @invariant()
    def no_refresh_token_is_sent_again_that_was_spent(self) -> None:
        for login in self.logins:
            assert login.grant.reused <= login.lost

    def teardown(self) -> None:
        """Once the provider is well, whoever has not signed out goes on."""
        try:
            if hasattr(self, "app"):
                self.let_tokens_run_out()
                for tab in self.tabs:
                    self.expect(tab.login, [call(tab.browser)])
                self.no_refresh_token_is_sent_again_that_was_spent()
        finally:
            self.close()

    def close(self) -> None:
        if isinstance(self.store, SQLAlchemyStore):
            self.store.close()


@pytest.mark.parametrize("kind", ["cookie", "sqlite"])
def test_no_order_of_events_loses_a_login_or_brings_one_back(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def make_store() -> t.Any:
        if kind == "cookie":
            return kind
        store = SQLAlchemyStore(f"sqlite:///{tmp_path}/logins.db")
        store.create_tables()
        return store

    machine = functools.partial(Logins, provider, Clock(monkeypatch), tmp_path, make_store)
    run_state_machine_as_test(
        t.cast("type[Logins]", machine),
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
