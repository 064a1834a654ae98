"""Logout tokens, which the provider sends."""

from __future__ import annotations

import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flask import Flask

from flask_oauth2_login import OAuth2Login, OpenIDConnect, SQLAlchemyStore, StoreError, logged_out
from tests.conftest import SSO, MakeApp, MakeSSO
from tests.support.assertions import is_signed_in
from tests.support.clock import Clock
from tests.support.handlers import Options, at, make_openid_login
from tests.support.provider import HANG, REMOVED, Answer, Browser, Hold, Provider, make_key
from tests.support.threads import at_once_numbered

#: Seconds between two bytes: what a key set costs that hangs.
READ = 2

#: How many visitors, or bad tokens, come at the same time. One after the other takes 12 seconds.
MANY = 6

#: What one timeout may take on a busy machine.
ONE_TIMEOUT = 2.5 * READ


def test_a_back_channel_logout_ends_the_session_it_names(provider: Provider, sso: SSO) -> None:
    app, browser = sso.app, sso.browser
    reasons: list[str] = []

    def note(_sender: t.Any, reason: str, **_: t.Any) -> None:
        reasons.append(reason)

    with logged_out.connected_to(note, app):
        browser.sign_in()
        first = provider.latest_grant
        other = Browser(app, provider)
        other.sign_in()
        token = provider.logout_token(grant=first)
        answer = app.test_client().post("/backchannel-logout", data={"logout_token": token})
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert not is_signed_in(browser)
    assert is_signed_in(other)
    assert reasons == ["back-channel"]


def test_without_sid_all_sessions_of_the_person_end(provider: Provider, sso: SSO) -> None:
    app, browser = sso.app, sso.browser
    other = Browser(app, provider)
    browser.sign_in()
    other.sign_in()
    token = provider.logout_token({"sid": REMOVED})
    assert (
        app.test_client().post("/backchannel-logout", data={"logout_token": token}).status_code
        == 200
    )
    assert not is_signed_in(browser)
    assert not is_signed_in(other)


@pytest.mark.security("D4")
@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"iat": REMOVED},
        {"exp": REMOVED, "iat": lambda now: now - 125},
        {"exp": 1},
        {"events": REMOVED},
        {"events": {}},
        {"events": ["http://schemas.openid.net/event/backchannel-logout"]},
        {"jti": REMOVED},
        {"nonce": "n"},
        {"sub": REMOVED, "sid": REMOVED},
        {"sub": 7},
    ],
)
def test_bad_logout_tokens_end_nothing(provider: Provider, sso: SSO, claims: Options) -> None:
    app, browser = sso.app, sso.browser
    browser.sign_in()
    token = provider.logout_token(claims)
    answer = app.test_client().post("/backchannel-logout", data={"logout_token": token})
    assert answer.status_code == 400
    assert answer.headers["Cache-Control"] == "no-store"
    assert is_signed_in(browser)


@pytest.mark.security("D4")
@pytest.mark.parametrize("kind", ["none", "id_token", "typ", "missing", "twice"])
def test_what_is_no_logout_token_ends_nothing(provider: Provider, sso: SSO, kind: str) -> None:
    app, browser = sso.app, sso.browser
    browser.sign_in()
    kinds: dict[str, dict[str, t.Any]] = {
        "none": {"logout_token": provider.logout_token(alg="none")},
        "id_token": {"logout_token": provider.id_token()},
        "typ": {"logout_token": provider.logout_token(header={"typ": "at+jwt"})},
        "missing": {},
        "twice": {"logout_token": [provider.logout_token(), provider.logout_token()]},
    }
    assert app.test_client().post("/backchannel-logout", data=kinds[kind]).status_code == 400
    assert is_signed_in(browser)


@pytest.mark.security("D4")
def test_a_logout_token_counts_once_but_only_if_it_could_be_checked(
    provider: Provider, sso: SSO
) -> None:
    app, browser = sso.app, sso.browser
    browser.sign_in()
    token = provider.logout_token()
    provider.rotate_keys()
    provider.on("/jwks", Answer(status=500), times=1)
    newer = provider.logout_token({"jti": "j-1"})
    client = app.test_client()
    assert client.post("/backchannel-logout", data={"logout_token": newer}).status_code == 400
    assert is_signed_in(browser)
    assert client.post("/backchannel-logout", data={"logout_token": newer}).status_code == 200
    assert client.post("/backchannel-logout", data={"logout_token": newer}).status_code == 400
    assert client.post("/backchannel-logout", data={"logout_token": token}).status_code == 400
    assert not is_signed_in(browser)


def test_both_need_a_server_side_store(
    provider: Provider, make_sso: MakeSSO, caplog: pytest.LogCaptureFixture
) -> None:
    app, _, browser = make_sso(store="cookie")
    browser.sign_in()
    stranger = app.test_client()
    assert stranger.post("/backchannel-logout", data={"logout_token": "x"}).status_code == 400
    query = {"iss": provider.issuer, "sid": "x"}
    assert stranger.get("/frontchannel-logout", query_string=query).status_code == 400
    caplog.clear()
    token = provider.logout_token()
    answer = stranger.post("/backchannel-logout", data={"logout_token": token})
    assert answer.status_code == 400
    assert answer.headers["Cache-Control"] == "no-store"
    # The developer is told how to mend it, and nobody else.
    assert "sqlite" in caplog.text
    assert "sqlite" not in answer.text


@pytest.mark.security("D4")
@pytest.mark.parametrize(("sub", "ends"), [("ada", True), ("bob", False)])
def test_a_logout_token_ends_a_session_of_its_own_person_only(
    provider: Provider, make_app: MakeApp, tmp_path: Path, sub: str, ends: bool
) -> None:
    app = make_app(make_openid_login(provider, store=f"sqlite:///{tmp_path}/logins.db"))
    browser = Browser(app, provider)
    browser.sign_in()
    # Its `sid` is that of ada's session.
    token = provider.logout_token({"sub": sub})
    app.test_client().post("/backchannel-logout", data={"logout_token": token})
    assert is_signed_in(browser) is not ends


class FailingStore:
    """An app's own store, over a database that fails where a test says so."""

    server_side = True

    def __init__(self, path: Path) -> None:
        self._store = SQLAlchemyStore(f"sqlite:///{path}")
        self._store.create_tables()
        #: Names of methods that fail, and how often they still work before.
        self.failing: dict[str, int] = {}
        #: The longest time for which it was to remember a name, in seconds.
        self.longest = 0.0

    def close(self) -> None:
        self._store.close()

    def __getattr__(self, name: str) -> t.Any:
        method = getattr(self._store, name)

        def call(*args: t.Any, **more: t.Any) -> t.Any:
            if name in self.failing:
                self.failing[name] -= 1
                if self.failing[name] < 0:
                    raise StoreError("The database is away.")
            if name == "create":
                self.longest = max(self.longest, args[3] - time.time())
            return method(*args, **more)

        return call


@pytest.fixture
def store(tmp_path: Path) -> t.Iterator[FailingStore]:
    store = FailingStore(tmp_path / "logins.db")
    yield store
    store.close()


@pytest.fixture
def app(provider: Provider, make_app: MakeApp, store: FailingStore) -> Flask:
    sso = OpenIDConnect(
        provider.client_id,
        provider.client_secret,
        provider.issuer,
        api_url=provider.api_url,
        timeout=(2, READ),
    )
    return make_app(OAuth2Login(sso, name="sso", scope="email", store=store))


def post(app: Flask, token: str) -> t.Any:
    answer = app.test_client().post("/backchannel-logout", data={"logout_token": token})
    assert answer.headers["Cache-Control"] == "no-store"
    return answer


def forged(provider: Provider, number: int = 0) -> str:
    """A token with which everything is right but the signature."""
    claims = {
        "iss": provider.issuer, "aud": provider.client_id, "sub": "ada", "jti": f"junk-{number}",
        "iat": int(time.time()), "exp": int(time.time()) + 120,
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    }  # fmt: skip
    key = make_key("RS256", 77)
    return provider.sign(claims, {"typ": "logout+jwt", "kid": f"nobody's {number}"}, key=key)


@pytest.mark.security("E4", "D4")
def test_six_bad_tokens_at_keys_that_hang_wait_for_one_timeout(
    app: Flask, browser: Browser, provider: Provider
) -> None:
    browser.sign_in()
    provider.on("/jwks", HANG)
    tokens = [forged(provider, number) for number in range(MANY)]
    began = time.monotonic()
    answers = at_once_numbered(lambda number: post(app, tokens[number]).status_code, MANY)
    assert time.monotonic() - began < ONE_TIMEOUT
    assert answers == [400] * MANY


@pytest.mark.security("E4", "D4")
def test_bad_tokens_cost_no_other_visitors_time(
    app: Flask, browser: Browser, provider: Provider
) -> None:
    browser.sign_in()
    held = Hold()
    provider.on("/jwks", held)
    with ThreadPoolExecutor(1) as pool:
        junk = pool.submit(post, app, forged(provider))
        held.wait()
        # Its fetch goes on all the while.
        other = Browser(app, provider)
        other.sign_in()
        assert is_signed_in(other)
        assert not junk.done()
        held.release()
        assert junk.result().status_code == 400


@pytest.mark.security("E4", "D4")
def test_a_hundred_bad_tokens_cost_one_fetch_even_before_the_first_sign_in(
    app: Flask, provider: Provider
) -> None:
    for number in range(100):
        assert post(app, forged(provider, number)).status_code == 400
    assert len(provider.calls("/jwks")) == 1


@pytest.mark.security("D4")
@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"}, {"aud": "another"}, {"exp": 1}, {"events": {}},
        {"jti": REMOVED}, {"nonce": "n"}, {"sub": REMOVED, "sid": REMOVED},
    ],
)  # fmt: skip
def test_what_is_wrong_without_a_key_costs_no_request(
    app: Flask, browser: Browser, provider: Provider, claims: dict[str, t.Any]
) -> None:
    browser.sign_in()
    before = len(provider.requests)
    token = provider.logout_token(claims, {"kid": "nobody's"}, key=make_key("RS256", 77))
    assert post(app, token).status_code == 400
    assert len(provider.requests) == before


@pytest.mark.security("D4")
@pytest.mark.parametrize("failing", ["read", "find", "delete", "create"])
def test_where_the_store_fails_the_token_may_come_again(
    app: Flask, browser: Browser, provider: Provider, store: FailingStore, failing: str
) -> None:
    browser.sign_in()
    token = provider.logout_token()
    store.failing = {failing: 0}
    assert post(app, token).status_code == 400
    store.failing = {}
    assert post(app, token).status_code == 200
    assert not is_signed_in(browser)
    assert post(app, token).status_code == 400


@pytest.mark.security("D4")
def test_where_the_store_fails_at_the_second_of_two_logins_the_token_may_come_again(
    app: Flask, browser: Browser, provider: Provider, store: FailingStore
) -> None:
    other = Browser(app, provider)
    browser.sign_in()
    other.sign_in()
    token = provider.logout_token({"sid": REMOVED})
    store.failing = {"delete": 1}
    assert post(app, token).status_code == 400
    store.failing = {}
    assert is_signed_in(browser) != is_signed_in(other)
    assert post(app, token).status_code == 200
    assert not is_signed_in(browser)
    assert not is_signed_in(other)


@pytest.mark.security("D4")
def test_a_token_that_is_sent_again_ends_no_newer_login(
    app: Flask, browser: Browser, provider: Provider
) -> None:
    browser.sign_in()
    token = provider.logout_token({"sid": REMOVED})
    assert post(app, token).status_code == 200
    browser.sign_in()
    assert post(app, token).status_code == 400
    assert is_signed_in(browser)


@pytest.mark.security("D4")
@pytest.mark.parametrize("days", [0.01, 3, 300])
def test_a_token_is_remembered_as_long_as_it_could_be_sent_again(
    app: Flask, browser: Browser, provider: Provider, store: FailingStore, days: float
) -> None:
    browser.sign_in()
    store.longest = 0
    seconds = int(days * 24 * 3600)
    token = provider.logout_token({"exp": int(time.time()) + seconds})
    assert post(app, token).status_code == 200
    # It counts for a minute and a half longer than it says; an hour would be no harm.
    assert seconds + 90 < store.longest < seconds + 3600
    again = post(app, token)
    assert again.status_code == 400
    assert "used before" in again.json["error_description"]


@pytest.mark.security("D4")
@pytest.mark.parametrize(("age", "status"), [(0, 200), (100, 200), (130, 400), (3600, 400)])
def test_without_exp_a_token_counts_for_two_minutes(
    app: Flask, browser: Browser, provider: Provider, age: int, status: int
) -> None:
    browser.sign_in()
    token = provider.logout_token({"exp": REMOVED, "iat": at(-age)})
    assert post(app, token).status_code == status
    assert is_signed_in(browser) == (status == 400)
    assert post(app, token).status_code == 400


@pytest.mark.security("D4")
@pytest.mark.parametrize(("ahead", "claims"), [(0, {"exp": at(60)}), (-500, {"exp": REMOVED})])
def test_a_long_leeway_lets_no_token_count_twice(
    provider: Provider, make_sso: MakeSSO, clock: Clock, ahead: int, claims: Options
) -> None:
    app, _, browser = make_sso(handler={"leeway": 7200})
    browser.sign_in()
    token = provider.logout_token({"iat": at(ahead), **claims})
    assert post(app, token).status_code == 200, "its clock may differ by as much"
    assert not is_signed_in(browser)
    for clock.ahead in (3, 800, 3600, 6600):
        assert "used before" in post(app, token).json["error_description"]


@pytest.mark.security("D4")
def test_of_many_deliveries_at_once_one_is_answered_well(
    app: Flask, browser: Browser, provider: Provider
) -> None:
    browser.sign_in()
    token = provider.logout_token()
    answers = at_once_numbered(lambda _: post(app, token).status_code, MANY)
    assert sorted(answers) == [200] + [400] * (MANY - 1)
    assert not is_signed_in(browser)


@pytest.mark.security("D4")
@pytest.mark.parametrize("names", [{"sub": "eve"}, {"sid": "another"}])
def test_a_token_that_names_both_ends_only_what_has_both(
    app: Flask, browser: Browser, provider: Provider, names: dict[str, str]
) -> None:
    browser.sign_in()
    post(app, provider.logout_token(names))
    assert is_signed_in(browser)
    post(app, provider.logout_token())
    assert not is_signed_in(browser)


@pytest.mark.security("D4")
def test_keys_that_cannot_be_had_are_a_400_and_the_token_may_come_again(
    app: Flask, browser: Browser, provider: Provider
) -> None:
    browser.sign_in()
    provider.rotate_keys()
    token = provider.logout_token()
    provider.on("/jwks", Answer(status=500), times=1)
    assert post(app, token).status_code == 400
    assert is_signed_in(browser)
    assert post(app, token).status_code == 200
    assert not is_signed_in(browser)


@pytest.mark.security("D4")
def test_a_sub_means_what_the_provider_calls_a_person(
    provider: Provider, make_sso: MakeSSO
) -> None:
    app, _, browser = make_sso(handler={"identity": {"id": "email"}})
    other = Browser(app, provider)
    browser.sign_in()
    other.sign_in(person={"sub": "eve", "email": "eve@example.com"})
    token = provider.logout_token({"sub": "ada", "sid": REMOVED})
    answer = app.test_client().post("/backchannel-logout", data={"logout_token": token})
    assert answer.status_code == 200
    assert not is_signed_in(browser)
    assert is_signed_in(other)


@pytest.mark.security("D4", "E3")
@pytest.mark.parametrize("algorithms", [None, ["RS256", "ES256"]])
def test_a_logout_token_has_the_algorithm_of_the_id_token(
    provider: Provider,
    make_sso: MakeSSO,
    caplog: pytest.LogCaptureFixture,
    algorithms: list[str] | None,
) -> None:
    provider.rotate_keys("RS256", "ES256")
    app, _, browser = make_sso(handler={"algorithms": algorithms})
    browser.sign_in()
    other = provider.logout_token(key=provider.keys[1], alg="ES256")
    answer = app.test_client().post("/backchannel-logout", data={"logout_token": other})
    assert answer.status_code == (200 if algorithms else 400)
    assert is_signed_in(browser) is (algorithms is None)
    if algorithms is None:
        assert "signed by ES256" in caplog.text
        assert "signed by RS256" in caplog.text
        own = {"logout_token": provider.logout_token()}
        assert app.test_client().post("/backchannel-logout", data=own).status_code == 200
        assert not is_signed_in(browser)
