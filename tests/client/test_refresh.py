"""Refreshing a token: exactly once, whatever happens."""

from __future__ import annotations

import functools
import json
import os
import time
import typing as t
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from flask import Flask

from flask_oauth2_login import Identity, LoginRequired, OAuth2Login, ProviderError, token_refreshed
from tests.conftest import MakeApp, MakeSSO
from tests.support.apps import make_sessions_permanent
from tests.support.assertions import is_signed_in, refreshes
from tests.support.clock import Clock
from tests.support.handlers import make_handler
from tests.support.provider import CUT_AFTER, CUT_BEFORE, HANG, Answer, Browser, Provider
from tests.support.servers import Server
from tests.support.threads import at_once
from tests.support.visitors import Thief, call_as, set_clock, visits

#: Stampedes, one after the other: a race that is lost now and then shows itself.
ROUNDS = 10

#: What Strava sends for a refresh token that is not valid any more.
STRAVA = {
    "message": "Bad Request",
    "errors": [{"resource": "RefreshToken", "field": "refresh_token", "code": "invalid"}],
}


#: Two sentences that are about something else than they name.
REVOKED = "The user has revoked access to this application."
GRANT = "This client may not use the grant refresh_token."


def graph(message: str, **more: t.Any) -> dict[str, t.Any]:
    """A refusal as Facebook writes it."""
    return {"error": {"type": "OAuthException", "code": 1, "message": message, **more}}


@pytest.fixture(params=["cookie", "session", "sqlite", "redis_server", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> t.Iterator[t.Any]:
    """What `store=` takes, for each kind of store."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/logins.db"
        return
    if request.param in {"cookie", "session"}:
        yield request.param
        return
    server: Server = request.getfixturevalue(request.param)
    if request.param == "redis_server":
        from flask_oauth2_login import RedisStore

        yield RedisStore(server.url)
        return
    from flask_oauth2_login import SQLAlchemyStore

    database = SQLAlchemyStore(server.url, table_name=f"logins_{os.getpid()}")
    database.create_tables()
    yield database
    database.close()


@pytest.mark.security("C6")
def test_thirty_two_requests_with_an_expired_token_cost_one_refresh(
    provider: Provider, make_app: MakeApp, store: t.Any
) -> None:
    site = make_app(OAuth2Login(make_handler(provider), store=store))
    browser = Browser(site, provider)
    for _ in range(ROUNDS):
        browser.sign_in()
        provider.grants.expire_access()
        before = refreshes(provider)
        assert at_once(functools.partial(call_as, browser, site), 32) == [200] * 32
        assert refreshes(provider) - before == 1
        assert not provider.latest_grant.reused


@pytest.mark.security("C6")
def test_an_old_copy_of_a_renewed_record_is_good_all_the_same(
    provider: Provider, make_app: MakeApp
) -> None:
    browser = Browser(make_app(OAuth2Login(make_handler(provider))), provider)
    browser.sign_in()
    aborted = browser.jar.copy()
    for _ in range(3):
        provider.grants.expire_access()
        assert browser.fetch("/call/x").status_code == 200
    browser.jar = aborted
    assert browser.fetch("/call/x").status_code == 200
    provider.grants.expire_access()
    assert browser.fetch("/call/x").status_code == 200
    assert refreshes(provider) == 4
    assert not provider.latest_grant.reused


@pytest.mark.security("C6")
@pytest.mark.parametrize(
    ("answer", "status", "lives"),
    [
        (Answer(status=400, body={"error": "invalid_grant"}), 401, False),
        (Answer(status=200, body={"error": "bad_refresh_token"}), 401, False),
        (Answer(status=400, body={"error": "invalid_request"}), 401, False),
        (Answer(body="error=bad_refresh_token&error_description=It+is+incorrect"), 401, False),
        (Answer(status=400, body=STRAVA), 401, False),
        (Answer(status=403, body={"code": "token_revoked"}), 401, False),
        (Answer(status=401, body={"detail": "refresh token not found"}), 401, False),
        (Answer(status=400, body={"message": "Refresh token of another client"}), 401, False),
        (Answer(status=404, body={"error": "refresh_token_not_found"}), 401, False),
        (Answer(body={"errcode": 40030, "errmsg": "invalid refresh_token"}), 401, False),
        (Answer(status=401, body={"errorCode": "E11", "errorSummary": "Invalid"}), 401, False),
        (Answer(status=401, body={"fault": {"faultstring": "Token expired"}}), 401, False),
        (Answer(body={"code": 20026, "msg": "refresh token is invalid"}), 401, False),
        (Answer(status=400, body={"error": True, "message": "No such token"}), 401, False),
        (Answer(status=403, body={"error": "access_denied", "message": REVOKED}), 401, False),
        (Answer(status=400, body=graph("Session has expired.")), 401, False),
        (Answer(status=400, body=graph("Error validating client secret.")), 502, True),
        (Answer(status=400, body=graph("Unexpected.", is_transient=True)), 502, True),
        (Answer(status=401, body={"error": 1, "message": "Bad client credentials"}), 502, True),
        (Answer(body={"errcode": -1, "errmsg": "system error"}), 502, True),
        (Answer(body={"code": 0, "msg": "ok", "data": {}}), 502, True),
        (Answer(status=400, body={"error": "unauthorized_client", "message": GRANT}), 502, True),
        (Answer(status=401, body={"error": "invalid_client"}), 502, True),
        (Answer(status=400, body={"error": "unauthorized_client"}), 502, True),
        (Answer(body={"error": "incorrect_client_credentials"}), 502, True),
        (Answer(status=400, body={**STRAVA, "errors": [{"field": "client_id"}]}), 502, True),
        (Answer(body={"errcode": 40125, "errmsg": "invalid appsecret"}), 502, True),
        (Answer(status=404, body={"error": "invalid_grant"}), 401, False),
        (Answer(status=404, body={"message": "Not Found"}), 502, True),
        (Answer(status=404, body={"message": "Cannot POST /oauth/token"}), 502, True),
        (Answer(status=405, body={"error": "No", "message": "PUT /oauth/token"}), 502, True),
        (Answer(status=400, body="<html>"), 502, True),
        (Answer(status=400, body={}), 502, True),
        (Answer(status=400, body={"error": "slow_down"}), 502, True),
        (Answer(status=400, body={"message": "Too many requests"}), 502, True),
        (Answer(status=400, body={"error": "temporarily_unavailable"}), 502, True),
        (Answer(body="<html>"), 502, True),
        (Answer(status=500), 503, True),
        (Answer(status=429, headers={"Retry-After": "1"}), 503, True),
        (CUT_BEFORE, 503, True),
        (HANG, 503, True),
    ],
)
def test_what_ends_a_login_and_what_does_not(
    provider: Provider,
    make_app: MakeApp,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    answer: t.Any,
    status: int,
    lives: bool,
) -> None:
    site = make_app(OAuth2Login(make_handler(provider, timeout=(1, 1))))
    browser = Browser(site, provider)
    browser.sign_in()
    provider.grants.expire_access()
    provider.on("/token", answer)
    before = len(provider.calls("/token"))
    assert browser.fetch("/call/x").status_code == status
    assert is_signed_in(browser) is lives
    assert ("a login ends" in caplog.text) is not lives
    if lives:
        assert browser.fetch("/call/x").status_code == status
        assert len(provider.calls("/token")) - before <= 1, "it is left alone for a while"
        provider.off()
        later = time.monotonic() + 4
        monkeypatch.setattr(time, "monotonic", lambda: later)
        assert browser.fetch("/call/x").status_code == 200


def test_a_provider_that_rotated_and_then_cut_ends_the_login_cleanly(
    provider: Provider, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Browser(make_app(OAuth2Login(make_handler(provider))), provider)
    browser.sign_in()
    provider.grants.expire_access()
    provider.on("/token", CUT_AFTER, times=1)
    assert browser.fetch("/call/x").status_code == 503
    later = time.monotonic() + 4
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert browser.fetch("/call/x").status_code == 401


def test_the_old_token_serves_while_it_lasts(
    provider: Provider, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Browser(make_app(OAuth2Login(make_handler(provider))), provider)
    browser.sign_in()
    provider.on("/token", Answer(status=500))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3580)
    assert browser.fetch("/call/x").status_code == 200
    assert len(provider.calls("/token")) == 2, "it was asked for a new one before"


def make_jobs(provider: Provider, make_app: MakeApp, tmp_path: Path) -> tuple[Flask, OAuth2Login]:
    handler = make_handler(provider, revoke_url="revoke")
    login = OAuth2Login(handler, store=f"sqlite:///{tmp_path}/logins.db", offline=True)
    return make_app(login), login


def test_a_job_calls_the_api_for_somebody_who_signed_out(
    provider: Provider, make_app: MakeApp, tmp_path: Path
) -> None:
    site, login = make_jobs(provider, make_app, tmp_path)
    browser = Browser(site, provider)
    browser.sign_in()
    assert browser.fetch("/call/x").status_code == 200
    browser.post("/logout")
    provider.grants.expire_access()
    with site.app_context():
        owner = "oauth2::ada"
        assert login.session_for(owner).get("x").json()["sub"] == "ada"
        assert refreshes(provider) == 1
        assert [identity.id for identity in login.accounts(owner)] == ["ada"]
        provider.on("/token", Answer(status=500))
        provider.grants.expire_access()
        with pytest.raises(ProviderError):
            login.session_for(owner).get("x")
        assert login.unlink(owner, "ada")
        assert provider.calls("/revoke")
        with pytest.raises(LoginRequired):
            login.session_for(owner)
        assert not login.unlink(owner, "ada")


def test_accounts_are_linked_for_whoever_is_signed_in_and_nobody_else(
    provider: Provider, make_app: MakeApp, tmp_path: Path
) -> None:
    site, login = make_jobs(provider, make_app, tmp_path)
    browser = Browser(site, provider)
    assert browser.get("/login?link=1").status_code in {302, 401}
    browser.sign_in()
    url = browser.begin(browser.link_path())
    assert browser.finish(url, person={"sub": "ada-at-work"}).status_code == 302
    with site.app_context():
        owned = {identity.id for identity in login.accounts("oauth2::ada")}
        assert owned == {"ada", "ada-at-work"}
        work = login.session_for("oauth2::ada", "ada-at-work").get("x").json()
        assert work["sub"] == "ada-at-work"
    # An attempt to link that somebody else finishes in this browser links nothing.
    url = browser.begin(browser.link_path())
    browser.sign_in(person={"sub": "bob"})
    assert browser.finish(url, person={"sub": "mallory"}).status_code == 400
    with site.app_context():
        assert {identity.id for identity in login.accounts("oauth2::ada")} == owned


def test_the_apps_own_token_is_fetched_once(provider: Provider, make_app: MakeApp) -> None:
    site = make_app(OAuth2Login(make_handler(provider)))
    login = t.cast(OAuth2Login, site.blueprints["oauth2"])

    def call() -> int:
        with site.app_context():
            return login.client_session("read").get("x").status_code

    assert at_once(call, 16) == [200] * 16
    assert len(provider.calls("/token", grant_type="client_credentials")) == 1
    provider.grants.expire_access()
    assert at_once(call, 16) == [200] * 16
    assert len(provider.calls("/token", grant_type="client_credentials")) == 2


@pytest.mark.security("C5", "C9")
@pytest.mark.parametrize("error", ["bad_refresh_token", "invalid_request", "access_denied"])
def test_one_visitors_bad_refresh_token_keeps_nobody_else_out(
    app: Flask, provider: Provider, error: str
) -> None:
    ada, bob = Browser(app, provider), Browser(app, provider)
    ada.sign_in()
    bob.sign_in(person={"sub": "bob"})
    provider.grants.expire_access()
    provider.on("/token", Answer(400, {"error": error}), times=1)
    assert ada.fetch("/call/x").status_code == 401
    assert bob.fetch("/call/x").status_code == 200
    assert ada.fetch("/call/x").status_code == 401
    assert len(provider.calls("/token", grant_type="refresh_token")) == 2


@pytest.mark.security("C6")
@pytest.mark.parametrize("lifetime", [4 * 3600, 7 * 24 * 3600])
def test_a_spent_refresh_token_is_never_sent_again_however_late(
    app: Flask,
    browser: Browser,
    provider: Provider,
    monkeypatch: pytest.MonkeyPatch,
    lifetime: int,
) -> None:
    clock = set_clock(monkeypatch)
    provider.expires_in = 10**8
    app.config["PERMANENT_SESSION_LIFETIME"] = lifetime
    make_sessions_permanent(app)
    browser.sign_in()
    aborted = Thief(app, browser)
    provider.grants.expire_access()
    assert browser.fetch("/call/x").status_code == 200
    renewed_at = clock.ahead
    for seconds in visits(lifetime):
        clock.ahead = renewed_at + seconds
        aborted.get("/")
    assert aborted.get("/call/x") in {200, 401}
    assert provider.latest_grant.reused == 0
    calls = provider.calls("/token", grant_type="refresh_token")
    sent = [call.form["refresh_token"] for call in calls]
    assert len(sent) == len(set(sent))


def test_a_sign_in_is_no_renewal(provider: Provider, make_sso: MakeSSO) -> None:
    app, _, browser = make_sso(offline=True)
    renewed = []

    def note(_sender: t.Any, identity: Identity, **_: t.Any) -> None:
        renewed.append(identity.id)

    with token_refreshed.connected_to(note, app):
        browser.sign_in()
        browser.sign_in()
        assert renewed == []
        provider.grants.expire_access()
        browser.fetch("/call/x")
        assert renewed == ["ada"]


@pytest.mark.security("C6")
@pytest.mark.parametrize("store", ["cookie", "sqlite"])
def test_a_renewed_token_that_cannot_be_kept_ends_the_login_cleanly(
    provider: Provider, make_app: MakeApp, tmp_path: Path, store: str
) -> None:
    where = f"sqlite:///{tmp_path}/logins.db" if store == "sqlite" else store
    site = make_app(OAuth2Login(make_handler(provider, revoke_url="revoke"), store=where))
    browser = Browser(site, provider)
    browser.sign_in()
    provider.grants.expire_access()
    # Less than an answer may have, and more than can be kept: a letter of two bytes takes six.
    token = {"access_token": "new", "token_type": "Bearer", "refresh_token": "newer"}
    body = json.dumps({**token, "x": "é" * 450_000}, ensure_ascii=False).encode()
    provider.on("/token", Answer(body=body, content_type="application/json"), times=1)
    assert browser.fetch("/call/x").status_code == 401
    assert browser.fetch("/call/x").status_code == 401
    forms = [parse_qs(call.body.decode()) for call in provider.calls("/token")]
    sent = [form["refresh_token"][0] for form in forms if "refresh_token" in form]
    assert len(sent) == len(set(sent)), "a spent refresh token was sent again"
    assert not is_signed_in(browser)


@pytest.mark.security("C6")
@pytest.mark.parametrize("nothing", [..., None, ""])
@pytest.mark.parametrize("expired", [True, False])
def test_a_new_refresh_token_without_an_access_token_is_kept(
    provider: Provider, make_app: MakeApp, clock: Clock, nothing: t.Any, expired: bool
) -> None:
    browser = Browser(make_app(OAuth2Login(make_handler(provider))), provider)
    browser.sign_in()
    provider.token_overrides = {"access_token": nothing}
    clock.ahead += 3700 if expired else 3580
    assert browser.fetch("/call/x").status_code == (502 if expired else 200)
    assert browser.fetch("/call/x").status_code == (502 if expired else 200)
    assert refreshes(provider) == 1, "it is left alone for a while"
    provider.token_overrides = {}
    clock.ahead += 4
    assert browser.fetch("/call/x").status_code == 200
    assert refreshes(provider) == 2
    assert not provider.latest_grant.reused
    assert is_signed_in(browser)


def test_a_token_that_another_machine_has_used_names_the_stores_once(
    provider: Provider, make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (
        make_app(OAuth2Login(make_handler(provider)), SECRET_KEY="the same on each machine")
        for _ in range(2)
    )
    for _ in range(2):
        browser = Browser(first, provider)
        browser.sign_in()
        there = Browser(second, provider)
        there.jar = browser.jar.copy()
        provider.grants.expire_access()
        assert browser.fetch("/call/x").status_code == 200
        provider.grants.expire_access()
        assert there.fetch("/call/x").status_code == 401
    assert caplog.text.count("OAUTH2_LOGIN_STORE") == 1
    assert "several machines" in caplog.text
