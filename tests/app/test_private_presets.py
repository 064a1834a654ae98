"""Presets of an app's own that are not what they should be: each mistake is told by its name."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from flask import Flask

from flask_oauth2_login import ConfigurationError, OAuth2, OAuth2Login, OpenIDConnect, ProviderError

SITE = "https://sso.example"


def register(row: t.Any, preset: t.Any = None, name: str = "sso", **config: t.Any) -> Flask:
    app = Flask("private")
    app.config |= {
        "SECRET_KEY": "x" * 32,
        "SSO_CLIENT_ID": "the-client",
        "SSO_CLIENT_SECRET": "the-secret",
        "OAUTH2_LOGIN_PROVIDERS": {"sso": row},
        **config,
    }
    app.register_blueprint(OAuth2Login(name, preset=preset))
    return app


WRONG: list[tuple[str, t.Any]] = [
    ("issuer", 5),
    ("issuer", ["https://sso.example"]),
    ("site", 5),
    ("token_url", 5),
    ("authorization_url", ["x"]),
    ("userinfo_url", 5),
    ("api_url", ["https://sso.example"]),
    ("metadata_url", 5),
    ("jwks_url", 5),
    ("redirect_uri", 5),
    ("api_origins", 5),
    ("api_origins", [5]),
    ("http_hosts", 5),
    ("token_types", [5]),
    ("scope", 5),
    ("scope", {"a": 1}),
    ("headers", "x"),
    ("headers", ["x"]),
    ("authorize_params", "prompt=login"),
    ("token_names", ["x"]),
    ("userinfo_params", "x"),
    ("identity", {"id": 5}),
    ("identity", {"id": ["sub", 5]}),
    ("identity", {"id": None}),
    ("pkce", "no"),
    ("nonce", "no"),
    ("revoke", 0),
    ("numeric_sub", 1),
    ("token_path", 5),
    ("email_path", 5),
    ("bearer_method", 5),
    ("bearer_scheme", 5),
    ("scope_separator", 5),
    ("label", {"de": "x"}),
    ("client_auth", ["x"]),
    ("private_key", 5),
    ("private_key", "password"),
    ("assertion_algorithm", "HS256"),
    ("assertion_audience", "sso.example"),
    ("protocol", ["x"]),
    ("metadata", "x"),
    ("proxies", "http://user:password@proxy.example"),
    ("answer_domains", ["https://sso.example/"]),
    ("answer_domains", ["*.sso.example"]),
    ("answer_domains", [".sso.example"]),
    ("answer_domains", ["sso.example."]),
    ("answer_domains", ["com"]),
    ("answer_domains", [""]),
    ("signed_secret", {"key": "x"}),
    ("signed_secret", "x"),
]


@pytest.mark.parametrize(("word", "value"), WRONG)
def test_a_member_of_another_type_is_told_by_its_name(word: str, value: t.Any) -> None:
    config = {"SSO_PRIVATE_KEY": "a-key"} if word == "signed_secret" else {}
    with pytest.raises(ConfigurationError, match=word) as told:
        register({"issuer": SITE, word: value}, **config)
    assert "password" not in str(told.value)
    with pytest.raises(ConfigurationError, match=word):
        register({"issuer": SITE}, {word: value}, **config)
    with pytest.raises(ConfigurationError, match=word):
        register({"issuer": SITE}, **config, **{f"SSO_{word.upper()}": value})


def test_a_name_that_is_no_string_is_told() -> None:
    for row, preset in (({"issuer": SITE, 5: 6}, None), ({"issuer": SITE}, {5: 6})):
        with pytest.raises(ConfigurationError, match=r"has (no )?5"):
            register(row, preset)


def test_a_preset_without_an_issuer_and_endpoints_is_told() -> None:
    for row in ({"issuer": None}, {"scope": "x"}, {"issuer": None, "token_url": None}):
        with pytest.raises(ConfigurationError, match="neither issuer nor endpoints"):
            register(row)
    with pytest.raises(ConfigurationError, match="protocol='openid', which needs an 'issuer'"):
        register({"site": SITE, "protocol": "openid"})
    app = register({"issuer": SITE}, {"issuer": None, "site": SITE})
    assert type(app.extensions["oauth2_login"].logins["sso"].handler) is OAuth2


def test_credentials_have_keys_of_their_own() -> None:
    with pytest.raises(ConfigurationError, match=r"into app\.config\['SSO_CLIENT_SECRET'\]"):
        register({"issuer": SITE}, {"client_secret": "the-secret"})


def test_a_profile_needs_a_key_or_a_certificate_in_place_of_a_secret(tmp_path: Path) -> None:
    row: dict[str, str] = {"issuer": SITE, "profile": "fapi2"}
    rows = {"bank": row}
    with pytest.raises(ConfigurationError, match=r"private_key=…, which .* or cert=…"):
        register({}, name="bank", OAUTH2_LOGIN_PROVIDERS=rows, BANK_CLIENT_ID="the-client")
    certificate = tmp_path / "client.pem"
    certificate.touch()
    row["cert"] = str(certificate)
    register({}, name="bank", OAUTH2_LOGIN_PROVIDERS=rows, BANK_CLIENT_ID="the-client")


@pytest.mark.security("B2")
@pytest.mark.parametrize("other", ["sso-", "SSO_", "sso.", "sso\N{LATIN SMALL LETTER SHARP S}"])
def test_two_providers_that_read_the_same_keys_are_told(other: str) -> None:
    rows = {name: {"issuer": SITE} for name in ("sso_", other)}
    with pytest.raises(ConfigurationError, match=r"same keys of app\.config, SSO__…"):
        register({}, name="sso_", OAUTH2_LOGIN_PROVIDERS=rows)


@pytest.mark.security("B2", "C3")
@pytest.mark.parametrize(
    "site",
    [
        "https://user:secret@sso.example",
        "https://sso.example\\@evil.example",
        "https://sso.example/@x",
        "ftp://sso.example",
        "sso.example",
        "https://sso.example /",
    ],
)
def test_a_site_is_a_plain_url(site: str) -> None:
    with pytest.raises(ConfigurationError, match="not the absolute URL of a server"):
        register({"issuer": "https://old.example"}, {"site": site})


def test_domains_of_answers_are_compared_without_case() -> None:
    handler = OpenIDConnect(
        "c", "s", SITE, api_url="https://{token.host}/", answer_domains=["Provider.Example"]
    )
    session = handler.session({"access_token": "at-1", "host": "EU.provider.example"})
    with pytest.raises(ConfigurationError, match="api_origins"):
        session.get("https://evil.example/")
    with pytest.raises(ProviderError, match="leads to no host"):
        handler.session({"access_token": "at-1", "host": "evil.example"})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("GitHub", "github"),
        ("gihtub", "github"),
        ("git-hub", "github"),
        ("twitter", "x"),
        ("entra", "microsoft"),
        ("azure", "azure_ad_b2c"),
    ],
)
def test_a_name_that_people_know_gets_the_preset_that_is_meant(name: str, meant: str) -> None:
    with pytest.raises(ConfigurationError, match=f"Did you mean '{meant}'\\?"):
        register({}, name=name)
