"""Signing in with another device: RFC 8628."""

from __future__ import annotations

import typing as t

import pytest

from flask_oauth2_login import (
    AuthorizationError,
    ConfigurationError,
    IDTokenError,
    OAuth2,
    ProviderError,
    TokenError,
)
from tests.support.handlers import issue, make_client, make_openid_client
from tests.support.provider import CUT_BEFORE, Answer, Provider


class Person:
    """Reads the prompt, and decides after so many questions of the program."""

    def __init__(self, provider: Provider, after: int = 1, *, consents: bool = True) -> None:
        self.provider = provider
        self.after = after
        self.consents = consents
        self.prompts: list[str] = []
        self.waits: list[float] = []

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        if len(self.waits) == self.after:
            user_code = self.prompts[0].removesuffix(".").rpartition(" ")[2]
            person = self.provider.person if self.consents else None
            self.provider.grants.decide_device(user_code, person)

    def sign_in(self, handler: OAuth2, **params: t.Any) -> t.Any:
        return handler.device_login(self.prompts.append, wait=self.wait, **params)


def make_plain_client(provider: Provider, **options: t.Any) -> OAuth2:
    return make_client(provider, **{"device_authorization_url": "device", **options})


def test_somebody_signs_in_with_another_device(provider: Provider) -> None:
    person = Person(provider, after=3)
    token = person.sign_in(make_openid_client(provider), scope="email")
    assert token.identity.email == "ada@example.com"
    assert person.waits == [2, 2, 2]
    (request,) = provider.calls("/device")
    assert request.form["scope"] == "openid email"
    (prompt,) = person.prompts
    assert prompt.startswith(f"To sign in, open {provider.url}/enter?user_code=")


def test_it_works_without_openid_connect(provider: Provider) -> None:
    person = Person(provider)
    handler = make_plain_client(provider, api_url=provider.api_url)
    token = person.sign_in(handler, scope=["read"])
    assert token["scope"] == "read"
    assert token.identity is None
    assert handler.session(token).get("x").json()["sub"] == "ada"


def test_a_public_client_says_its_id(provider: Provider) -> None:
    provider.client_secret = None
    handler = OAuth2(
        provider.client_id, None, provider.url,
        token_url="token", device_authorization_url="device",
    )  # fmt: skip
    Person(provider).sign_in(handler)
    assert provider.calls("/device")[0].form == {"client_id": provider.client_id}


def answer(**members: t.Any) -> Answer:
    """An answer of the device authorization endpoint."""
    good = {
        "device_code": "d-1",
        "user_code": "ABCD",
        "verification_uri": "https://sso.example/enter",
        "expires_in": 600,
    }
    members = {**good, **members}
    return Answer(200, {name: value for name, value in members.items() if value is not ...})


class Stop(Exception):
    """Ends a sign-in at its first wait."""


def begin(provider: Provider, given: Answer) -> tuple[list[str], list[float]]:
    """Begin a sign-in, and return the prompts and the waits up to the first question."""
    prompts: list[str] = []
    waits: list[float] = []

    def stop(seconds: float) -> None:
        waits.append(seconds)
        raise Stop

    provider.on("/device", given)
    with pytest.raises(Stop):
        make_plain_client(provider).device_login(prompts.append, wait=stop)
    return prompts, waits


@pytest.mark.parametrize(
    ("members", "prompt"),
    [
        ({}, "To sign in, open https://sso.example/enter and enter the code ABCD."),
        (
            {"verification_uri_complete": "https://sso.example/e?c=ABCD"},
            "To sign in, open https://sso.example/e?c=ABCD and check that it shows the code ABCD.",
        ),
        (
            {"verification_uri": ..., "verification_url": "https://sso.example/device"},
            "To sign in, open https://sso.example/device and enter the code ABCD.",
        ),
        (
            {"user_code": "\x1b[2JAB\nCD", "verification_uri": "https://sso.example/\x9b2J\u202e"},
            "To sign in, open https://sso.example/ 2J  and enter the code  [2JAB CD.",
        ),
    ],
    ids=["uri", "complete", "Google", "controls"],
)
def test_the_prompt_is_one_sentence(
    provider: Provider, members: dict[str, t.Any], prompt: str
) -> None:
    assert begin(provider, answer(**members))[0] == [prompt]


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [(..., 5), (7, 7), (0, 1), (-3, 5), ("7", 5), (True, 5), (None, 5)],
    ids=["none", "7", "0", "negative", "text", "flag", "null"],
)
def test_the_provider_says_how_often_to_ask(
    provider: Provider, interval: t.Any, seconds: int
) -> None:
    assert begin(provider, answer(interval=interval))[1] == [seconds]


@pytest.mark.parametrize("interval", [1e18, 86_399])
def test_a_sign_in_takes_a_day_at_most(provider: Provider, interval: float) -> None:
    waits: list[float] = []
    provider.on("/device", answer(expires_in=1e300, interval=interval))
    provider.on("/token", Answer(400, {"error": "slow_down"}))
    with pytest.raises(AuthorizationError, match="in time"):
        make_plain_client(provider).device_login(lambda _: None, wait=waits.append)
    assert waits == [interval for _ in provider.calls("/token")]


@pytest.mark.security("B3")
@pytest.mark.parametrize(
    "given",
    [
        answer(device_code=...),
        answer(user_code=7),
        answer(verification_uri=...),
        answer(verification_uri="http://sso.example/enter"),
        answer(verification_uri="javascript:alert(1)"),
        answer(verification_uri_complete="http://evil.example/"),
        answer(expires_in="soon"),
        answer(expires_in=-1),
        Answer(200, "<html>"),
        Answer(404, {"message": "no"}),
    ],
    ids=[
        "code",
        "user code",
        "uri",
        "http",
        "script",
        "complete",
        "time",
        "past",
        "HTML",
        "404",
    ],
)
def test_nonsense_is_told_before_anybody_is_prompted(provider: Provider, given: Answer) -> None:
    provider.on("/device", given)
    prompts: list[str] = []
    with pytest.raises(ProviderError):
        make_plain_client(provider).device_login(prompts.append)
    assert prompts == []


def test_slow_down_prolongs_each_wait(provider: Provider) -> None:
    provider.on("/token", Answer(400, {"error": "slow_down"}), times=2)
    person = Person(provider, after=4)
    assert person.sign_in(make_openid_client(provider)).identity.id == "ada"
    assert person.waits == [2, 7, 12, 12]


@pytest.mark.security("C6")
@pytest.mark.parametrize(
    "trouble",
    [Answer(503, headers={"Retry-After": "1"}), Answer(500), CUT_BEFORE],
    ids=["503", "500", "cut"],
)
def test_an_outage_doubles_the_wait(provider: Provider, trouble: t.Any) -> None:
    provider.on("/token", trouble, times=2)
    person = Person(provider, after=1)
    assert person.sign_in(make_openid_client(provider)).identity.id == "ada"
    assert person.waits == [2, 4, 8]


def test_the_provider_says_when_it_is_back(provider: Provider) -> None:
    provider.on("/token", Answer(503, headers={"Retry-After": "30"}), times=1)
    person = Person(provider, after=1)
    person.sign_in(make_openid_client(provider))
    assert person.waits == [2, 30]


@pytest.mark.security("B4")
def test_a_person_may_refuse(provider: Provider) -> None:
    person = Person(provider, after=2, consents=False)
    with pytest.raises(AuthorizationError) as caught:
        person.sign_in(make_openid_client(provider))
    assert caught.value.error == "access_denied"
    assert len(provider.calls("/token")) == 2


@pytest.mark.security("B4")
def test_the_time_ends_by_the_provider_or_by_the_clock(provider: Provider) -> None:
    handler = make_openid_client(provider)
    provider.on("/token", Answer(400, {"error": "expired_token"}))
    with pytest.raises(AuthorizationError) as caught:
        handler.device_login(lambda _: None, wait=lambda _: None)
    assert caught.value.error == "expired_token"
    provider.on("/device", answer(expires_in=4))
    with pytest.raises(AuthorizationError, match="nobody has entered the code in time"):
        handler.device_login(lambda _: None, wait=lambda _: None)
    assert len(provider.calls("/token")) == 1


@pytest.mark.security("B4")
def test_a_program_that_is_refused_is_told_so(provider: Provider) -> None:
    provider.on("/device", Answer(401, {"error": "invalid_client"}), times=1)
    with pytest.raises(TokenError) as caught:
        make_openid_client(provider).device_login()
    assert caught.value.error == "invalid_client"
    provider.on("/token", Answer(400, {"error": "unauthorized_client"}))
    with pytest.raises(TokenError) as caught:
        make_openid_client(provider).device_login(lambda _: None, wait=lambda _: None)
    assert caught.value.error == "unauthorized_client"
    assert len(provider.calls("/token")) == 1


@pytest.mark.security("E2")
def test_a_bad_id_token_signs_nobody_in(provider: Provider) -> None:
    issue(provider, claims={"aud": "another"})
    with pytest.raises(IDTokenError):
        Person(provider).sign_in(make_openid_client(provider))
    assert provider.latest_grant.revoked


@pytest.mark.security("C1")
def test_the_device_code_is_in_no_error(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.on("/device", answer(device_code="the-secret-code"))
    description = "the-secret-code is unknown"
    provider.on("/token", Answer(400, {"error": "x", "error_description": description}))
    with caplog.at_level("DEBUG"), pytest.raises(TokenError) as caught:
        make_openid_client(provider).device_login(lambda _: None, wait=lambda _: None)
    assert "the-secret-code" not in str(caught.value) + caplog.text


def test_a_provider_without_it_is_told_so(provider: Provider) -> None:
    with pytest.raises(ConfigurationError, match="device_authorization_url"):
        make_client(provider).device_login()
