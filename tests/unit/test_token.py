"""Token responses, as real providers write them."""

from __future__ import annotations

import json
import time
import typing as t

import pytest

from flask_oauth2_login import ProviderError, Token, TokenError
from flask_oauth2_login.protocol import http
from flask_oauth2_login.protocol.token import find_refusal, read_token
from flask_oauth2_login.protocol.token_lifetime import MAX_LIFETIME


def read(body: t.Any, status: int = 200, **options: t.Any) -> Token | None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_token(http.Response(status, {}, data), **options)


def token_of(**members: t.Any) -> Token:
    token = read({"access_token": "a", **members})
    assert token is not None
    return token


@pytest.mark.security("B3")
@pytest.mark.parametrize(
    "body",
    [
        {"access_token": "a", "token_type": "Bearer"},
        {"access_token": "a"},
        {"access_token": "a", "token_type": "bEaReR"},
        b"access_token=a&token_type=bearer",
        b" access_token=a ",
        b"access_token=a&access_token=b",
    ],
)
def test_json_or_a_form_is_a_token(body: t.Any) -> None:
    token = read(body)
    assert token is not None
    assert token.access_token == "a"


@pytest.mark.security("B3")
@pytest.mark.parametrize(
    "body",
    [
        {}, [], "a", None, b"<html>access_token=a</html>", b"hello",
        {"access_token": None}, {"access_token": ""}, {"access_token": 5},
        {"access_token": "a\nb"}, {"access_token": "é"}, {"access_token": "a", "token_type": "mac"},
        {"access_token": "a", "token_type": 1}, {"token": {"access_token": "a"}},
    ],
)  # fmt: skip
def test_anything_else_is_a_providers_error(body: t.Any) -> None:
    with pytest.raises(ProviderError):
        read(body)


@pytest.mark.parametrize("body", [b"", b"  \n"])
@pytest.mark.parametrize("status", [200, 204])
def test_a_success_without_content_is_none(body: bytes, status: int) -> None:
    assert read(body, status) is None


@pytest.mark.security("B4")
@pytest.mark.parametrize("status", [200, 400, 401])
@pytest.mark.parametrize(
    ("body", "error", "description"),
    [
        ({"error": "invalid_grant"}, "invalid_grant", None),
        ({"error": "x", "error_description": "why"}, "x", "why"),
        ({"error": "x", "error_description": 5, "access_token": "a"}, "x", None),
        ({"error": {"type": "OAuthException", "message": "why"}}, "OAuthException", "why"),
        ({"error": {"code": 190}}, "190", None),
        ({"error": {"nothing": 1}}, "invalid_request", None),
        (
            b"error=bad_verification_code&error_description=why+so",
            "bad_verification_code",
            "why so",
        ),
    ],
)
def test_a_refusal_is_typed_whatever_its_status(
    body: t.Any, error: str, description: str | None, status: int
) -> None:
    with pytest.raises(TokenError) as caught:
        read(body, status)
    assert (caught.value.error, caught.value.error_description) == (error, description)


@pytest.mark.parametrize("status", [300, 404, 418])
def test_another_status_without_an_error_is_a_providers_error(status: int) -> None:
    with pytest.raises(ProviderError, match=str(status)):
        read({"access_token": "a"}, status)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_provider_that_is_out_of_order_refuses_nothing(status: int) -> None:
    with pytest.raises(ProviderError) as caught:
        read({"error": "invalid_grant"}, status)
    assert not isinstance(caught.value, TokenError)


@pytest.mark.security("C1")
@pytest.mark.parametrize("spelling", ["s&c ret/", "s%26c%20ret%2F", "s%26c+ret%2F"])
def test_a_secret_that_a_refusal_quotes_is_left_out(spelling: str) -> None:
    error = find_refusal(
        {"error": f"bad {spelling}", "error_description": f"no {spelling}!"}, 400, ["s&c ret/", ""]
    )
    assert error is not None
    assert (error.error, error.error_description) == ("bad ***", "no ***!")


@pytest.mark.security("B3")
@pytest.mark.parametrize("name", ["expires_in", "expires"])
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (3600, 3600), ("3600", 3600), (59.9, 59), (1, 1),
        (0, None), (-1, None), ("soon", None), (True, None), (None, None), ([60], None),
        ("nan", None), ("inf", None), (MAX_LIFETIME, MAX_LIFETIME), (MAX_LIFETIME + 1, None),
    ],
)  # fmt: skip
def test_an_odd_lifetime_is_unknown(name: str, value: t.Any, seconds: int | None) -> None:
    began = int(time.time())
    token = token_of(**{name: value})
    assert token.get("expires_in") == seconds
    if seconds is None:
        assert token.expires_at is None
        assert not token.expires_within(MAX_LIFETIME)
    else:
        assert token.expires_at is not None
        assert 0 <= token.expires_at - began - seconds <= 2
        assert token.expires_within(seconds + 2)


def test_a_time_of_expiry_counts_where_there_is_no_lifetime() -> None:
    at = int(time.time()) + 60
    assert token_of(expires_at=at).expires_at == at
    assert token_of(expires_at=at, expires_in=10).expires_at != at
    assert token_of(expires_at=10**15).expires_at is None


@pytest.mark.parametrize(
    ("scope", "expected"),
    [("a b", "a b"), (["a", "b"], "a b"), (["a", 1], None), (5, None), (None, None), ("", "")],
)
def test_a_scope_is_a_text(scope: t.Any, expected: str | None) -> None:
    assert token_of(scope=scope).get("scope") == expected


@pytest.mark.parametrize("name", ["refresh_token", "id_token"])
@pytest.mark.parametrize("value", [None, "", 5, ["a"]])
def test_a_further_token_that_is_no_text_is_none(name: str, value: t.Any) -> None:
    assert name not in token_of(**{name: value})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("authed_user", {"authed_user": {"access_token": "a"}}),
        ("data.token", {"data": {"token": {"access_token": "a"}}}),
    ],
)
def test_a_token_may_be_nested(path: str, body: t.Any) -> None:
    token = read(body, token_path=path)
    assert token is not None
    assert token.access_token == "a"
    with pytest.raises(ProviderError):
        read({"access_token": "a"}, token_path=path)


@pytest.mark.security("C1")
def test_a_token_shows_no_secret_whatever_is_made_of_it() -> None:
    token = token_of(refresh_token="the-refresh", id_token="the-id", scope="read", name="Ada")
    token["access_token"] = "the-access"
    for made in (token, token.copy(), token | {"x": 1}, {"x": 1} | token):
        assert isinstance(made, Token)
        assert made["access_token"] == "the-access"
        for shown in (repr(made), str(made), f"{made}"):
            assert "the-" not in shown
            assert "scope='read'" in shown
