"""Registering a client with a provider: RFC 7591."""

from __future__ import annotations

import json
import typing as t

import pytest

from flask_oauth2_login import (
    ConfigurationError,
    OAuth2Login,
    OpenIDConnect,
    ProviderError,
    TokenError,
)
from tests.conftest import MakeApp
from tests.support.assertions import is_signed_in
from tests.support.provider import HANG, REDIRECT, Answer, Browser, Provider

URL = "https://app.example/callback"


def register(provider: Provider, **options: t.Any) -> t.Any:
    return OpenIDConnect.register_client(
        provider.issuer, **{"redirect_uris": [URL], "timeout": (2, 2), **options}
    )


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_a_registered_client_signs_people_in(
    provider: Provider, make_app: MakeApp, method: str
) -> None:
    provider.client_auth_methods = {method}
    client = register(provider, redirect_uris=["http://localhost/callback"], client_name="Ours")
    (request,) = provider.calls("/register")
    assert request.json == {
        "redirect_uris": ["http://localhost/callback"],
        "client_name": "Ours",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": method,
    }
    # It can be kept as JSON.
    client = json.loads(json.dumps(client))
    sso = OpenIDConnect(client["client_id"], client["client_secret"], client["issuer"])
    app = make_app(OAuth2Login(sso, name="sso"))
    browser = Browser(app, provider)
    browser.sign_in()
    assert is_signed_in(browser)


def test_further_members_replace_defaults(provider: Provider) -> None:
    register(provider, scope="openid", grant_types=["authorization_code"], response_types=None)
    members = provider.calls("/register")[0].json
    assert members["scope"] == "openid"
    assert members["grant_types"] == ["authorization_code"]
    assert not {"response_types", "client_name"} & members.keys()


def test_only_supported_grants_are_asked_for(provider: Provider) -> None:
    provider.metadata_overrides = {"grant_types_supported": ["authorization_code"]}
    register(provider)
    assert provider.calls("/register")[0].json["grant_types"] == ["authorization_code"]


@pytest.mark.security("C1")
def test_the_repr_has_no_secrets(provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    provider.initial_access_token = "the-initial-token"
    with caplog.at_level("DEBUG"):
        client = register(provider, initial_access_token="the-initial-token")
    for secret in (
        client["client_secret"], client["registration_access_token"], "the-initial-token",
    ):  # fmt: skip
        assert secret not in f"{client!r} {client} {client.copy()} {caplog.text}"
    assert client["client_id"] in repr(client)
    del client["client_id"]
    assert repr(client).startswith("<RegisteredClient None with")


@pytest.mark.security("B4")
@pytest.mark.parametrize(
    ("answer", "error", "fix"),
    [
        (Answer(400, {"error": "invalid_redirect_uri"}), "invalid_redirect_uri", "/callback"),
        (
            Answer(400, {"error": "invalid_client_metadata", "error_description": "no scope"}),
            "invalid_client_metadata",
            "redirect_uris",
        ),
        (Answer(401), "invalid_token", "initial_access_token="),
        (Answer(403, {"error": "insufficient_scope"}), "invalid_token", "initial_access_token="),
        (Answer(400, {"error": "unapproved_software_statement"}), None, "approve"),
        (Answer(400, {"error": "something_else"}), "something_else", "something_else"),
    ],
    ids=["redirect", "metadata", "401", "403", "statement", "other"],
)
def test_a_refusal_names_the_fix(
    provider: Provider, answer: Answer, error: str | None, fix: str
) -> None:
    provider.on("/register", answer)
    with pytest.raises(TokenError) as caught:
        register(provider)
    assert caught.value.error == (error or answer.body["error"])
    assert fix in str(caught.value)


@pytest.mark.security("C1")
def test_a_refusal_quotes_no_token(provider: Provider) -> None:
    quoted = {"error": "invalid_token", "error_description": "the-initial-token is wrong"}
    provider.on("/register", Answer(401, quoted))
    with pytest.raises(TokenError) as caught:
        register(provider, initial_access_token="the-initial-token")
    assert "the-initial-token" not in str(caught.value)


@pytest.mark.security("B1")
@pytest.mark.security("B2")
@pytest.mark.parametrize(
    "trouble",
    [
        Answer(500),
        Answer(200, "<html>"),
        Answer(201, {"client_secret": "x"}),
        Answer(201, {"client_id": 7}),
        Answer(201, {"client_id": "x", "client_secret": ["y"]}),
        Answer(404, {"message": "no"}),
        REDIRECT("https://evil.example/"),
        HANG,
    ],
    ids=["500", "HTML", "no id", "number", "list", "404", "redirect", "hangs"],
)
def test_nonsense_is_told(provider: Provider, trouble: t.Any) -> None:
    provider.on("/register", trouble)
    with pytest.raises(ProviderError):
        register(provider)
    assert len(provider.calls("/register")) == 1


@pytest.mark.parametrize(
    "uris",
    [[], "https://app.example/", ["http://app.example/"], ["/callback"], [f"{URL}#a"]],
    ids=["none", "string", "http", "path", "fragment"],
)
def test_redirect_uris_must_be_https(provider: Provider, uris: t.Any) -> None:
    with pytest.raises(ConfigurationError, match="redirect_uris"):
        register(provider, redirect_uris=uris)
    assert not provider.calls("/register")


@pytest.mark.security("B2")
@pytest.mark.parametrize("endpoint", [..., "http://sso.example/register"], ids=["none", "http"])
def test_the_endpoint_must_be_there_and_https(provider: Provider, endpoint: t.Any) -> None:
    provider.metadata_overrides = {"registration_endpoint": endpoint}
    with pytest.raises(ConfigurationError, match="registration_endpoint"):
        register(provider)
