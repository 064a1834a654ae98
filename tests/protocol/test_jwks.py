"""The provider's keys: rotation, what fits, and who waits for a fetch."""

from __future__ import annotations

import dataclasses
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given

from flask_oauth2_login import IDTokenError, ProviderError
from tests.conftest import MakeProvider
from tests.support.clock import Clock
from tests.support.handlers import Options, at, issue, make_openid_client, redeem_openid
from tests.support.provider import HANG, REMOVED, Answer, Hold, Provider, make_key
from tests.support.strategies import anything, quickly
from tests.support.threads import at_once_numbered

#: Seconds between two bytes: what a key set costs that hangs.
READ = 2

#: How many visitors, or bad tokens, come at the same time. One after the other takes 12 seconds.
MANY = 6

#: What one timeout may take on a busy machine.
ONE_TIMEOUT = 2.5 * READ


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


@pytest.mark.security("E3")
@pytest.mark.parametrize(
    "change",
    [{"use": "enc"}, {"key_ops": ["encrypt"]}, {"alg": "RS512"}, {"kty": "oct"}, {"kty": "EC"}],
)
def test_a_key_that_does_not_fit_is_not_used(provider: Provider, change: Options) -> None:
    provider.on("/jwks", Answer(body={"keys": [provider.keys[0].public(**change)]}))
    with pytest.raises(IDTokenError, match="signature"):
        redeem_openid(provider)


@pytest.mark.security("E3")
@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_a_short_rsa_key_is_not_used(make_provider: MakeProvider) -> None:
    with pytest.raises(IDTokenError, match="signature"):
        redeem_openid(make_provider(keys=[make_key("RS256", bits=1024)]))


@pytest.mark.security("E4")
def test_a_token_without_kid_is_tried_with_the_keys_that_fit(
    make_provider: MakeProvider,
) -> None:
    provider = make_provider(keys=[make_key("RS256"), make_key("RS256", 1), make_key("ES256")])
    issue(provider, header={"kid": REMOVED}, key=provider.keys[1])
    assert redeem_openid(provider).identity is not None


@pytest.mark.security("E4")
def test_a_rotation_between_two_sign_ins_works_at_once(provider: Provider) -> None:
    sso = make_openid_client(provider)
    for _ in range(3):
        assert redeem_openid(provider, sso).identity is not None
        provider.rotate_keys()
    assert len(provider.calls("/jwks")) == 3


@pytest.mark.security("E4")
def test_a_new_key_without_kid_works_as_a_new_kid_does(provider: Provider) -> None:
    def keys(_request: t.Any) -> Answer:
        return Answer(body={"keys": [provider.keys[0].public(kid=REMOVED)]})

    provider.on("/jwks", keys)
    issue(provider, header={"kid": REMOVED})
    sso = make_openid_client(provider)
    assert redeem_openid(provider, sso).identity is not None
    provider.rotate_keys()
    assert redeem_openid(provider, sso).identity is not None


@pytest.mark.security("E4")
def test_a_hundred_tokens_with_an_unknown_kid_cost_one_fetch(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    sso = make_openid_client(provider)
    redeem_openid(provider, sso)
    issue(provider, header={"kid": "nobody's"}, key=make_key("RS256", 9))
    for _ in range(100):
        with pytest.raises(IDTokenError):
            redeem_openid(provider, sso)
    assert len(provider.calls("/jwks")) == 2
    later = time.monotonic() + 31
    monkeypatch.setattr(time, "monotonic", lambda: later)
    provider.rotate_keys()
    issue(provider)
    assert redeem_openid(provider, sso).identity is not None


@pytest.mark.security("E4")
@pytest.mark.parametrize(
    "junk", [None, 7, {}, {"kty": "RSA"}, {"kty": "RSA", "n": "!", "e": "AQAB"}]
)
def test_a_malformed_key_among_good_ones_spoils_nothing(provider: Provider, junk: t.Any) -> None:
    provider.on("/jwks", Answer(body={"keys": [junk, provider.keys[0].public()]}))
    assert redeem_openid(provider).identity is not None


@pytest.mark.security("E4")
@pytest.mark.parametrize(
    "keys", [Answer(status=500), Answer(body="x"), Answer(body={"keys": 1}), HANG]
)
def test_keys_that_cannot_be_had_are_a_provider_error_not_remembered(
    provider: Provider, keys: t.Any
) -> None:
    provider.on("/jwks", keys, times=1)
    sso = make_openid_client(provider)
    with pytest.raises(ProviderError):
        redeem_openid(provider, sso)
    assert redeem_openid(provider, sso).identity is not None


@quickly
@given(anything)
def test_any_key_set_is_an_error_of_ours(provider: Provider, keys: t.Any) -> None:
    provider.off()
    provider.on("/jwks", Answer(body={"keys": [keys]}))
    with pytest.raises((ProviderError, IDTokenError)):
        redeem_openid(provider, make_openid_client(provider, metadata=provider.metadata()))


@pytest.mark.security("E4")
@pytest.mark.parametrize(
    "change",
    [
        {"use": None},
        {"alg": None},
        {"kid": None},
        {"key_ops": None},
        {"n": lambda number: f"{number}=="},
    ],
)
def test_a_key_may_be_written_as_others_write_it(provider: Provider, change: Options) -> None:
    provider.on("/jwks", Answer(body={"keys": [provider.keys[0].public(**change)]}))
    assert redeem_openid(provider).identity is not None


@pytest.mark.security("E4")
def test_a_new_key_under_an_old_name_works_at_once(provider: Provider) -> None:
    sso = make_openid_client(provider)
    redeem_openid(provider, sso)
    provider.keys = [dataclasses.replace(make_key("RS256", 44), kid=provider.keys[0].kid)]
    assert redeem_openid(provider, sso).identity is not None
    forged = {"key": dataclasses.replace(make_key("RS256", 45), kid=provider.keys[0].kid)}
    issue(provider, **forged)
    fetched = len(provider.calls("/jwks"))
    for _ in range(5):
        with pytest.raises(IDTokenError):
            redeem_openid(provider, sso)
    assert len(provider.calls("/jwks")) <= fetched + 1
