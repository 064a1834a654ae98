"""Tokens for further APIs, in exchange for a login's: RFC 8693."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from flask import Flask, jsonify

from flask_oauth2_login import (
    ConfigurationError,
    LoginRequired,
    OAuth2Login,
    OAuth2Session,
    ProviderError,
    TokenError,
    current_oauth_session,
)
from tests.conftest import MakeApp, MakeProvider
from tests.support.clock import Clock
from tests.support.handlers import make_client, make_handler, make_session, redeem
from tests.support.provider import Answer, Browser, Provider, Request
from tests.support.threads import at_once
from tests.support.visitors import copy_of

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"

#: Where records are kept.
STORES = pytest.mark.parametrize("store", [None, "sqlite"], ids=["cookie", "sqlite"])


@pytest.fixture
def reports(provider: Provider) -> str:
    """The URL of another API, at another origin than the provider's."""
    url = provider.api_url.replace("127.0.0.1", "localhost")
    provider.resources = {url, f"{url}/more"}
    return url


class Site(t.NamedTuple):
    app: Flask
    login: OAuth2Login
    browser: Browser


@pytest.fixture
def make_site(
    provider: Provider, make_app: MakeApp, tmp_path: Path, reports: str
) -> t.Callable[..., Site]:
    def make(store: str | None = None, **options: t.Any) -> Site:
        where = f"sqlite:///{tmp_path}/logins.db" if store else None
        handler = make_handler(provider)
        login = OAuth2Login(handler, scope="read", store=where, **options)
        app = make_app(login)

        @app.get("/reports/<path:path>")
        def view(path: str) -> t.Any:
            session = current_oauth_session.for_resource(reports, scope="b a")
            return jsonify(session.get(path).json())

        @app.errorhandler(TokenError)
        def refused(error: TokenError) -> t.Any:
            return {"error": error.error}, 400

        return Site(app, login, Browser(app, provider))

    return make


def exchanges(provider: Provider) -> list[Request]:
    return provider.calls("/token", grant_type=EXCHANGE)


@STORES
def test_another_api_gets_a_token_of_its_own(
    provider: Provider, make_site: t.Callable[..., Site], store: str | None, reports: str
) -> None:
    site = make_site(store)
    site.browser.sign_in()
    own = site.browser.fetch("/call/x").get_json()
    for _ in range(2):
        other = site.browser.fetch("/reports/monthly").get_json()
        assert (other["path"], other["sub"], other["scope"]) == ("/api/monthly", "ada", "a b")
        assert other["token"] != own["token"]
    (request,) = exchanges(provider)
    assert request.form == {
        "grant_type": EXCHANGE,
        "subject_token": own["token"],
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "resource": reports,
        "scope": "a b",
        "client_id": provider.client_id,
        "client_secret": "the-secret",
    }


@pytest.mark.security("C5")
def test_each_login_resource_and_scope_has_its_own(
    provider: Provider, make_site: t.Callable[..., Site], reports: str
) -> None:
    site = make_site("sqlite")
    tokens = set()
    for person in ({"sub": "ada"}, {"sub": "eve"}):
        provider.person = {**(provider.person or {}), **person}
        browser = Browser(site.app, provider)
        browser.sign_in()
        for url, scope in ((reports, "a"), (reports, "b"), (f"{reports}/more", "a")):
            session = _session(site, person["sub"])
            answer = session.for_resource(url, scope).get("x").json()
            assert answer["sub"] == person["sub"]
            tokens.add(answer["token"])
    assert len(tokens) == len(exchanges(provider)) == 6


def _session(site: Site, id: str) -> OAuth2Session:
    """The session of somebody's job."""
    with site.app.app_context():
        return site.login.session_for(f"{site.login.name}::{id}")


@STORES
@pytest.mark.security("C6")
def test_it_is_exchanged_once_for_all_requests_at_the_same_time(
    provider: Provider, make_site: t.Callable[..., Site], store: str | None, clock: Clock
) -> None:
    site = make_site(store)
    site.browser.sign_in()

    def call() -> str:
        answer = copy_of(site.browser, site.app).fetch("/reports/x")
        return str(answer.get_json()["token"])

    assert len(set(at_once(call, 8))) == 1
    assert len(exchanges(provider)) == 1
    # Both tokens expire: one refresh, and one exchange of the new token.
    clock.ahead += 3600
    provider.grants.expire_access()
    assert len(set(at_once(call, 8))) == 1
    assert len(exchanges(provider)) == 2
    assert len(provider.calls("/token", grant_type="refresh_token")) == 1
    assert not provider.latest_grant.reused


@pytest.mark.security("C7")
def test_a_token_that_the_api_rejects_is_exchanged_anew_once(
    provider: Provider, make_site: t.Callable[..., Site]
) -> None:
    site = make_site()
    site.browser.sign_in()
    first = site.browser.fetch("/reports/x").get_json()["token"]
    provider.grants.revoke(first)
    assert site.browser.fetch("/reports/x").get_json()["token"] != first
    assert len(exchanges(provider)) == 2
    provider.on("/api/x", Answer(401, {"error": "invalid_token"}))
    site.browser.fetch("/reports/x")
    assert len(exchanges(provider)) == 3


@pytest.mark.security("B4")
def test_a_refusal_is_told_as_it_is(provider: Provider, make_site: t.Callable[..., Site]) -> None:
    site = make_site()
    site.browser.sign_in()
    provider.resources = set()
    answer = site.browser.fetch("/reports/x")
    assert (answer.status_code, answer.get_json()) == (400, {"error": "invalid_target"})
    # The login is as it was.
    assert site.browser.fetch("/call/x").status_code == 200


@pytest.mark.security("C6")
def test_an_outage_is_an_outage(
    provider: Provider, make_site: t.Callable[..., Site], reports: str
) -> None:
    site = make_site("sqlite")
    site.browser.sign_in()
    session = _session(site, "ada").for_resource(reports)
    provider.on("/token", Answer(503))
    with pytest.raises(ProviderError):
        session.get("x")
    assert site.browser.fetch("/call/x").status_code == 200


@STORES
@pytest.mark.security("D3")
def test_it_ends_with_the_login(
    provider: Provider, make_site: t.Callable[..., Site], store: str | None, reports: str
) -> None:
    site = make_site(store)
    held: list[OAuth2Session] = []

    @site.app.get("/hold")
    def hold() -> str:
        held.append(current_oauth_session.for_resource(reports))
        return str(held[0].get("x").status_code)

    site.browser.sign_in()
    assert site.browser.fetch("/hold").text == "200"
    site.browser.post("/logout")
    assert site.browser.fetch("/reports/x").status_code == 401
    before = len(exchanges(provider))
    provider.grants.expire_access()
    with pytest.raises(LoginRequired):
        held[0].get("x")
    assert len(exchanges(provider)) == before


@pytest.mark.security("C3")
@pytest.mark.parametrize(
    "url",
    [
        "http://reports.example/", "reports", "/reports", "//reports.example/",
        "https://reports.example/?a=1", "https://reports.example/#a", "ftp://reports.example/",
    ],
)  # fmt: skip
def test_only_an_https_url_is_taken(
    provider: Provider, make_site: t.Callable[..., Site], url: str
) -> None:
    site = make_site("sqlite")
    site.browser.sign_in()
    with pytest.raises(ConfigurationError, match="for_resource"):
        _session(site, "ada").for_resource(url)
    assert exchanges(provider) == []


@pytest.mark.security("C3")
def test_the_token_goes_to_that_origin_alone(
    provider: Provider, make_site: t.Callable[..., Site], reports: str
) -> None:
    site = make_site("sqlite")
    site.browser.sign_in()
    session = _session(site, "ada").for_resource(reports)
    with pytest.raises(ConfigurationError, match="may not be sent to"):
        session.get(f"{provider.api_url}/x")
    answer = session.get("redirect", params={"to": f"{provider.api_url}/x"})
    assert answer.status_code == 401
    with pytest.raises(ConfigurationError, match="may not be sent to"):
        _session(site, "ada").get(f"{reports}/x")


@pytest.mark.security("C1")
def test_tokens_are_sealed_and_in_no_log(
    provider: Provider,
    make_site: t.Callable[..., Site],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    reports: str,
) -> None:
    site = make_site("sqlite")
    site.browser.sign_in()
    with caplog.at_level("DEBUG"):
        token = site.browser.fetch("/reports/x").get_json()["token"]
        own = site.browser.fetch("/call/x").get_json()["token"]
        quoted = {"error": "invalid_target", "error_description": f"{own} is not for that"}
        provider.on("/token", Answer(400, quoted))
        with pytest.raises(TokenError) as caught:
            _session(site, "ada").for_resource(reports, "other").get("x")
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in (token, own):
        assert secret not in caplog.text + str(caught.value)
        assert secret.encode() not in stored


def test_a_provider_may_have_other_names_for_apis(
    provider: Provider, make_site: t.Callable[..., Site], reports: str
) -> None:
    site = make_site("sqlite")
    site.browser.sign_in()
    provider.resources = {None}
    for audience in ("reports", "reports", "others"):
        session = _session(site, "ada").for_resource(reports, audience=audience, resource=None)
        assert session.get("x").status_code == 200
    first, second = exchanges(provider)
    assert (first.form["audience"], second.form["audience"]) == ("reports", "others")
    assert "resource" not in first.form


def test_a_handlers_session_exchanges_too(provider: Provider, reports: str) -> None:
    session = make_session(provider)
    other = session.for_resource(reports, ["a"])
    assert other.get("x").json()["token"] != session.get("x").json()["token"]
    assert len(exchanges(provider)) == 1


def test_a_bound_token_is_exchanged_with_a_proof_of_its_key(make_provider: MakeProvider) -> None:
    provider = make_provider(dpop=True)
    provider.resources = {f"{provider.api_url}/reports"}
    session = make_session(provider, dpop=True)
    answer = session.for_resource(f"{provider.api_url}/reports").get("x")
    assert answer.status_code == 200
    assert answer.json()["token"] != session.get("x").json()["token"]
    (request,) = exchanges(provider)
    assert request.headers["DPoP"]
    assert provider.calls("/api/reports/x")[0].headers["DPoP"]


def test_the_apps_own_token_is_not_exchanged(
    provider: Provider, make_site: t.Callable[..., Site], reports: str
) -> None:
    site = make_site()
    with site.app.app_context(), pytest.raises(ConfigurationError, match="client_session"):
        site.login.client_session("a").for_resource(reports)


def test_an_exchange_without_an_answer_is_nonsense(provider: Provider) -> None:
    provider.on("/token", Answer(204))
    with pytest.raises(ProviderError, match="empty"):
        make_handler(provider).exchange_token("a-token")


@pytest.mark.security("C3")
@pytest.mark.parametrize("kind", ["refresh_token", "id_token"])
def test_a_token_that_is_for_no_api_is_sent_to_none(provider: Provider, kind: str) -> None:
    handler = make_client(provider)
    token = redeem(handler, provider)
    issued = f"urn:ietf:params:oauth:token-type:{kind}"
    provider.resources = {None}
    provider.token_overrides = {"issued_token_type": issued}
    with pytest.raises(ProviderError, match="which no API may get"):
        handler.exchange_token(token)
    asked = handler.exchange_token(token, requested_token_type=issued)
    assert asked["issued_token_type"] == issued
