"""Logins whose tokens are bound to a key: DPoP, RFC 9449."""

from __future__ import annotations

import sqlite3
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flask import Flask
from joserfc.jwk import ECKey

from flask_oauth2_login import (
    LoginRequired,
    OAuth2Login,
    OAuth2Session,
    Token,
    login_required,
    token_refreshed,
)
from flask_oauth2_login.protocol.dpop import key_of_attempt, new_key
from flask_oauth2_login.protocol.pkce import code_challenge
from flask_oauth2_login.session.stored_key import pack_token, unpack_token
from tests.conftest import MakeApp, MakeProvider, MakeSSO
from tests.support.apps import STORES, add_views
from tests.support.assertions import refreshes
from tests.support.clock import Clock
from tests.support.handlers import make_handler
from tests.support.provider import Answer, Browser, Provider

OWN = ECKey.generate_key("P-256").as_dict(private=True)
KEYS = pytest.mark.parametrize("dpop", [True, OWN], ids=["of-the-login", "of-the-client"])


@pytest.fixture
def provider(make_provider: MakeProvider) -> Provider:
    return make_provider(dpop=True, require_pkce=True)


class MakeWorker(t.Protocol):
    """Start an app that is like those before it, as another process would."""

    def __call__(self, *, dpop: t.Any = True, **login: t.Any) -> tuple[Flask, OAuth2Login]: ...


@pytest.fixture
def make_worker(provider: Provider, tmp_path: Path) -> MakeWorker:
    def make(*, dpop: t.Any = True, **login: t.Any) -> tuple[Flask, OAuth2Login]:
        app = Flask("the_app", instance_path=str(tmp_path))
        app.config |= {"SECRET_KEY": "a key that all have", "TESTING": True}
        handler = make_handler(provider, dpop=dpop, revoke_url="revoke")
        store = f"sqlite:///{tmp_path}/logins.db"
        blueprint = OAuth2Login(handler, **{"store": store, "scope": "read", **login})
        app.register_blueprint(blueprint)
        add_views(app)
        return app, blueprint

    return make


@STORES
@KEYS
def test_sign_in_api_renewal_and_sign_out(
    provider: Provider, make_sso: MakeSSO, store: str, dpop: t.Any
) -> None:
    provider.claims_in_id_token = False
    _, _, browser = make_sso(store, handler={"dpop": dpop})
    assert browser.sign_in().status_code == 302
    assert browser.get("/me").json["email"] == "ada@example.com"  # type: ignore[index]
    assert provider.latest_grant.jkt == provider.authorizations[0]["dpop_jkt"]
    for count in range(1, 3):
        provider.grants.expire_access()
        assert browser.fetch("/call/me").status_code == 200
        assert refreshes(provider) == count
    assert browser.post("/logout").status_code < 400
    assert all("DPoP" not in call.headers for call in provider.calls("/revoke"))
    assert len(provider.calls("/revoke")) == 2
    keys = {
        call.headers["DPoP"].partition(".")[0]
        for call in provider.requests
        if "DPoP" in call.headers
    }
    assert len(keys) == 1


@pytest.mark.security("F2")
def test_who_reads_the_token_request_can_not_derive_the_key(
    provider: Provider, make_sso: MakeSSO
) -> None:
    browser = make_sso(handler={"dpop": True}).browser
    browser.sign_in()
    (call,) = provider.calls("/token")
    sent = call.form["code_verifier"]
    assert code_challenge(sent) == provider.authorizations[0]["code_challenge"]
    asked = provider.authorizations[0]
    for known in (sent, asked["state"], asked["nonce"], asked["code_challenge"]):
        assert key_of_attempt(known).thumbprint != provider.latest_grant.jkt


def test_two_people_have_two_keys(provider: Provider, make_sso: MakeSSO) -> None:
    app, _, ada = make_sso(handler={"dpop": True})
    ada.sign_in()
    Browser(app, provider).sign_in(person={"sub": "bob"})
    first, second = (grant.jkt for grant in provider.grants.all)
    assert first != second


@pytest.mark.security("C6")
@KEYS
def test_32_requests_with_an_expired_token_renew_it_once(
    provider: Provider, make_worker: MakeWorker, dpop: t.Any
) -> None:
    apps = [make_worker(dpop=dpop)[0] for _ in range(2)]
    browser = Browser(apps[0], provider)
    browser.sign_in()
    provider.dpop_nonce = "demanded-from-now-on"
    provider.grants.expire_access()
    visitors = []
    for number in range(32):
        visitor = Browser(apps[number % 2], provider)
        visitor.jar = browser.jar.copy()
        visitors.append(visitor)
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda each: each.fetch("/call/me").status_code, visitors))
    assert set(answers) == {200}
    sent = provider.calls("/token", grant_type="refresh_token")
    assert len({call.headers["DPoP"] for call in sent}) == len(sent) <= 2, "one, and its nonce"
    assert provider.latest_grant.reused == 0


@pytest.mark.security("C7")
@pytest.mark.parametrize(
    "challenge",
    [
        'DPoP error="invalid_token", algs="ES256"',
        'Bearer error="invalid_token"',
        "Bearer",
        "DPoP",
        "",
    ],
    ids=["dpop", "bearer", "bare-bearer", "bare-dpop", "none"],
)
def test_a_bound_token_that_the_api_rejects_is_renewed_once(
    provider: Provider, make_worker: MakeWorker, challenge: str
) -> None:
    app, _ = make_worker()
    browser = Browser(app, provider)
    browser.sign_in()
    rejection = Answer(401, {}, headers={"WWW-Authenticate": challenge} if challenge else {})
    provider.on("/api/me", rejection, times=2)
    assert browser.fetch("/call/me").status_code == 401
    assert (refreshes(provider), len(provider.calls("/api/me"))) == (1, 2)
    assert browser.fetch("/call/me").status_code == 200


@pytest.mark.security("C7")
@pytest.mark.parametrize("error", ["invalid_dpop_proof", "use_dpop_nonce", "insufficient_scope"])
def test_a_401_that_is_not_about_the_token_renews_nothing(
    provider: Provider, make_worker: MakeWorker, error: str
) -> None:
    app, _ = make_worker()
    browser = Browser(app, provider)
    browser.sign_in()
    provider.on("/api/me", Answer(401, {}, headers={"WWW-Authenticate": f'DPoP error="{error}"'}))
    assert browser.fetch("/call/me").status_code == 401
    assert (refreshes(provider), len(provider.calls("/api/me"))) == (0, 1)


def test_a_rejected_token_and_a_demanded_nonce_come_together(
    provider: Provider, make_provider: MakeProvider, make_app: MakeApp
) -> None:
    api = make_provider(dpop=True, dpop_nonce="of-the-api")
    api.grants = provider.grants
    handler = make_handler(provider, dpop=True, api_url=api.api_url)
    browser = Browser(make_app(OAuth2Login(handler)), provider)
    browser.sign_in()
    rejection = Answer(401, {}, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
    api.on("/api/me", rejection, times=1)
    assert browser.fetch("/call/me").status_code == 200
    assert refreshes(provider) == 1
    assert len(api.calls("/api/me")) == 3, "rejected, asked for a nonce, answered"


def test_threads_without_a_context_share_the_nonce(
    provider: Provider, make_worker: MakeWorker
) -> None:
    app, login = make_worker()
    given: list[OAuth2Session] = []

    @app.get("/give")
    @login_required
    def give() -> str:
        given.append(login.session)
        return ""

    browser = Browser(app, provider)
    browser.sign_in()
    browser.fetch("/give")
    provider.dpop_nonce = "n-1"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: given[0].get("x").status_code, range(8)))
    assert set(answers) == {200}
    assert len(provider.calls("/api/x")) <= 16


@KEYS
def test_a_job_uses_the_key_of_the_grant(
    provider: Provider, make_worker: MakeWorker, dpop: t.Any
) -> None:
    app, _ = make_worker(dpop=dpop, offline=True)
    Browser(app, provider).sign_in()
    provider.grants.expire_access()
    worker, login = make_worker(dpop=dpop, offline=True)
    with worker.app_context():
        owner = next(iter(login.accounts("oauth2::ada"))).owner
        assert login.session_for(str(owner)).get("/me").json()["sub"] == "ada"
    assert refreshes(provider) == 1


def test_a_refresh_token_that_comes_once_keeps_its_key(
    provider: Provider, make_worker: MakeWorker
) -> None:
    app, login = make_worker(offline=True)
    Browser(app, provider).sign_in()
    provider.refreshable = False
    Browser(app, provider).sign_in()
    first, second = provider.grants.all
    assert first.jkt != second.jkt
    with app.app_context():
        assert login.session_for("oauth2::ada").get("/me").status_code == 200
    (call,) = provider.calls("/token", grant_type="refresh_token")
    assert call.headers["DPoP"]


def test_an_exchanged_token_is_kept_with_the_key_of_its_login(
    provider: Provider, make_worker: MakeWorker
) -> None:
    url = f"{provider.api_url}/reports"
    provider.resources = {url}
    app, _ = make_worker(offline=True)
    Browser(app, provider).sign_in()
    for _ in range(2):
        worker, login = make_worker(offline=True)
        with worker.app_context():
            reports = login.session_for("oauth2::ada").for_resource(url, "read")
            assert reports.get("/x").json()["sub"] == "ada"
    assert len(provider.calls("/token")) == 2, "the code, and one exchange for both workers"
    jkts = {call.headers["DPoP"].partition(".")[0] for call in provider.calls("/token")}
    assert len(jkts) == 1


@KEYS
def test_the_apps_own_token_is_shared_with_its_key(
    provider: Provider, make_worker: MakeWorker, dpop: t.Any
) -> None:
    for _ in range(2):
        app, login = make_worker(dpop=dpop)
        with app.app_context():
            assert login.client_session("read").get("/me").json()["sub"] == provider.client_id
    assert len(provider.calls("/token")) == 1


def test_workers_share_a_nonce(provider: Provider, make_worker: MakeWorker) -> None:
    provider.dpop_nonce = "n-1"
    app, _ = make_worker()
    browser = Browser(app, provider)
    browser.sign_in()
    assert len(provider.calls("/token")) == 2
    worker, _ = make_worker()
    visitor = Browser(worker, provider)
    visitor.jar = browser.jar.copy()
    assert visitor.fetch("/call/me").status_code == 200
    assert len(provider.calls("/api/me")) == 1, "the other worker was told the nonce"


@pytest.mark.security("F2")
def test_the_key_rests_sealed(provider: Provider, make_worker: MakeWorker, tmp_path: Path) -> None:
    app, login = make_worker()
    told: list[Token] = []

    def hear(_sender: Flask, token: Token, **_: t.Any) -> None:
        told.append(token)

    @app.get("/token")
    def show() -> dict[str, t.Any]:
        token = login.token
        assert token is not None
        told.append(token)
        return {"members": dict(token), "repr": repr(token)}

    browser = Browser(app, provider)
    browser.sign_in()
    provider.grants.expire_access()
    with token_refreshed.connected_to(hear, app):
        browser.fetch("/call/me")
    shown = browser.get("/token").text
    secrets = {token.dpop_key.secret for token in told if token.dpop_key}
    assert len(told) == 2
    (secret,) = secrets
    assert secret
    rest = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert secret not in shown + repr(told)
    assert secret.encode() not in rest
    with sqlite3.connect(tmp_path / "logins.db") as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    connection.close()
    handler = make_handler(provider, dpop=True)
    assert handler.session(told[-1]).get("/me").status_code == 200, "an app may use login.token"


def test_a_login_from_before_is_bound_when_it_is_renewed(
    provider: Provider, make_worker: MakeWorker
) -> None:
    provider.dpop = False
    app, _ = make_worker(dpop=False)
    browser = Browser(app, provider)
    browser.sign_in()
    provider.dpop = True
    worker, _ = make_worker()
    visitor = Browser(worker, provider)
    visitor.jar = browser.jar.copy()
    assert visitor.fetch("/call/me").status_code == 200
    assert "DPoP" not in provider.calls("/api/me")[0].headers
    provider.grants.expire_access()
    for _ in range(2):
        assert visitor.fetch("/call/me").status_code == 200
    assert provider.calls("/api/me")[-1].headers["Authorization"].startswith("DPoP ")
    assert refreshes(provider) == 1


@pytest.mark.security("F2")
def test_who_removes_the_clients_key_has_people_sign_in_again(
    provider: Provider, make_worker: MakeWorker
) -> None:
    app, _ = make_worker(dpop=OWN, offline=True)
    Browser(app, provider).sign_in()
    worker, login = make_worker(dpop=False, offline=True)
    with worker.app_context(), pytest.raises(LoginRequired):
        login.session_for("oauth2::ada").get("/me")
    assert not provider.calls("/api/me")


def test_a_proof_that_is_refused_ends_no_login(
    provider: Provider, make_worker: MakeWorker, clock: Clock
) -> None:
    app, _ = make_worker()
    browser = Browser(app, provider)
    browser.sign_in()
    provider.grants.expire_access()
    refused = [{"error": "invalid_dpop_proof"}, {"error": "use_dpop_nonce"}]
    for members in refused:
        provider.on("/token", Answer(400, members), times=1)
        assert browser.fetch("/call/me").status_code >= 400
        clock.ahead += 120
    assert browser.fetch("/call/me").status_code == 200


def test_a_token_is_packed_with_its_key_and_without_as_before() -> None:
    token = Token(access_token="a", token_type="DPoP")
    assert pack_token(token) == dict(token)
    assert unpack_token(dict(token)) == token
    token.dpop_key = new_key()
    unpacked = unpack_token(pack_token(token))
    assert unpacked == token
    assert unpacked.dpop_key is not None
    assert unpacked.dpop_key.thumbprint == token.dpop_key.thumbprint
    assert unpack_token(None) is unpack_token("x") is None
