"""PKCE, base64url, and how a client says who it is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_oauth2_login import ConfigurationError
from flask_oauth2_login.protocol import base64url
from flask_oauth2_login.protocol.client_auth import basic_credentials, find_client_auth
from flask_oauth2_login.protocol.pkce import code_challenge, make_code_verifier


@pytest.mark.security("A2")
def test_the_challenge_of_the_rfc() -> None:
    """RFC 7636, appendix B."""
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert code_challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@pytest.mark.security("A2")
def test_a_verifier_is_new_and_of_the_letters_that_it_may_have() -> None:
    verifiers = {make_code_verifier() for _ in range(50)}
    assert len(verifiers) == 50
    assert all(re.fullmatch("[A-Za-z0-9._~-]{43,128}", verifier) for verifier in verifiers)


@given(st.binary(max_size=64))
def test_base64url_has_no_padding_and_comes_back(data: bytes) -> None:
    text = base64url.encode(data)
    assert re.fullmatch("[A-Za-z0-9_-]*", text)
    assert base64url.decode(text) == data
    assert base64url.decode(text + "=" * (-len(text) % 4)) == data


@pytest.mark.parametrize("text", ["a", "abcde", "é"])
def test_what_is_no_base64url_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        base64url.decode(text)


@pytest.mark.security("B6")
@pytest.mark.parametrize(
    ("client_id", "secret", "credentials"),
    [
        # RFC 6749, section 2.3.1.
        ("s6BhdRkqt3", "7Fjfp0ZBr1KtDRbnfVdmIw", "czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3"),
        ("a:b", "c d", "YSUzQWI6Yytk"),
        ("a", None, "YTo="),
    ],
)
def test_id_and_secret_are_encoded_as_a_form_first(
    client_id: str, secret: str | None, credentials: str
) -> None:
    assert basic_credentials(client_id, secret) == credentials


def test_a_method_that_is_not_known_is_told() -> None:
    with pytest.raises(ConfigurationError, match="client_secret_basic"):
        find_client_auth("client_secret_cookie")
