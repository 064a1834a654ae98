"""Which tokens are revoked, and when (SECURITY C12)."""

from __future__ import annotations

import time
import typing as t
from pathlib import Path

import pytest
from flask import Flask, abort

from flask_oauth2_login import (
    Identity,
    OAuth2,
    OAuth2Login,
    OpenIDConnect,
    ProviderError,
    SQLAlchemyStore,
    StoreError,
    Token,
    TokenError,
    login_url,
)
from tests.conftest import MakeApp
from tests.support.assertions import is_signed_in
from tests.support.handlers import make_handler, redeem
from tests.support.provider import HANG, Answer, Browser, Provider, Request

#: Seconds that a provider which does not answer may cost a visitor.
DELAY = 2.0


@pytest.fixture
def handler(provider: Provider) -> OAuth2:
    return make_handler(
        provider, revoke_url="revoke", redirect_uri="http://localhost/callback", timeout=(1, 1)
    )


def revoked(provider: Provider) -> list[str]:
    """What kinds of tokens were revoked, in order."""
    return [str(request.form["token_type_hint"]) for request in provider.calls("/revoke")]


def wait_for_both(provider: Provider, *, times: int = 1) -> None:
    """Wait until both tokens of so many logins were revoked."""
    provider.wait_for("/revoke", 2 * times, seconds=5)
    assert sorted(revoked(provider)) == sorted(["refresh_token", "access_token"] * times)


# -- the handler


@pytest.mark.security("C12")
def test_both_tokens_are_revoked(handler: OAuth2, provider: Provider) -> None:
    token = redeem(handler, provider)
    handler.revoke_token(token)
    sent = [request.form["token"] for request in provider.calls("/revoke")]
    assert sent == [token.refresh_token, token.access_token]
    assert revoked(provider) == ["refresh_token", "access_token"]


@pytest.mark.security("C12")
def test_a_token_as_a_string_is_the_only_one(handler: OAuth2, provider: Provider) -> None:
    token = redeem(handler, provider)
    handler.revoke_token(token.access_token)
    assert [request.form["token"] for request in provider.calls("/revoke")] == [token.access_token]


@pytest.mark.security("C12")
def test_an_access_token_alone_is_revoked(handler: OAuth2, provider: Provider) -> None:
    provider.refreshable = False
    handler.revoke_token(redeem(handler, provider))
    assert revoked(provider) == ["access_token"]


def refuse(kind: str, answer: Answer) -> t.Callable[[Request], Answer | None]:
    """An answer to what would revoke tokens of one kind."""
    return lambda request: answer if request.form.get("token_type_hint") == kind else None


UNSUPPORTED = Answer(status=400, body={"error": "unsupported_token_type"})


@pytest.mark.security("C12")
@pytest.mark.parametrize("answer", [UNSUPPORTED, Answer(status=400, body="<html>")])
def test_where_the_refresh_token_is_refused_the_access_token_is_revoked_all_the_same(
    handler: OAuth2, provider: Provider, answer: Answer
) -> None:
    token = redeem(handler, provider)
    provider.on("/revoke", refuse("refresh_token", answer))
    with pytest.raises((TokenError, ProviderError)):
        handler.revoke_token(token)
    assert revoked(provider) == ["refresh_token", "access_token"]
    assert provider.grants.find_access(token.access_token) is None


@pytest.mark.security("C12")
def test_a_refusal_of_the_access_token_alone_is_no_error(
    handler: OAuth2, provider: Provider
) -> None:
    provider.on("/revoke", refuse("access_token", UNSUPPORTED))
    handler.revoke_token(redeem(handler, provider))
    assert revoked(provider) == ["refresh_token", "access_token"]


@pytest.mark.security("C12")
def test_a_provider_that_is_out_of_reach_is_asked_once(handler: OAuth2, provider: Provider) -> None:
    token = redeem(handler, provider)
    provider.on("/revoke", HANG)
    with pytest.raises(ProviderError):
        handler.revoke_token(token)
    assert len(provider.calls("/revoke")) == 1


# -- a login that ends


@pytest.mark.security("C12")
@pytest.mark.parametrize("kind", ["cookie", "session", "sqlite"])
def test_signing_out_revokes_both(
    handler: OAuth2, provider: Provider, make_app: MakeApp, tmp_path: Path, kind: str
) -> None:
    store = f"sqlite:///{tmp_path}/logins.db" if kind == "sqlite" else kind
    browser = Browser(make_app(OAuth2Login(handler, store=store)), provider)
    browser.sign_in()
    browser.post("/logout")
    wait_for_both(provider)


@pytest.mark.security("C12")
def test_unlinking_revokes_both(
    handler: OAuth2, provider: Provider, make_app: MakeApp, tmp_path: Path
) -> None:
    login = OAuth2Login(handler, store=f"sqlite:///{tmp_path}/logins.db")
    site = make_app(login)
    Browser(site, provider).sign_in()
    with site.app_context():
        assert login.unlink("oauth2::ada", "ada")
    wait_for_both(provider)


@pytest.mark.security("C12")
@pytest.mark.parametrize("how", ["back", "front"])
def test_a_sign_out_by_the_provider_revokes_both(
    oidc_handler: OpenIDConnect, provider: Provider, make_app: MakeApp, tmp_path: Path, how: str
) -> None:
    store = f"sqlite:///{tmp_path}/logins.db"
    site = make_app(OAuth2Login(oidc_handler, name="sso", scope="openid", store=store))
    browser = Browser(site, provider)
    browser.sign_in()
    client = site.test_client()
    if how == "back":
        form = {"logout_token": provider.logout_token()}
        assert client.post("/backchannel-logout", data=form).status_code == 200
    else:
        query = {"iss": provider.issuer, "sid": provider.latest_grant.sid}
        assert client.get("/frontchannel-logout", query_string=query).status_code == 200
    assert not is_signed_in(browser)
    wait_for_both(provider)


@pytest.mark.security("C12")
def test_somebody_elses_sign_in_revokes_both_of_the_former_persons(
    handler: OAuth2, provider: Provider, make_app: MakeApp
) -> None:
    browser = Browser(make_app(OAuth2Login(handler)), provider)
    browser.sign_in()
    browser.sign_in(person={"sub": "bob"})
    wait_for_both(provider)
    assert browser.fetch("/call/x").status_code == 200


@pytest.mark.security("C12")
def test_the_same_persons_next_sign_in_revokes_nothing(
    handler: OAuth2, provider: Provider, make_app: MakeApp
) -> None:
    browser = Browser(make_app(OAuth2Login(handler)), provider)
    browser.sign_in()
    # At many providers, all tokens of one account fall together.
    browser.sign_in()
    assert browser.fetch("/call/x").status_code == 200
    assert revoked(provider) == []


# -- a sign-in that comes to nothing


def assert_nothing_came_of_it(browser: Browser, provider: Provider, response: t.Any) -> None:
    assert response.status_code >= 400
    assert not is_signed_in(browser)
    wait_for_both(provider)


@pytest.mark.security("C12")
def test_what_on_login_refuses_is_revoked(
    handler: OAuth2, provider: Provider, make_app: MakeApp
) -> None:
    login = OAuth2Login(handler)
    login.on_login(lambda _identity, _token: abort(403))
    browser = Browser(make_app(login), provider)
    assert_nothing_came_of_it(browser, provider, browser.sign_in())


@pytest.mark.security("C12")
def test_what_on_login_fails_at_is_revoked(
    handler: OAuth2, provider: Provider, make_app: MakeApp
) -> None:
    login = OAuth2Login(handler)

    @login.on_login
    def fail(_identity: Identity, _token: Token) -> None:
        raise RuntimeError("a mistake of the app's")

    browser = Browser(make_app(login, PROPAGATE_EXCEPTIONS=False), provider)
    assert_nothing_came_of_it(browser, provider, browser.sign_in())


@pytest.mark.security("C12")
@pytest.mark.parametrize("answer", [Answer(status=500), Answer(status=403), Answer(body="<html>")])
def test_a_userinfo_that_does_not_say_who_it_is_revokes_both(
    handler: OAuth2, provider: Provider, make_app: MakeApp, answer: Answer
) -> None:
    browser = Browser(make_app(OAuth2Login(handler)), provider)
    provider.on("/userinfo", answer)
    assert_nothing_came_of_it(browser, provider, browser.sign_in())


@pytest.mark.security("C12")
@pytest.mark.parametrize(
    "settings",
    [
        {"token_overrides": {"id_token": ...}},
        {"id_token_options": {"claims": {"nonce": "another"}}},
        {"id_token_options": {"claims": {"aud": "another"}}},
        {"id_token_options": {"alg": "none"}},
    ],
)
def test_an_id_token_that_is_not_to_be_trusted_revokes_both(
    oidc_handler: OpenIDConnect, provider: Provider, make_app: MakeApp, settings: dict[str, t.Any]
) -> None:
    for name, value in settings.items():
        setattr(provider, name, value)
    browser = Browser(make_app(OAuth2Login(oidc_handler, name="sso", scope="openid")), provider)
    assert_nothing_came_of_it(browser, provider, browser.sign_in())


@pytest.mark.security("C12")
def test_keys_that_cannot_be_had_revoke_both(
    oidc_handler: OpenIDConnect, provider: Provider, make_app: MakeApp
) -> None:
    provider.on("/jwks", Answer(status=500))
    browser = Browser(make_app(OAuth2Login(oidc_handler, name="sso", scope="openid")), provider)
    assert_nothing_came_of_it(browser, provider, browser.sign_in())


@pytest.mark.security("C12")
def test_a_renewals_id_token_about_somebody_else_revokes_both(
    oidc_handler: OpenIDConnect, provider: Provider, make_app: MakeApp
) -> None:
    browser = Browser(make_app(OAuth2Login(oidc_handler, name="sso", scope="openid")), provider)
    browser.sign_in()
    provider.grants.expire_access()
    provider.id_token_options = {"claims": {"sub": "bob"}}
    assert browser.fetch("/call/x").status_code >= 400
    assert not is_signed_in(browser)
    wait_for_both(provider)
    newest = provider.calls("/revoke")[0].form["token"]
    assert newest != provider.calls("/token")[-1].form["refresh_token"]


@pytest.mark.security("C12")
def test_a_record_that_is_too_large_revokes_both(
    handler: OAuth2, provider: Provider, make_app: MakeApp
) -> None:
    provider.access_token_size = 200_000
    site = make_app(OAuth2Login(handler), PROPAGATE_EXCEPTIONS=False)
    browser = Browser(site, provider)
    response = browser.sign_in()
    assert response.status_code >= 400
    wait_for_both(provider)


class StoreWithoutNewRecords(SQLAlchemyStore):
    """Makes no records."""

    def create(self, *_: t.Any) -> None:
        raise StoreError("The database has a bad day.")


@pytest.mark.security("C12")
def test_a_store_that_fails_revokes_both(
    handler: OAuth2, provider: Provider, make_app: MakeApp, tmp_path: Path
) -> None:
    store = StoreWithoutNewRecords(f"sqlite:///{tmp_path}/logins.db")
    store.create_tables()
    browser = Browser(make_app(OAuth2Login(handler, store=store)), provider)
    assert_nothing_came_of_it(browser, provider, browser.sign_in())
    store.close()


@pytest.mark.security("C12")
def test_linking_that_somebody_else_finishes_revokes_both(
    handler: OAuth2, provider: Provider, make_app: MakeApp, tmp_path: Path
) -> None:
    store = f"sqlite:///{tmp_path}/logins.db"
    site = make_app(OAuth2Login(handler, store=store))

    @site.get("/link")
    def link() -> str:
        return login_url(link=True)

    browser = Browser(site, provider)
    browser.sign_in()
    url = browser.begin(browser.get("/link").text)
    browser.sign_in(person={"sub": "bob"})
    wait_for_both(provider)
    assert browser.finish(url, person={"sub": "mallory"}).status_code == 400
    wait_for_both(provider, times=2)
    assert browser.fetch("/call/x").status_code == 200


@pytest.mark.security("C12")
def test_a_dead_provider_delays_no_answer(
    handler: OAuth2, provider: Provider, make_app: MakeApp
) -> None:
    login = OAuth2Login(make_handler(provider, revoke_url="revoke"))
    login.on_login(lambda _identity, _token: abort(403))
    browser = Browser(make_app(login), provider)
    provider.on("/revoke", HANG)
    began = time.monotonic()
    assert browser.sign_in().status_code == 403
    assert time.monotonic() - began < DELAY
    assert provider.wait_for("/revoke")


@pytest.mark.security("C12")
def test_a_provider_that_revokes_nothing_is_not_asked(
    provider: Provider, make_app: MakeApp
) -> None:
    login = OAuth2Login(make_handler(provider))
    login.on_login(lambda _identity, _token: abort(403))
    browser = Browser(make_app(login), provider)
    assert browser.sign_in().status_code == 403
    assert provider.calls("/revoke") == []


@pytest.mark.security("C12")
def test_a_grant_for_jobs_outlives_a_sign_in_that_failed_after_it(
    handler: OAuth2, provider: Provider, make_app: MakeApp, tmp_path: Path
) -> None:
    class GrantsOnly(SQLAlchemyStore):
        created = 0

        def create(self, *arguments: t.Any) -> None:
            GrantsOnly.created += 1
            if GrantsOnly.created > 1:
                raise StoreError("The database has a bad day.")
            super().create(*arguments)

    store = GrantsOnly(f"sqlite:///{tmp_path}/logins.db")
    store.create_tables()
    login = OAuth2Login(handler, store=store, offline=True)
    site: Flask = make_app(login)
    browser = Browser(site, provider)
    assert browser.sign_in().status_code == 503
    with site.app_context():
        assert login.session_for("oauth2::ada").get("x").status_code == 200
    store.close()
