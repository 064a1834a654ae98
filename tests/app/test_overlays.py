"""SECURITY B2 and C3: variables of presets, and presets at another site, by code and by config."""

from __future__ import annotations

import typing as t

import pytest
from flask import Flask, request

from flask_oauth2_login import (
    ConfigurationError,
    OAuth2,
    OAuth2Login,
    current_identity,
    current_oauth_session,
    login_required,
)
from flask_oauth2_login.providers.presets import find_preset
from tests.conftest import MakeProvider
from tests.support.provider import Browser, Provider

OLD = "https://old.example"


def endpoints_at(base: str) -> dict[str, t.Any]:
    return {
        "authorization_url": f"{base}/authorize",
        "token_url": f"{base}/token",
        "userinfo_url": f"{base}/userinfo",
        "api_url": f"{base}/api/",
    }


WITH_DOMAIN = {**endpoints_at("https://{domain}"), "variables": {"domain": None}}
WITH_TENANT = {**endpoints_at("https://old.example/{tenant}"), "variables": {"tenant": "common"}}


def make_site(
    row: dict[str, t.Any], preset: dict[str, t.Any] | None = None, **config: t.Any
) -> Flask:
    app = Flask("overlays")
    app.config |= {
        "SECRET_KEY": "x" * 32,
        "TESTING": True,
        "SSO_CLIENT_ID": "the-client",
        "SSO_CLIENT_SECRET": "the-secret",
        "OAUTH2_LOGIN_PROVIDERS": {"sso": row},
        **config,
    }
    app.register_blueprint(OAuth2Login("sso", preset=preset))

    @app.get("/me")
    @login_required
    def me() -> dict[str, t.Any]:
        return current_identity.to_dict()

    @app.get("/call")
    @login_required
    def call() -> str:
        return current_oauth_session.get(request.args["url"]).text

    return app


def handler_of(app: Flask) -> OAuth2:
    handler: OAuth2 = app.extensions["oauth2_login"].logins["sso"].handler
    return handler


@pytest.mark.parametrize("how", ["preset", "config"])
def test_a_variable_is_set_by_code_or_by_config(make_provider: MakeProvider, how: str) -> None:
    provider = make_provider(tls=True)
    row = {**WITH_DOMAIN, "verify": provider.ca_file}
    domain = provider.url.removeprefix("https://")
    site = (
        make_site(row, {"domain": domain}) if how == "preset" else make_site(row, SSO_DOMAIN=domain)
    )
    browser = Browser(site, provider)
    assert browser.sign_in().status_code == 302
    assert (browser.fetch("/me").json or {})["id"] == "ada"
    assert browser.fetch("/call?url=user").status_code == 200


def test_code_counts_before_config_and_both_before_a_default() -> None:
    urls = [
        handler_of(make_site(WITH_TENANT, preset, **config)).token_url
        for preset, config in (
            (None, {}),
            (None, {"SSO_TENANT": 4711}),
            ({"tenant": "mine"}, {"SSO_TENANT": "theirs"}),
        )
    ]
    assert urls == [f"{OLD}/{tenant}/token" for tenant in ("common", "4711", "mine")]


def test_variables_and_fields_can_be_environment_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = Flask("environment")
    app.config |= {"SECRET_KEY": "x" * 32, "OAUTH2_LOGIN_PROVIDERS": {"my-sso": WITH_TENANT}}
    for name, value in {
        "CLIENT_ID": "id",
        "CLIENT_SECRET": "secret",
        "TENANT": "4711",
        "SCOPE": "read write",
        "PKCE": "false",
        "AUTHORIZE_PARAMS": '{"prompt": "login"}',
    }.items():
        monkeypatch.setenv(f"FLASK_MY_SSO_{name}", value)
    app.config.from_prefixed_env()
    app.register_blueprint(OAuth2Login("my-sso"))
    login = app.extensions["oauth2_login"].logins["my-sso"]
    assert login.handler.token_url == f"{OLD}/4711/token"
    assert login.scopes == ["read", "write"]
    assert login.handler.pkce is False
    assert login.handler.authorize_params == {"prompt": "login"}


def test_a_word_of_a_private_preset_that_is_misspelled_gets_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"userinfo_ulr \(did you mean userinfo_url\?\)"):
        make_site({**endpoints_at(OLD), "userinfo_ulr": OLD})
    with pytest.raises(ConfigurationError, match=r"sope \(did you mean scope\?\)"):
        make_site({**endpoints_at(OLD), "sope": "x"})


def test_a_variable_that_is_missing_is_named_with_both_ways_to_set_it() -> None:
    for row in (WITH_DOMAIN, endpoints_at("https://{domain}")):
        with pytest.raises(ConfigurationError, match=r"preset=\{'domain'.*SSO_DOMAIN"):
            make_site(row)


NO_HOST = [
    "", "https://sso.example", "sso.example/path", "user@sso.example", "sso.example:port", "a..b",
    ".example", "sso.example.", "a b", "sso.example\n", "sso.example?", "sso.example#", "a\\b", "ä",
    "[::1]", "%2e", None, True, ["sso.example"],
]  # fmt: skip
NO_SEGMENT = [
    "", "a/b", "..", ".", "a..b", "a?b", "a#b", "a b", "a@b", "a:b", "a\\b", "%2e%2e", "a\n",
]  # fmt: skip


@pytest.mark.security("B2")
@pytest.mark.parametrize("value", NO_HOST)
def test_a_domain_is_a_host_name_and_nothing_else(value: t.Any) -> None:
    with pytest.raises(ConfigurationError, match=r"domain"):
        make_site(WITH_DOMAIN, {"domain": value})


@pytest.mark.security("B2")
@pytest.mark.parametrize("value", NO_SEGMENT)
def test_a_tenant_is_one_segment_of_a_path(value: str) -> None:
    with pytest.raises(ConfigurationError, match=r"tenant=.*one segment"):
        make_site(WITH_TENANT, {"tenant": value})


@pytest.mark.security("B2")
@pytest.mark.parametrize("value", ["evil.example/", "evil.example:443", "a@b", "..", "-", "a."])
def test_a_shop_stays_below_its_domain(value: str) -> None:
    row = {**endpoints_at("https://{shop}.shops.example"), "variables": {"shop": None}}
    assert handler_of(make_site(row, {"shop": "mine"})).site == ""
    with pytest.raises(ConfigurationError, match=r"shop=.*part of a host"):
        make_site(row, {"shop": value})


@pytest.mark.parametrize("value", ["sso.example", "sso.example:8443", "localhost", "A-1.b_c.d"])
def test_host_names_that_are_good(value: str) -> None:
    assert handler_of(make_site(WITH_DOMAIN, {"domain": value})).token_url.startswith(
        f"https://{value}/"
    )


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("domian", "Did you mean 'domain'"),
        ("tokenurl", "Did you mean 'token_url'"),
        ("qqqqqq", "It has: domain,.*userinfo_url"),
        ("client_id", r"'client_id' into app\.config\['SSO_CLIENT_ID'\]"),
        ("client_secret", r"'client_secret' into app\.config\['SSO_CLIENT_SECRET'\]"),
        ("sources", "has no 'sources'"),
    ],
)
def test_a_word_that_is_not_known_is_told(word: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        make_site(WITH_DOMAIN, {"domain": "sso.example", word: "x"})


def test_an_argument_that_is_not_known_is_told() -> None:
    with pytest.raises(TypeError, match=r"'scopes'\. Did you mean scope\?"):
        OAuth2Login("github", scopes="repo")  # type: ignore[call-arg]
    with pytest.raises(ConfigurationError, match="give these options to the handler"):
        OAuth2Login(OAuth2("c", "s", OLD), preset={"site": OLD})
    with pytest.raises(ConfigurationError, match="not a dictionary"):
        make_site(WITH_DOMAIN, t.cast("dict[str, t.Any]", "sso.example"))


@pytest.mark.security("B2", "C3")
@pytest.mark.parametrize("row", [endpoints_at(OLD), WITH_DOMAIN, endpoints_at("https://{domain}")])
def test_a_site_takes_the_place_of_the_origin_that_endpoints_share(
    provider: Provider, row: dict[str, t.Any]
) -> None:
    site = make_site(row, SSO_SITE=f"{provider.url}/")
    browser = Browser(site, provider)
    assert browser.sign_in().status_code == 302
    assert browser.fetch("/call?url=user").status_code == 200
    handler = handler_of(site)
    assert handler.token_url == f"{provider.url}/token"
    assert handler.api_url == f"{provider.url}/api/"


@pytest.mark.security("B2", "C3")
def test_a_site_moves_lists_and_issuers_too_and_keeps_paths() -> None:
    row = {"issuer": f"{OLD}/realms/x", "api_origins": [OLD], "metadata_url": f"{OLD}/conf"}
    found = find_preset("sso", {"sso": row}, {"site": "https://new.example/base/"})
    assert found["issuer"] == "https://new.example/base/realms/x"
    assert found["api_origins"] == ["https://new.example/base"]
    assert found["metadata_url"] == "https://new.example/base/conf"
    bare = find_preset("sso", {"sso": {"issuer": OLD}}, {"site": "https://new.example"})
    assert bare["issuer"] == "https://new.example"
    slash = find_preset("sso", {"sso": {"issuer": f"{OLD}/"}}, {"site": "https://new.example"})
    assert slash["issuer"] == "https://new.example/"


@pytest.mark.security("B2", "C3")
@pytest.mark.parametrize(
    "more",
    [
        {"email_url": "https://elsewhere.example/emails"},
        {"api_origins": ["https://uploads.example"]},
        {"api_url": "https://old.example.evil.example/"},
    ],
)
def test_a_site_leaves_nothing_elsewhere_by_accident(more: dict[str, t.Any]) -> None:
    row = {**endpoints_at(OLD), **more}
    (word,) = more
    with pytest.raises(ConfigurationError, match=rf"stand at other servers.*: {word}\."):
        make_site(row, {"site": "https://new.example"})
    found = find_preset("sso", {"sso": row}, {"site": "https://new.example", word: None})
    assert OLD not in str(found)
    assert "elsewhere" not in str(found)


@pytest.mark.security("B2", "C3")
@pytest.mark.parametrize(
    ("name", "preset", "issuer_or_token_url", "api_url"),
    [
        ("gitlab", {}, "https://gitlab.com", "https://gitlab.com/api/v4/"),
        (
            "gitlab",
            {"site": "https://example.com/gitlab"},
            "https://example.com/gitlab",
            "https://example.com/gitlab/api/v4/",
        ),
        (
            "github_enterprise",
            {"domain": "ghe.example.com"},
            "https://ghe.example.com/login/oauth/access_token",
            "https://ghe.example.com/api/v3/",
        ),
        (
            "okta",
            {"domain": "a.okta.com", "issuer": "https://a.okta.com/oauth2/default"},
            "https://a.okta.com/oauth2/default",
            "https://a.okta.com/api/v1/",
        ),
        (
            "keycloak",
            {"issuer": "https://sso.example.com/auth/realms/staff"},
            "https://sso.example.com/auth/realms/staff",
            None,
        ),
        (
            "microsoft",
            {"site": "https://login.example.cn", "api_url": "https://api.example.cn/"},
            "https://login.example.cn/common/v2.0",
            "https://api.example.cn/",
        ),
        (
            "auth0",
            {"site": "https://login.example.com"},
            "https://login.example.com/",
            "https://login.example.com/",
        ),
    ],
)
def test_presets_that_are_shipped_move_as_a_whole(
    name: str, preset: dict[str, t.Any], issuer_or_token_url: str, api_url: str | None
) -> None:
    found = find_preset(name, preset=preset)
    assert found.get("issuer", found.get("token_url")) == issuer_or_token_url
    assert found.get("api_url") == api_url


@pytest.mark.security("B2", "C3")
def test_a_provider_of_an_apps_own_may_have_the_name_of_a_preset(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    own = {
        "site": provider.url,
        "authorization_url": "authorize",
        "token_url": "token",
        "userinfo_url": "userinfo",
    }
    found = find_preset("facebook", {"facebook": own})
    del found["register_url"]
    assert "facebook.com" not in str(found)
    assert found["site"] == provider.url
    assert "api_url" in caplog.text
    keycloak = find_preset("keycloak", {"keycloak": {"issuer": provider.issuer}})
    assert keycloak["issuer"] == provider.issuer
    assert "api_url" not in keycloak


def test_a_site_must_be_a_url_and_leaves_no_variable_without_a_place() -> None:
    with pytest.raises(ConfigurationError, match="not the absolute URL"):
        make_site(endpoints_at(OLD), {"site": "new.example"})
    with pytest.raises(ConfigurationError, match="no place for domain"):
        make_site(WITH_DOMAIN, {"site": "https://new.example", "domain": "sso.example"})
    with pytest.raises(ConfigurationError, match="variables="):
        make_site({**WITH_DOMAIN, "variables": ["domain"]})


@pytest.mark.security("B2", "C3")
def test_an_endpoint_in_config_moves_the_others_away() -> None:
    row = endpoints_at(OLD)
    with pytest.raises(ConfigurationError, match=r"moves the preset 'sso'.*authorization_url"):
        make_site(row, SSO_TOKEN_URL="https://new.example/token")
    handler = handler_of(
        make_site(
            row, {"authorization_url": f"{OLD}/a", "token_url": f"{OLD}/t"}, SSO_API_URL=f"{OLD}/v2"
        )
    )
    assert (handler.api_url, handler.userinfo_url) == (f"{OLD}/v2", f"{OLD}/userinfo")
