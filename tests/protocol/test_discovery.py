"""The provider's metadata: fetched, checked, kept, and fetched again."""

from __future__ import annotations

import threading
import time
import typing as t

import pytest
from hypothesis import given

from flask_oauth2_login import ConfigurationError, IDTokenError, OAuth2, OAuth2Login, ProviderError
from tests.conftest import SSO, MakeApp, MakeSSO
from tests.support.clock import Clock
from tests.support.handlers import Options, issue, make_openid_client, redeem_openid
from tests.support.provider import HANG, REDIRECT, REMOVED, ZIP_BOMB, Answer, Browser, Provider
from tests.support.strategies import anything, quickly
from tests.support.threads import at_once_numbered

#: Seconds between two bytes: what a key set costs that hangs.
READ = 2

#: How many visitors, or bad tokens, come at the same time. One after the other takes 12 seconds.
MANY = 6

#: What one timeout may take on a busy machine.
ONE_TIMEOUT = 2.5 * READ


@pytest.mark.security("E1")
def test_endpoints_come_from_discovery_once(provider: Provider) -> None:
    sso = make_openid_client(provider)
    threads = [threading.Thread(target=lambda: sso.endpoint("token_url")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sso.endpoint("token_url") == f"{provider.url}/token"
    assert len(provider.calls("/.well-known/openid-configuration")) == 1


@pytest.mark.security("E1")
@pytest.mark.parametrize(
    "document",
    [
        Answer(body="<html>"),
        Answer(body="[]"),
        Answer(body="{}"),
        Answer(status=500, body="{}"),
        ZIP_BOMB,
        HANG,
    ],
)
def test_a_broken_document_is_a_provider_error_and_recovers(
    provider: Provider, document: t.Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/.well-known/openid-configuration"
    provider.on(path, document, times=1)
    sso = make_openid_client(provider)
    with pytest.raises(ProviderError):
        sso.endpoint("token_url")
    with pytest.raises(ProviderError):
        sso.endpoint("token_url")
    assert len(provider.calls(path)) == 1, "visitors queue up behind a provider that is down"
    later = time.monotonic() + 2.1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert sso.endpoint("token_url") == f"{provider.url}/token"


@pytest.mark.security("E1")
@pytest.mark.parametrize("issuer", ["https://evil.example", REMOVED, 7, "{url}/", "{url}X"])
def test_another_issuer_is_refused(provider: Provider, issuer: t.Any) -> None:
    if isinstance(issuer, str):
        issuer = issuer.replace("{url}", provider.url)
    provider.metadata_overrides = {"issuer": issuer}
    with pytest.raises(ProviderError, match="issuer"):
        make_openid_client(provider).endpoint("token_url")


@pytest.mark.security("E1")
def test_an_endpoint_in_the_clear_is_refused_unless_it_is_named(provider: Provider) -> None:
    provider.metadata_overrides = {"token_endpoint": "http://sso.internal/token"}
    with pytest.raises(ProviderError, match="token_endpoint"):
        make_openid_client(provider).endpoint("token_url")
    named = make_openid_client(provider, http_hosts=["sso.internal"])
    assert named.endpoint("token_url") == "http://sso.internal/token"


@pytest.mark.security("E1")
def test_a_document_is_fetched_again_after_a_day_and_serves_while_that_fails(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    sso = make_openid_client(provider)
    sso.endpoint("token_url")
    later = time.monotonic() + 24 * 3600 + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    provider.on("/.well-known/*", Answer(status=503))
    assert sso.endpoint("token_url") == f"{provider.url}/token"
    assert len(provider.calls("/.well-known/openid-configuration")) == 2


@pytest.mark.security("E1")
def test_entra_signs_in_any_tenant_but_as_the_tenant_it_says(provider: Provider) -> None:
    template = provider.url + "/{tenantid}/v2.0"
    issuer = f"{provider.url}/common/v2.0"
    provider.metadata_overrides = {"issuer": template}
    provider.on(
        "/common/v2.0/.well-known/openid-configuration",
        lambda _request: Answer(body={**provider.metadata(), "issuer": template}),
    )
    sso = make_openid_client(provider, issuer=issuer)
    issue(provider, claims={"iss": f"{provider.url}/t-1/v2.0", "tid": "t-1"})
    assert redeem_openid(provider, sso).identity is not None
    issue(provider, claims={"iss": f"{provider.url}/t-2/v2.0", "tid": "t-1"})
    with pytest.raises(IDTokenError, match="iss"):
        redeem_openid(provider, sso)
    issue(provider, claims={"iss": issuer, "tid": "t-1"})
    with pytest.raises(IDTokenError, match="iss"):
        redeem_openid(provider, sso)


@pytest.mark.security("E1")
def test_metadata_can_be_given(provider: Provider) -> None:
    sso = make_openid_client(provider, metadata=provider.metadata())
    assert redeem_openid(provider, sso).identity is not None
    assert not provider.calls("/.well-known/openid-configuration")
    with pytest.raises(ConfigurationError, match="issuer"):
        make_openid_client(provider, metadata={"issuer": "https://other.example"})


def test_the_app_starts_and_serves_while_the_provider_is_down(
    provider: Provider, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(OAuth2Login(make_openid_client(provider), scope="openid"))
    provider.down()
    browser = Browser(app, provider)
    assert browser.get("/").status_code == 200
    assert browser.get("/login").status_code == 503
    provider.up()
    later = time.monotonic() + 2.1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert browser.sign_in().status_code == 302


@quickly
@given(anything)
def test_any_document_is_accepted_or_a_provider_error(provider: Provider, document: t.Any) -> None:
    provider.off()
    provider.on("/.well-known/*", Answer(body=repr(document) if document != document else document))
    with pytest.raises(ProviderError):
        make_openid_client(provider).endpoint("token_url")


@pytest.mark.security("E1")
def test_six_visitors_at_metadata_that_hang_wait_for_one_timeout(provider: Provider) -> None:
    sso = make_openid_client(provider)
    provider.on("/.well-known/*", HANG)

    def visit(_: int) -> bool:
        with pytest.raises(ProviderError):
            sso.authorize_url("openid", state="s")
        return True

    began = time.monotonic()
    assert all(at_once_numbered(visit, MANY))
    # For a moment nobody tries again.
    assert visit(0)
    assert time.monotonic() - began < ONE_TIMEOUT
    assert len(provider.calls("/.well-known/*")) == 1


@pytest.mark.security("E1")
def test_an_old_document_serves_while_a_new_one_takes_its_time(
    provider: Provider, sso: SSO, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = sso.browser
    browser.sign_in()
    Clock(monkeypatch).ahead = 25 * 3600
    provider.on("/.well-known/*", HANG)
    began = time.monotonic()
    assert browser.get("/login").status_code == 302
    assert time.monotonic() - began < 2
    assert len(provider.calls("/.well-known/*")) == 2


@pytest.mark.security("E1")
@pytest.mark.parametrize(
    "overrides",
    [
        {"id_token_signing_alg_values_supported": [7, {}, None, [], "RS256"]},
        {"id_token_signing_alg_values_supported": {"RS256": 1}},
        {"end_session_endpoint": ""},
        {"revocation_endpoint": None},
    ],
)
def test_what_is_odd_in_a_document_and_not_needed_spoils_nothing(
    provider: Provider, make_sso: MakeSSO, overrides: Options
) -> None:
    provider.metadata_overrides = overrides
    _, _, browser = make_sso()
    assert browser.sign_in().status_code == 302
    assert browser.post("/logout").status_code < 400


@pytest.mark.security("E1")
def test_metadata_may_be_elsewhere_but_name_the_issuer(
    provider: Provider, make_sso: MakeSSO
) -> None:
    provider.on("/.well-known/*", Answer(404))
    provider.on("/elsewhere", lambda _request: Answer(200, provider.metadata()))
    _, _, browser = make_sso(handler={"metadata_url": f"{provider.url}/elsewhere"})
    assert browser.sign_in().status_code == 302
    assert not provider.calls("/.well-known/*")
    provider.metadata_overrides = {"issuer": "https://evil.example"}
    other = make_openid_client(provider, metadata_url=f"{provider.url}/elsewhere")
    with pytest.raises(ProviderError, match=rf"{provider.issuer}.*evil\.example"):
        other.endpoint("token_url")


@pytest.mark.security("E1", "B2")
@pytest.mark.parametrize("names_itself", ["as it is", "as it was asked"])
def test_a_provider_has_another_name_for_the_server_than_for_browsers(
    provider: Provider, make_app: MakeApp, names_itself: str
) -> None:
    issuer = "https://sso.example/realms/staff"
    inside = f"http://localhost:{provider.url.rpartition(':')[2]}"
    base = "https://sso.example" if names_itself == "as it is" else inside
    document = {
        name: value.replace(provider.url, base) if isinstance(value, str) else value
        for name, value in provider.metadata().items()
    } | {"issuer": f"{base}/realms/staff"}
    provider.on(
        "/realms/staff/.well-known/openid-configuration", lambda _request: Answer(200, document)
    )
    sso = make_openid_client(provider, issuer=issuer, internal_url=inside)
    assert sso.authorize_url("openid").startswith("https://sso.example/authorize?")
    assert sso.endpoint("end_session_url") == "https://sso.example/logout"
    for name in ("token_url", "userinfo_url", "jwks_url", "revoke_url"):
        assert sso.endpoint(name).startswith(f"{inside}/")
    code = provider.answer(
        sso.authorize_url("openid email", state="s", nonce="n").replace(
            "https://sso.example", provider.url
        )
    ).params["code"]
    issue(provider, claims={"iss": issuer})
    token = sso.get_token(code, nonce="n")
    assert token is not None
    assert token.identity is not None
    # The API is one of the things that the server itself calls.
    sso.session(token).get("/things")
    (call,) = provider.calls("/realms/staff/things")
    assert call.access_token() == token.access_token
    at_api = make_openid_client(
        provider, issuer=issuer, internal_url=inside, api_url="https://sso.example/api"
    )
    assert at_api.session(token).get("/things").ok


@pytest.mark.security("E1", "C3")
def test_an_address_is_asked_for_by_the_servers_own_name_too(provider: Provider) -> None:
    issuer, inside = "https://sso.example", f"http://localhost:{provider.url.rpartition(':')[2]}"
    handler = OAuth2(
        provider.client_id,
        provider.client_secret,
        issuer,
        "http://localhost/callback",
        "authorize",
        "token",
        issuer=issuer,
        internal_url=inside,
        userinfo_url="/userinfo",
        email_url="/userinfo/emails",
        email_path="[primary,verified].email",
    )
    url = handler.authorize_url("email", state="s").replace(issuer, provider.url)
    token = handler.get_token(provider.answer(url).params["code"])
    assert token is not None
    identity = handler.fetch_identity(token)
    assert identity is not None
    assert identity.email == "ada@example.com"
    assert len(provider.calls("/userinfo/emails")) == 1


@pytest.mark.security("B2")
@pytest.mark.parametrize("name", ["internal_url", "metadata_url"])
def test_plain_http_inside_needs_a_named_host(provider: Provider, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}.*http_hosts"):
        make_openid_client(provider, **{name: "http://keycloak:8080"})
    named = {name: "http://keycloak:8080", "http_hosts": ["keycloak:8080"]}
    make_openid_client(provider, **named)


@pytest.mark.security("E1", "B2")
def test_a_redirect_of_the_metadata_is_named_and_not_followed(provider: Provider) -> None:
    provider.on("/.well-known/*", REDIRECT("https://other.example/x"))
    with pytest.raises(ProviderError, match=r"https://other\.example/x.*metadata_url"):
        make_openid_client(provider).endpoint("token_url")


def test_what_is_given_is_not_fetched(provider: Provider, make_sso: MakeSSO) -> None:
    provider.on("/.well-known/*", Answer(503))
    given = {
        name: f"{provider.url}/{path}"
        for name, path in (
            ("authorization_url", "authorize"),
            ("token_url", "token"),
            ("jwks_url", "jwks"),
        )
    }
    _, _, browser = make_sso(handler=given)
    assert browser.sign_in().status_code == 302
    assert browser.post("/logout").status_code < 400
    assert not provider.calls("/.well-known/*")


def test_headers_reach_discovery_and_keys(provider: Provider) -> None:
    redeem_openid(provider, make_openid_client(provider, headers={"X-Gate": "open"}))
    for path in ("/.well-known/openid-configuration", "/token", "/jwks"):
        assert provider.calls(path)[0].headers["X-Gate"] == "open"
