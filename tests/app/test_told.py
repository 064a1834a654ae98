"""What a developer is told of the mistakes that newcomers make: the cause and the fix."""

from __future__ import annotations

import logging
import re
import typing as t

import pytest
from flask import Flask, jsonify, render_template_string

from flask_oauth2_login import (
    ConfigurationError,
    OAuth2Login,
    OpenIDConnect,
    current_identity,
    current_oauth_session,
)
from tests.conftest import SSO, MakeApp
from tests.support.handlers import make_handler, make_openid
from tests.support.provider import REMOVED, Answer, Browser, Provider
from tests.support.servers import free_port

SENT = "The redirect URI that is sent is http://localhost/callback. Register exactly this one"


@pytest.mark.parametrize("debug", [False, True])
def test_the_first_sign_in_logs_the_redirect_uri_once(
    app: Flask, browser: Browser, caplog: pytest.LogCaptureFixture, debug: bool
) -> None:
    caplog.set_level(logging.INFO, "flask_oauth2_login")
    app.debug = debug
    for _ in range(2):
        browser.begin()
    (record,) = (each for each in caplog.records if "the redirect URI" in each.getMessage())
    assert "is sent is http://localhost/callback." in record.getMessage()
    assert record.levelno == (logging.WARNING if debug else logging.INFO)


@pytest.mark.parametrize("where", ["authorization", "token"])
def test_a_refusal_of_the_redirect_uri_names_it(
    browser: Browser, provider: Provider, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    error = "redirect_uri_mismatch"
    if where == "token":
        provider.on("/token", Answer(400, {"error": error}))
        browser.sign_in()
    else:
        browser.get(provider.consent(browser.begin(), code=REMOVED, error=error))
    (line,) = (text for text in caplog.messages if "sign-in failed" in text)
    assert error in line
    assert SENT in line
    assert "ProxyFix" in line


@pytest.mark.security("C1")
def test_a_refusal_to_another_browser_is_told_too_and_writes_no_line_of_its_own(
    app: Flask, browser: Browser, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    error = "redirect_uri_mismatch\nWARNING forged"
    answer = provider.consent(browser.begin(), code=REMOVED, error=error)
    Browser(app, provider).get(answer)
    browser.get("/callback?error=x%0Ay&state=" + "a" * 32)
    lines = [text for text in caplog.messages if "sign-in failed" in text]
    assert all(line.isprintable() for line in lines)
    assert "The answer says error='x" in lines[-1]


def test_a_sign_in_begun_at_another_host_is_not_told_to_register_this_one(
    provider: Provider, make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_app(OAuth2Login(make_handler(provider))).test_client()
    begun = client.get("/login", base_url="http://localhost:5000").location
    answer = provider.consent(begun, code=REMOVED, error="redirect_uri_mismatch")
    client.get(answer.replace("localhost", "127.0.0.1"), base_url="http://127.0.0.1:5000")
    (line,) = (text for text in caplog.messages if "sign-in failed" in text)
    assert "The answer says error='redirect_uri_mismatch'" in line
    assert "a sign-in begun here sends http://127.0.0.1:5000/callback" in line
    assert "Register exactly this one" not in line


def test_a_redirect_uri_at_another_host_is_not_told_to_be_registered(
    provider: Provider, make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    handler = make_handler(provider, redirect_uri="http://127.0.0.1:5000/callback")
    client = make_app(OAuth2Login(handler)).test_client()
    begun = client.get("/login", base_url="http://localhost:5000").location
    client.get(provider.consent(begun), base_url="http://127.0.0.1:5000")
    (line,) = (text for text in caplog.messages if "sign-in failed" in text)
    assert "begun at 'localhost:5000'" in line
    assert "Register exactly this one" not in line


@pytest.mark.parametrize("answer", ["code=x", "error=redirect_uri_mismatch"])
def test_a_response_to_a_url_without_a_view_names_the_callbacks(
    provider: Provider, make_app: MakeApp, caplog: pytest.LogCaptureFixture, answer: str
) -> None:
    app = make_app()
    app.register_blueprint(OAuth2Login(make_handler(provider)), url_prefix="/github")
    client = app.test_client()
    assert client.get("/callback?code=x").status_code == 404
    assert caplog.messages == []
    for _ in range(2):
        assert client.get(f"/callback?state=secret&{answer}").status_code == 404
    (line,) = caplog.messages
    assert "came to /callback" in line
    assert "/github/callback" in line
    assert "secret" not in line


def test_other_refusals_do_not_speak_of_the_redirect_uri(
    browser: Browser, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    browser.get(provider.consent(browser.begin(), code=REMOVED, error="access_denied"))
    (line,) = (text for text in caplog.messages if "sign-in failed" in text)
    assert "redirect URI" not in line
    assert "The answer says" not in line


@pytest.mark.parametrize("within_app", [False, True])
def test_outside_a_request_the_proxies_name_what_works_there(app: Flask, within_app: bool) -> None:
    def use() -> None:
        for attempt in (lambda: current_oauth_session.get("/me"), lambda: current_identity.id):
            with pytest.raises(RuntimeError, match=r"login\.session_for\(owner\)"):
                attempt()

    if within_app:
        with app.app_context():
            use()
    else:
        use()


@pytest.mark.parametrize("call", ["login_url()", "logout_button()"])
def test_outside_a_request_a_template_is_told_to_be_rendered_in_a_view(
    app: Flask, call: str
) -> None:
    with app.app_context(), pytest.raises(RuntimeError, match="Render the template in a view"):
        render_template_string(f"{{{{ {call} }}}}")


def test_a_claim_that_nobody_asked_for_says_how_to_ask(sso: SSO) -> None:
    @sso.app.get("/groups")
    def groups() -> t.Any:
        return current_identity.claims["groups"]

    sso.browser.sign_in()
    with pytest.raises(KeyError, match=r"OAuth2Login\(…, claims=\['groups'\]\)"):
        sso.browser.get("/groups")
    assert sso.browser.get("/me").get_json()["claims"] == {}


def test_json_of_the_proxy_names_what_can_be_json(sso: SSO) -> None:
    @sso.app.get("/json")
    def view() -> t.Any:
        return jsonify(current_identity)

    sso.browser.sign_in()
    with pytest.raises(TypeError, match=r"current_identity\.to_dict\(\)"):
        sso.browser.get("/json")


@pytest.mark.parametrize("end", ["openid-configuration", "oauth-authorization-server"])
def test_the_address_of_the_metadata_is_not_the_issuer(end: str) -> None:
    with pytest.raises(ConfigurationError, match=r"The issuer is .*'https://sso.example/realms/a'"):
        OpenIDConnect("x", "y", f"https://sso.example/realms/a/.well-known/{end}")


@pytest.mark.parametrize(
    ("variable", "fix"),
    [
        ("GITHUB_CLIENT_ID", "call it FLASK_GITHUB_CLIENT_ID there"),
        ("FLASK_GITHUB_CLIENT_ID", r"call app.config.from_prefixed_env\(\)"),
    ],
)
def test_credentials_that_only_the_environment_has_are_noticed(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, variable: str, fix: str
) -> None:
    monkeypatch.setenv(variable, "the-client")
    with pytest.raises(ConfigurationError, match=fix):
        make_app(OAuth2Login("github"))


def test_a_wrong_secret_names_the_keys_that_it_is_read_from(
    make_app: MakeApp, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    row = {
        "authorization_url": f"{provider.url}/authorize",
        "token_url": f"{provider.url}/token",
        "userinfo_url": f"{provider.url}/userinfo",
    }
    app = make_app(
        OAuth2Login("acme"),
        OAUTH2_LOGIN_PROVIDERS={"acme": row},
        ACME_CLIENT_ID=provider.client_id,
        ACME_CLIENT_SECRET="wrong",
    )
    assert Browser(app, provider).sign_in().status_code == 502
    assert "They are app.config['ACME_CLIENT_ID'] and app.config['ACME_CLIENT_SECRET']." in (
        caplog.text
    )


@pytest.mark.parametrize(
    ("host", "cause"),
    [("127.0.0.1", "the connection was refused"), ("nowhere.invalid", "no such host name")],
)
def test_a_provider_that_is_not_there_is_told_from_a_name_that_is_wrong(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture, host: str, cause: str
) -> None:
    issuer = f"http://{host}:{free_port()}"
    app = make_app(OAuth2Login(OpenIDConnect("x", "y", issuer, http_hosts=[host])))
    assert Browser(app).get("/login").status_code == 503
    assert cause in caplog.text


def test_a_login_by_a_handler_names_no_keys(
    make_app: MakeApp, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(OAuth2Login(make_handler(provider)))
    provider.client_secret = "another"
    assert Browser(app, provider).sign_in().status_code == 502
    assert "app.config" not in caplog.text


def test_a_clock_that_is_wrong_is_named(
    make_app: MakeApp, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.id_token_options = {"claims": {"iat": lambda now: now + 3600}}
    assert (
        Browser(make_app(OAuth2Login(make_openid(provider))), provider).sign_in().status_code == 502
    )
    assert re.search("3(599|600) seconds in the future by this machine's clock.*NTP", caplog.text)


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (Answer(404, {"error": "not_found"}), "status 404"),
        (Answer(200, "<h1>Sign in</h1>"), "a page for people"),
    ],
    ids=["404", "page"],
)
def test_a_path_below_an_issuer_that_is_no_api_names_api_url_once(
    make_app: MakeApp,
    provider: Provider,
    caplog: pytest.LogCaptureFixture,
    answer: Answer,
    what: str,
) -> None:
    provider.on("/repos", answer)
    app = make_app(OAuth2Login(make_openid(provider, api_url=None), scope="email"))

    @app.get("/repos")
    def repos() -> str:
        return str(current_oauth_session.get("/repos").status_code)

    browser = Browser(app, provider)
    browser.sign_in()
    for _ in range(2):
        assert browser.get("/repos").text == str(answer.status)
    (line,) = (text for text in caplog.messages if "api_url" in text)
    assert f"An API call to {provider.issuer} got {what}." in line


@pytest.mark.parametrize(
    ("answer", "options"),
    [(Answer(200, {}), {"api_url": None}), (Answer(404, {}), {})],
    ids=["json", "api_url"],
)
def test_an_api_that_is_known_or_answers_is_not_doubted(
    make_app: MakeApp,
    provider: Provider,
    caplog: pytest.LogCaptureFixture,
    answer: Answer,
    options: dict[str, t.Any],
) -> None:
    provider.on("/repos", answer)
    provider.on("/api/repos", answer)
    app = make_app(OAuth2Login(make_openid(provider, **options), scope="email"))

    @app.get("/repos")
    def repos() -> str:
        return str(current_oauth_session.get("/repos").status_code)

    browser = Browser(app, provider)
    browser.sign_in()
    assert browser.get("/repos").text == str(answer.status)
    assert "api_url" not in caplog.text
