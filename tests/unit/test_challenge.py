"""How an API says what is wrong with a token."""

from __future__ import annotations

import pytest

from flask_oauth2_login.protocol.www_authenticate import (
    find_challenge,
    may_be_invalid_token,
    step_up,
)


@pytest.mark.security("C7")
@pytest.mark.parametrize(
    ("header", "params"),
    [
        ("", None),
        ("Bearer", {}),
        ('Bearer error="invalid_token"', {"error": "invalid_token"}),
        ("bearer error=invalid_token", {"error": "invalid_token"}),
        ('Bearer realm="a, b", Error = "x"', {"realm": "a, b", "error": "x"}),
        (r'Bearer realm="a \"b\""', {"realm": 'a "b"'}),
        ('Basic realm="a", Bearer error="x"', {"error": "x"}),
        ('Bearer error="x", Basic realm="a"', {"error": "x"}),
        ('Basic error="invalid_token"', None),
        ('Bearer error="x", error="y"', {"error": "x"}),
        ('Bearer realm="', {}),
    ],
)
def test_the_parameters_of_a_bearer_challenge(header: str, params: dict[str, str] | None) -> None:
    assert find_challenge(header, "bearer") == params


@pytest.mark.security("C7")
@pytest.mark.parametrize(
    ("header", "error"),
    [
        ('DPoP error="use_dpop_nonce"', "use_dpop_nonce"),
        ('dpop error="use_dpop_nonce", error_description="a, b"', "use_dpop_nonce"),
        ('Bearer, DPoP error="x", algs="ES256"', "x"),
        ('DPoP algs="ES256 PS256", Bearer error="x"', "x"),
        ('Bearer realm="a", DPoP algs="ES256"', None),
        ('Basic error="x", DPoP', None),
    ],
)
def test_of_several_challenges_the_one_with_an_error_counts(header: str, error: str | None) -> None:
    assert (find_challenge(header, "bearer", "dpop") or {}).get("error") == error


@pytest.mark.security("C7")
def test_a_challenge_of_another_scheme_says_nothing_of_the_proof() -> None:
    assert find_challenge('Bearer error="use_dpop_nonce"', "dpop") is None


@pytest.mark.parametrize(
    ("challenge", "params"),
    [
        ({"error": "insufficient_user_authentication"}, {}),
        ({"acr_values": "gold silver"}, {"acr_values": "gold silver"}),
        ({"max_age": "60", "acr_values": ""}, {"max_age": "60"}),
        ({"max_age": "-1"}, {}),
        ({"max_age": "soon", "acr_values": "gold"}, {"acr_values": "gold"}),
        ({"max_age": "1" * 10}, {}),
    ],
)
def test_what_a_sign_in_must_ask_for(challenge: dict[str, str], params: dict[str, str]) -> None:
    assert step_up(challenge) == params


def test_a_401_is_not_about_the_token_if_it_says_so() -> None:
    assert may_be_invalid_token({"error": "invalid_token"})
    assert may_be_invalid_token({"error": "request_unauthorized"})
    assert may_be_invalid_token(None)
    assert not may_be_invalid_token({"error": "insufficient_scope"})
    assert not may_be_invalid_token({"error": "invalid_request"})
    assert not may_be_invalid_token({})
