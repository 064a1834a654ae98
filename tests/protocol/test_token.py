"""The token endpoint's response: a token, or an error of ours."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_oauth2_login import ConfigurationError, ProviderError, TokenError
from tests.support.handlers import CALLBACK, make_client, make_handler, redeem, redeem_code
from tests.support.provider import Answer, Browser, Provider
from tests.support.strategies import anything

members = st.dictionaries(
    st.sampled_from(
        ["access_token", "token_type", "expires_in", "scope", "error", "refresh_token"]
    ),
    anything,
)

statuses = st.sampled_from([200, 201, 302, 400, 401, 404, 500])


@pytest.mark.security("B3", "B4")
@pytest.mark.parametrize(
    "answer",
    [
        Answer(body="[]"),
        Answer(body='"token"'),
        Answer(body="{}"),
        Answer(body="null"),
        Answer(body="[" * 100_000),
        Answer(body="<html>access_token=x&token_type=bearer</html>"),
        Answer(body={"access_token": None}),
        Answer(body={"access_token": ""}),
        Answer(body={"access_token": 7}),
        Answer(body={"access_token": ["x"]}),
        Answer(body={"access_token": "x\r\ny: z"}),
        Answer(body={"access_token": "é"}),
        Answer(body={"token_type": "Bearer"}),
        Answer(body={"access_token": "x", "token_type": "mac"}),
        Answer(body={"access_token": "x", "token_type": "DPoP"}),
        Answer(body={"access_token": "x", "token_type": 7}),
        Answer(body=b"\xff\xfe"),
        Answer(status=404, body={"message": "Not Found"}),
        Answer(status=400, body="no"),
        Answer(status=500, body={"error": "invalid_grant"}),
        Answer(status=429, body={"error": "slow_down"}),
    ],
)
def test_nonsense_is_a_provider_error(provider: Provider, answer: Answer) -> None:
    provider.on("/token", answer)
    with pytest.raises(ProviderError):
        redeem_code(provider)


@pytest.mark.security("B3")
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('{"access_token": "x", "expires_in": 60}', "text/html"),
        ('{"access_token": "x", "expires_in": "60"}', "application/json"),
        ('{"access_token": "x", "token_type": "BEARER", "expires": 60}', "text/plain"),
        ("access_token=x&expires_in=60", "application/json"),
        ("access_token=x&token_type=bearer&expires=60", "text/plain"),
    ],
)
def test_json_and_forms_are_read_whatever_the_content_type(
    provider: Provider, body: str, kind: str
) -> None:
    provider.on("/token", Answer(body=body, content_type=kind))
    began = int(time.time())
    token = redeem_code(provider)
    assert token is not None
    assert token["access_token"] == "x"
    assert began <= token["expires_at"] - 60 <= time.time()


@pytest.mark.security("B3")
@pytest.mark.parametrize(
    "value", ["-1", "1e300", "NaN", "[1]", "true", "{}", '"soon"', "null", "0"]
)
def test_an_odd_expires_in_is_unknown(provider: Provider, value: str) -> None:
    provider.on("/token", Answer(body=f'{{"access_token": "x", "expires_in": {value}}}'))
    token = redeem_code(provider)
    assert token is not None
    assert "expires_at" not in token


@pytest.mark.security("B4")
@pytest.mark.parametrize("status", [200, 400, 401, 403])
def test_a_refusal_is_typed(provider: Provider, status: int) -> None:
    body = {"error": "invalid_grant", "error_description": "too late"}
    provider.on("/token", Answer(status=status, body=body))
    with pytest.raises(TokenError) as caught:
        redeem_code(provider)
    error = caught.value
    assert (error.error, error.error_description, error.status_code) == (
        "invalid_grant", "too late", status,
    )  # fmt: skip


@pytest.mark.security("B4", "C1")
def test_a_refusal_that_quotes_the_request_tells_no_secret(provider: Provider) -> None:
    provider.on(
        "/token",
        lambda request: Answer(
            status=400,
            body={"error": "invalid_grant", "error_description": f"bad: {request.form}"},
        ),
    )
    with pytest.raises(TokenError) as caught:
        redeem_code(provider)
    told = f"{caught.value!r} {caught.value} {caught.value.error_description}"
    (call,) = provider.calls("/token")
    assert call.form["code"] not in told
    assert "the-secret" not in told


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.binary() | members.map(lambda given: json.dumps(given).encode()), statuses)
def test_any_token_answer_is_a_token_or_an_error_of_ours(
    provider: Provider, body: bytes, status: int
) -> None:
    provider.off()
    provider.on("/token", Answer(status=status, body=body))
    try:
        token = make_client(provider).get_token("code")
    except (TokenError, ProviderError):
        return
    assert token is None or (isinstance(token["access_token"], str) and status < 300)


@pytest.mark.security("B3")
@pytest.mark.parametrize("digits", [1, 20, 400, 5000])
def test_a_lifetime_beyond_all_measure_is_unknown(
    browser: Browser, provider: Provider, digits: int
) -> None:
    body = f'{{"access_token": "x", "expires_in": {"9" * digits}}}'
    provider.on("/token", Answer(body=body.encode()))
    token = make_handler(provider, redirect_uri="http://localhost/callback").get_token("code")
    assert token is not None
    assert (token.expires_at is None) == (digits > 1)


@pytest.mark.security("B3", "C1")
@pytest.mark.parametrize("came", [["a-secret"], {"access_token": "a-secret"}])
def test_a_token_type_that_is_no_text_is_told_by_its_type(provider: Provider, came: object) -> None:
    provider.token_overrides = {"token_type": came}
    with pytest.raises(ProviderError, match=f"token_type of type {type(came).__name__}") as told:
        redeem_code(provider)
    assert "a-secret" not in str(told.value)


@pytest.mark.security("B3")
@pytest.mark.parametrize("came", ["User Access Token", "user access token", "USER ACCESS TOKEN"])
def test_another_word_for_a_bearer_token_counts_where_it_is_named(
    provider: Provider, came: str
) -> None:
    provider.token_overrides = {"token_type": came}
    with pytest.raises(ProviderError, match=rf"{came}.*token_types"):
        redeem_code(provider)
    handler = make_handler(provider, redirect_uri=CALLBACK, token_types=["User Access Token"])
    token = redeem(handler, provider)
    assert handler.session(token).get("x").status_code == 200
    sent = provider.calls("/api/x")[-1].headers["Authorization"]
    assert sent == f"Bearer {token.access_token}"
    provider.token_overrides = {"token_type": "mac"}
    with pytest.raises(ProviderError, match=r"'mac'.*bearer, user access token"):
        redeem(handler, provider)


@pytest.mark.parametrize("came", [7, ["Bearer"], {"x": "\n" * 5000}, "a\nb" * 5000])
def test_a_token_type_is_named_in_one_short_line(provider: Provider, came: object) -> None:
    provider.token_overrides = {"token_type": came}
    with pytest.raises(ProviderError) as caught:
        redeem_code(provider)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_a_single_word_is_no_list_of_token_types(provider: Provider) -> None:
    with pytest.raises(ConfigurationError, match="token_types"):
        make_client(provider, token_types="MAC")
