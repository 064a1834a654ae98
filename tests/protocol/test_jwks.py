"""SECURITY E4, E1 and D4: keys that hang, junk that anybody sends, a store that fails."""

from __future__ import annotations

import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flask import Flask

from flask_oauth2_login import (
    IDTokenError,
    OAuth2Login,
    OpenIDConnect,
    ProviderError,
    SQLAlchemyStore,
    StoreError,
)
from tests.conftest import MakeApp
from tests.support.assertions import is_signed_in
from tests.support.clock import Clock
from tests.support.handlers import at, issue, make_openid_client, redeem_openid
from tests.support.provider import HANG, REMOVED, Answer, Browser, Hold, Provider, make_key
from tests.support.threads import at_once_numbered

#: Seconds between two bytes: what a key set costs that hangs.
READ = 2
#: How many visitors, or bad tokens, come at the same time. One after the other takes 12 seconds.
MANY = 6
#: What one timeout may take on a busy machine.
ONE_TIMEOUT = 2.5 * READ


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


# -- E4: whoever waits for a fetch shares its outcome


@pytest.mark.security("E4")
def test_six_visitors_at_keys_that_hang_wait_for_one_timeout(provider: Provider) -> None:
    sso = make_openid_client(provider)
    provider.on("/jwks", HANG)

    def visit(_: int) -> ProviderError | None:
        try:
            redeem_openid(provider, sso)
        except ProviderError as error:
            return error
        return None

    began = time.monotonic()
    errors = at_once_numbered(visit, MANY)
    assert time.monotonic() - began < ONE_TIMEOUT
    assert all(isinstance(error, ProviderError) for error in errors)
    # An error of one's own: threads would write into each other's traceback.
    assert len({id(error) for error in errors}) == MANY
    # And it is not remembered.
    provider.off()
    assert redeem_openid(provider, sso).identity is not None


@pytest.mark.security("E4")
def test_visitors_who_wait_for_a_new_key_share_one_fetch(provider: Provider) -> None:
    sso = make_openid_client(provider)
    redeem_openid(provider, sso)
    provider.rotate_keys()
    held = Hold()
    provider.on("/jwks", held)
    with ThreadPoolExecutor(MANY) as pool:
        visits = [pool.submit(redeem_openid, provider, sso) for _ in range(MANY)]
        held.wait()
        held.release()
        assert all(visit.result().identity is not None for visit in visits)
    assert len(provider.calls("/jwks")) == 2


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


@pytest.mark.security("E4")
def test_a_rotation_works_at_once_where_no_bad_token_has_asked(provider: Provider) -> None:
    sso = make_openid_client(provider)
    redeem_openid(provider, sso)
    for _ in range(3):
        provider.rotate_keys()
        assert redeem_openid(provider, sso).identity is not None
    # A bad token has its fetch, and then nobody asks again for half a minute.
    issue(provider, header={"kid": "nobody's"}, key=make_key("RS256", 9))
    fetched = len(provider.calls("/jwks"))
    for _ in range(3):
        with pytest.raises(IDTokenError):
            redeem_openid(provider, sso)
    assert len(provider.calls("/jwks")) == fetched + 1


@pytest.mark.security("E4")
def test_old_keys_serve_while_new_ones_take_their_time(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    sso = make_openid_client(provider)
    redeem_openid(provider, sso)
    Clock(monkeypatch).ahead = 25 * 3600
    provider.on("/jwks", HANG)
    issue(provider, claims={"iat": at(0), "exp": at(300)})
    began = time.monotonic()
    assert redeem_openid(provider, sso).identity is not None
    assert time.monotonic() - began < READ
    assert len(provider.calls("/jwks")) == 2


@pytest.mark.security("E4")
def test_keys_are_fetched_again_after_a_day(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    sso = make_openid_client(provider)
    redeem_openid(provider, sso)
    old = provider.keys[0]
    provider.rotate_keys()
    Clock(monkeypatch).ahead = 25 * 3600
    assert redeem_openid(provider, sso).identity is not None
    # What is not in the set any more counts no longer.
    issue(provider, key=old)
    with pytest.raises(IDTokenError, match="signature"):
        redeem_openid(provider, sso)


@pytest.mark.security("E1")
def test_six_visitors_at_metadata_that_hang_wait_for_one_timeout(provider: Provider) -> None:
    sso = make_openid_client(provider)
    provider.on("/.well-known/*", HANG)

    def visit(_: int) -> bool:
        with pytest.raises(ProviderError):
            sso.authorize_url("openid", state="s")
        return True

    began = time.monotonic()
    assert all(at_once_numbered(visit, MANY))
    # For a moment nobody tries again.
    assert visit(0)
    assert time.monotonic() - began < ONE_TIMEOUT
    assert len(provider.calls("/.well-known/*")) == 1


# -- D4: a logout token counts once it has worked, and as long as it could be sent again


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
