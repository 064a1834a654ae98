"""Whose trouble a failed renewal is: one visitor's, or everybody's (SECURITY C9)."""

from __future__ import annotations

import functools
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from flask_oauth2_login import OAuth2Login, ProviderError
from tests.conftest import MakeApp
from tests.support.assertions import refreshes
from tests.support.clock import Clock
from tests.support.handlers import make_handler
from tests.support.provider import CUT_BEFORE, GARBAGE, HANG, Answer, Browser, Hold, Provider

INVALID_TOKEN = Answer(
    status=401, body={}, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'}
)


@pytest.fixture
def app(provider: Provider, make_app: MakeApp) -> Flask:
    return make_app(OAuth2Login(make_handler(provider, timeout=(1, 1))))


def sign_in(app: Flask, provider: Provider, *names: str) -> list[Browser]:
    """Browsers of people whose tokens the API does not take any more."""
    browsers = [Browser(app, provider) for _ in names]
    for browser, name in zip(browsers, names, strict=True):
        assert browser.sign_in(person={"sub": name}).status_code == 302
    provider.grants.expire_access()
    return browsers


def call(browser: Browser) -> int:
    return browser.fetch("/call/x").status_code


@pytest.mark.security("C9")
@pytest.mark.parametrize(
    ("trouble", "status"),
    [
        (Answer(status=400, body={"error": "invalid_grant"}), 401),
        (Answer(status=400, body={"error": "slow_down"}), 502),
        (Answer(status=401, body={"error": "invalid_client"}), 502),
        (Answer(status=429, headers={"Retry-After": "600"}), 503),
        (Answer(status=500), 503),
        (Answer(status=503, headers={"Retry-After": "600"}), 503),
        (Answer(body="<html>"), 502),
        (Answer(body={}), 502),
        (Answer(status=204), 502),
        (Answer(status=302, headers={"Location": "/elsewhere"}), 502),
        (GARBAGE, 502),
        (CUT_BEFORE, 503),
    ],
)
def test_trouble_about_one_persons_token_delays_nobody_else(
    app: Flask, provider: Provider, trouble: t.Any, status: int
) -> None:
    ada, bob = sign_in(app, provider, "ada", "bob")
    provider.on("/token", trouble, times=1)
    assert call(ada) == status
    assert call(bob) == 200
    before = refreshes(provider)
    assert call(ada) == status, "this one's own is left alone"
    assert refreshes(provider) == before


@pytest.mark.security("C9")
def test_the_logins_of_one_person_stop_nobody_else(app: Flask, provider: Provider) -> None:
    *of_mallory, ada = sign_in(app, provider, *["mallory"] * 5, "ada")
    provider.on("/token", Answer(status=429, headers={"Retry-After": "300"}), times=5)
    assert [call(browser) for browser in of_mallory] == [503] * 5
    assert call(ada) == 200


@pytest.mark.security("C9")
@pytest.mark.parametrize("down", ["refuses", "hangs"])
def test_a_provider_that_cannot_be_reached_is_left_alone_by_everybody(
    app: Flask, provider: Provider, clock: Clock, down: str
) -> None:
    ada, bob, eve = sign_in(app, provider, "ada", "bob", "eve")
    clock.ahead += 3600
    hang = functools.partial(provider.on, "/token", HANG)
    stop, start = (provider.down, provider.up) if down == "refuses" else (hang, provider.off)
    stop()
    assert call(ada) == 503
    start()
    before = refreshes(provider)
    assert [call(bob), call(eve)] == [503, 503]
    assert refreshes(provider) == before
    clock.ahead += 4
    assert [call(bob), call(eve), call(ada)] == [200] * 3


@pytest.mark.security("C9")
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_provider_that_fails_for_three_people_in_a_row_is_left_alone_by_everybody(
    app: Flask, provider: Provider, clock: Clock, status: int
) -> None:
    browsers = sign_in(app, provider, *"abcde")
    provider.on("/token", Answer(status=status))
    assert [call(browser) for browser in browsers[:3]] == [503] * 3
    provider.off()
    before = refreshes(provider)
    assert [call(browser) for browser in browsers] == [503] * 5
    assert refreshes(provider) == before
    clock.ahead += 4
    assert [call(browser) for browser in browsers] == [200] * 5


@pytest.mark.security("C9")
def test_nonsense_about_several_peoples_tokens_delays_nobody_else(
    app: Flask, provider: Provider
) -> None:
    browsers = sign_in(app, provider, *"abcd")
    provider.on("/token", Answer(body="<html>"), times=3)
    assert [call(browser) for browser in browsers] == [502, 502, 502, 200]


@pytest.mark.security("C9")
def test_a_success_in_between_breaks_the_row(app: Flask, provider: Provider) -> None:
    browsers = sign_in(app, provider, *"abcdef")
    ill = Answer(status=500)
    for browser, reaction in zip(browsers, [ill, ill, None, ill, ill, None], strict=True):
        if reaction:
            provider.on("/token", reaction, times=1)
        assert call(browser) == (503 if reaction else 200)


@pytest.mark.security("C9")
def test_afterwards_one_tries_and_the_others_wait_for_what_that_finds_out(
    app: Flask, provider: Provider, clock: Clock
) -> None:
    browsers = sign_in(app, provider, *"abcdef")
    provider.on("/token", Answer(status=500), times=3)
    assert [call(browser) for browser in browsers[:3]] == [503] * 3
    clock.ahead += 4
    held = Hold()
    provider.on("/token", held, times=1)
    before = refreshes(provider)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(call, browsers[3])
        held.wait()
        assert [call(browser) for browser in browsers[4:]] == [503, 503]
        assert refreshes(provider) == before + 1
        held.release()
        assert first.result() == 200
    assert [call(browser) for browser in browsers[4:]] == [200, 200]


@pytest.mark.security("C9")
def test_one_failed_try_is_enough_to_wait_once_more(
    app: Flask, provider: Provider, clock: Clock
) -> None:
    browsers = sign_in(app, provider, *"abcde")
    provider.on("/token", Answer(status=500), times=4)
    assert [call(browser) for browser in browsers[:3]] == [503] * 3
    clock.ahead += 4
    assert call(browsers[3]) == 503
    before = refreshes(provider)
    assert call(browsers[4]) == 503
    assert refreshes(provider) == before
    clock.ahead += 4
    assert call(browsers[4]) == 200


@pytest.mark.security("C9")
def test_an_api_that_rejects_every_token_makes_nobody_renew_over_and_over(
    app: Flask, provider: Provider, clock: Clock
) -> None:
    ada, bob = sign_in(app, provider, "ada", "bob")
    provider.on("/api/x", INVALID_TOKEN)
    assert {call(ada) for _ in range(20)} == {401}
    assert refreshes(provider) == 1
    clock.ahead += 400
    assert {call(ada) for _ in range(20)} == {401}
    assert refreshes(provider) == 2
    provider.off()
    assert call(bob) == 200, "nobody else has to wait"
    assert call(ada) == 200


@pytest.mark.security("C9")
def test_a_token_that_expires_is_renewed_though_the_api_rejected_it(
    app: Flask, provider: Provider, clock: Clock
) -> None:
    (ada,) = sign_in(app, provider, "ada")
    provider.expires_in = 100
    provider.on("/api/x", INVALID_TOKEN)
    assert call(ada) == 401
    provider.off()
    clock.ahead += 100
    assert call(ada) == 200
    assert refreshes(provider) == 2


@pytest.mark.security("C7")
def test_a_token_that_is_taken_back_again_and_again_is_renewed_each_time(
    app: Flask, provider: Provider
) -> None:
    (ada,) = sign_in(app, provider, "ada")
    for count in range(1, 6):
        provider.grants.expire_access()
        assert call(ada) == 200
        assert refreshes(provider) == count


@pytest.mark.security("C9")
def test_the_same_access_token_once_more_costs_one_renewal(
    app: Flask, provider: Provider, clock: Clock
) -> None:
    (ada,) = sign_in(app, provider, "ada")
    token = str(provider.calls("/userinfo")[-1].access_token())
    provider.on("/token", Answer(body={"access_token": token, "expires_in": 3600}))
    provider.on("/api/x", Answer(body={"sub": "ada"}))
    clock.ahead += 3600
    copies = [Browser(app) for _ in range(8)]
    for copy in copies:
        copy.jar = ada.jar.copy()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(call, copies)) == [200] * 8
    assert refreshes(provider) == 1


@pytest.mark.security("C9")
def test_the_apps_own_token_follows_the_same_rule(
    app: Flask, provider: Provider, clock: Clock
) -> None:
    login = t.cast(OAuth2Login, app.blueprints["oauth2"])

    def call_for_app(scope: str) -> int:
        with app.app_context():
            return login.client_session(scope).get("x").status_code

    (ada,) = sign_in(app, provider, "ada")
    provider.on("/token", Answer(status=429, headers={"Retry-After": "60"}), times=4)
    for scope in ("a", "b", "c", "d"):
        with pytest.raises(ProviderError):
            call_for_app(scope)
    assert call(ada) == 200, "the app is one, whatever it asks for"
    assert call_for_app("e") == 200
    with pytest.raises(ProviderError):
        call_for_app("a")
    clock.ahead += 61
    assert call_for_app("a") == 200


@pytest.mark.security("C9")
def test_who_hangs_at_the_provider_keeps_nobody_from_trying(
    provider: Provider, make_app: MakeApp
) -> None:
    from flask_oauth2_login.client.backoff import BackOff
    from flask_oauth2_login.client.token_source import TokenSource
    from flask_oauth2_login.protocol.errors import ProviderUnreachableError

    class Person(TokenSource):
        key, name, person, max_request_seconds = "", "sso", "", 60.0

        def __init__(self, key: str) -> None:
            self.key = self.person = key

    back_off, eve, bob, ada = BackOff(), Person("eve"), Person("bob"), Person("ada")
    back_off.failed(eve, ProviderUnreachableError("It hangs.", retry_after=0))
    time.sleep(0.01)
    back_off.check(eve)
    back_off.check(bob)
    with pytest.raises(ProviderError):
        # Now bob tries it for all others.
        back_off.check(ada)
