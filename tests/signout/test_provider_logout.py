"""What an app does with an OpenID Provider: signing out everywhere, asking for more, linking."""

from __future__ import annotations

import typing as t
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import abort
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user
from flask_sqlalchemy import SQLAlchemy

from flask_oauth2_login import (
    Identity,
    OAuth2Login,
    Token,
    current_oauth_session,
    logged_out,
    login_required,
)
from tests.conftest import MakeSSO
from tests.support.assertions import is_signed_in, query_of
from tests.support.handlers import Options
from tests.support.provider import REMOVED, Answer, Browser, Provider

# -- signing out at the provider (D5)


@pytest.mark.security("D5")
def test_signing_out_goes_on_to_the_provider_and_comes_back(
    provider: Provider, make_sso: MakeSSO
) -> None:
    _, _, browser = make_sso()
    browser.sign_in()
    page = browser.post("/logout", {"next": "/"})
    assert page.status_code == 200, "a redirect after a POST would be blocked by form-action"
    (refresh,) = [line for line in page.text.splitlines() if "http-equiv" in line]
    url = refresh.partition("url=")[2].partition('"')[0].replace("&amp;", "&")
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert url.startswith(f"{provider.url}/logout?")
    assert query["client_id"] == provider.client_id
    assert query["post_logout_redirect_uri"] == "http://localhost/logout"
    assert query["id_token_hint"].count(".") == 2
    assert not is_signed_in(browser)
    assert provider.calls("/revoke")
    back = browser.get(f"/logout?state={query['state']}", site="cross-site")
    assert back.location == "/"


@pytest.mark.security("D5")
@pytest.mark.parametrize("state", ["", "forged"])
def test_a_forged_state_leads_nowhere_after_signing_out(make_sso: MakeSSO, state: str) -> None:
    _, _, browser = make_sso()
    browser.sign_in()
    browser.post("/logout", {"next": "/"})
    back = browser.get(f"/logout?state={state}", site="cross-site")
    assert back.status_code == 200
    assert not back.location
    assert "signed out" in back.text


def test_a_provider_that_is_down_keeps_nobody_from_signing_out(
    provider: Provider, make_sso: MakeSSO
) -> None:
    _, _, browser = make_sso()
    browser.sign_in()
    provider.down()
    assert browser.post("/logout").status_code < 400
    assert not is_signed_in(browser)


# -- signing out by the provider (D4, D6)


def test_a_back_channel_logout_ends_the_session_it_names(
    provider: Provider, make_sso: MakeSSO
) -> None:
    app, _, browser = make_sso()
    reasons: list[str] = []

    def note(_sender: t.Any, reason: str, **_: t.Any) -> None:
        reasons.append(reason)

    with logged_out.connected_to(note, app):
        browser.sign_in()
        first = provider.latest_grant
        other = Browser(app, provider)
        other.sign_in()
        token = provider.logout_token(grant=first)
        answer = app.test_client().post("/backchannel-logout", data={"logout_token": token})
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert not is_signed_in(browser)
    assert is_signed_in(other)
    assert reasons == ["back-channel"]


def test_without_sid_all_sessions_of_the_person_end(provider: Provider, make_sso: MakeSSO) -> None:
    app, _, browser = make_sso()
    other = Browser(app, provider)
    browser.sign_in()
    other.sign_in()
    token = provider.logout_token({"sid": REMOVED})
    assert (
        app.test_client().post("/backchannel-logout", data={"logout_token": token}).status_code
        == 200
    )
    assert not is_signed_in(browser)
    assert not is_signed_in(other)


@pytest.mark.security("D4")
@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"iat": REMOVED},
        {"exp": REMOVED, "iat": lambda now: now - 125},
        {"exp": 1},
        {"events": REMOVED},
        {"events": {}},
        {"events": ["http://schemas.openid.net/event/backchannel-logout"]},
        {"jti": REMOVED},
        {"nonce": "n"},
        {"sub": REMOVED, "sid": REMOVED},
        {"sub": 7},
    ],
)
def test_bad_logout_tokens_end_nothing(
    provider: Provider, make_sso: MakeSSO, claims: Options
) -> None:
    app, _, browser = make_sso()
    browser.sign_in()
    token = provider.logout_token(claims)
    answer = app.test_client().post("/backchannel-logout", data={"logout_token": token})
    assert answer.status_code == 400
    assert answer.headers["Cache-Control"] == "no-store"
    assert is_signed_in(browser)


@pytest.mark.security("D4")
@pytest.mark.parametrize("kind", ["none", "id_token", "typ", "missing", "twice"])
def test_what_is_no_logout_token_ends_nothing(
    provider: Provider, make_sso: MakeSSO, kind: str
) -> None:
    app, _, browser = make_sso()
    browser.sign_in()
    kinds: dict[str, dict[str, t.Any]] = {
        "none": {"logout_token": provider.logout_token(alg="none")},
        "id_token": {"logout_token": provider.id_token()},
        "typ": {"logout_token": provider.logout_token(header={"typ": "at+jwt"})},
        "missing": {},
        "twice": {"logout_token": [provider.logout_token(), provider.logout_token()]},
    }
    assert app.test_client().post("/backchannel-logout", data=kinds[kind]).status_code == 400
    assert is_signed_in(browser)


@pytest.mark.security("D4")
def test_a_logout_token_counts_once_but_only_if_it_could_be_checked(
    provider: Provider, make_sso: MakeSSO
) -> None:
    app, _, browser = make_sso()
    browser.sign_in()
    token = provider.logout_token()
    provider.rotate_keys()
    provider.on("/jwks", Answer(status=500), times=1)
    newer = provider.logout_token({"jti": "j-1"})
    client = app.test_client()
    assert client.post("/backchannel-logout", data={"logout_token": newer}).status_code == 400
    assert is_signed_in(browser)
    assert client.post("/backchannel-logout", data={"logout_token": newer}).status_code == 200
    assert client.post("/backchannel-logout", data={"logout_token": newer}).status_code == 400
    assert client.post("/backchannel-logout", data={"logout_token": token}).status_code == 400
    assert not is_signed_in(browser)


@pytest.mark.security("D6")
def test_a_front_channel_logout_needs_the_right_iss_and_sid(
    provider: Provider, make_sso: MakeSSO
) -> None:
    app, _, browser = make_sso()
    browser.sign_in()
    sid, frame = provider.latest_grant.sid, app.test_client()
    for query in (
        {"iss": "https://evil.example", "sid": sid},
        {"iss": provider.issuer},
        {"sid": sid},
    ):
        answer = frame.get("/frontchannel-logout", query_string=query)
        assert answer.status_code == 400
    frame.get("/frontchannel-logout", query_string={"iss": provider.issuer, "sid": "unknown"})
    assert is_signed_in(browser)
    answer = frame.get("/frontchannel-logout", query_string={"iss": provider.issuer, "sid": sid})
    assert answer.status_code == 200
    assert f"frame-ancestors {provider.url}" in answer.headers["Content-Security-Policy"]
    assert not is_signed_in(browser)


def test_both_need_a_server_side_store(
    provider: Provider, make_sso: MakeSSO, caplog: pytest.LogCaptureFixture
) -> None:
    app, _, browser = make_sso(store="cookie")
    browser.sign_in()
    stranger = app.test_client()
    assert stranger.post("/backchannel-logout", data={"logout_token": "x"}).status_code == 400
    query = {"iss": provider.issuer, "sid": "x"}
    assert stranger.get("/frontchannel-logout", query_string=query).status_code == 400
    caplog.clear()
    token = provider.logout_token()
    answer = stranger.post("/backchannel-logout", data={"logout_token": token})
    assert answer.status_code == 400
    assert answer.headers["Cache-Control"] == "no-store"
    # The developer is told how to mend it, and nobody else.
    assert "sqlite" in caplog.text
    assert "sqlite" not in answer.text


# -- a sign-in that the provider begins


def test_another_site_can_begin_a_sign_in(provider: Provider, make_sso: MakeSSO) -> None:
    _, _, browser = make_sso()
    query = f"iss={provider.issuer}&login_hint=ada&target_link_uri=http://localhost/me"
    response = browser.get(f"/login?{query}", site="cross-site")
    assert query_of(response.location)["login_hint"] == "ada"
    assert browser.finish(response.location).location == "/me"
    response = browser.post("/login", {"iss": provider.issuer}, site="cross-site")
    assert response.status_code == 303
    response = browser.follow(response, site="cross-site")
    assert browser.finish(response.location).location == "/"


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/", "http://localhost:1/"]
)
def test_another_site_cannot_choose_another_host(
    provider: Provider, make_sso: MakeSSO, target: str
) -> None:
    _, _, browser = make_sso()
    response = browser.get(f"/login?iss={provider.issuer}&target_link_uri={target}")
    assert browser.finish(response.location).location == "/"


def test_another_issuer_begins_nothing(make_sso: MakeSSO) -> None:
    _, _, browser = make_sso()
    assert browser.get("/login?iss=https://evil.example").status_code == 400


# -- more from the same person


def test_a_view_asks_for_a_stronger_or_more_recent_sign_in(
    provider: Provider, make_sso: MakeSSO
) -> None:
    app, _, browser = make_sso()

    @app.get("/gold")
    @login_required(acr_values="gold")
    def gold() -> str:
        return "gold"

    @app.get("/recent")
    @login_required(max_age=300)
    def recent() -> str:
        return "recent"

    browser.sign_in()
    response = browser.get("/gold")
    assert "acr_values=gold" in response.location
    response = browser.get(response.location)
    assert query_of(response.location)["acr_values"] == "gold"
    provider.id_token_options = {"claims": {"acr": "gold"}}
    assert browser.finish(response.location).location == "/gold"
    assert browser.get("/gold").text == "gold"
    assert browser.get("/recent").text == "recent"


def test_a_provider_that_answers_too_little_ends_in_a_page_not_in_a_loop(
    provider: Provider, make_sso: MakeSSO
) -> None:
    app, _, browser = make_sso()

    @app.get("/stronger")
    @login_required
    def stronger() -> t.Any:
        return current_oauth_session.get("step-up").json()

    challenge = 'Bearer error="insufficient_user_authentication", acr_values="gold"'
    provider.on("/api/step-up", Answer(status=401, headers={"WWW-Authenticate": challenge}))
    browser.sign_in()
    response = browser.get("/stronger")
    assert query_of(response.location)["acr_values"] == "gold"
    provider.id_token_options = {"claims": {"acr": "gold"}}
    assert browser.sign_in(response.location).location == "/stronger"
    assert browser.get("/stronger").status_code == 403


@pytest.mark.security("D1")
@pytest.mark.parametrize("max_age", ["nan", "-1", "soon", "1e9"])
def test_an_age_that_an_api_makes_up_is_no_demand_and_no_500(
    provider: Provider, make_sso: MakeSSO, max_age: str
) -> None:
    app, _, browser = make_sso()

    @app.get("/stronger")
    @login_required
    def stronger() -> t.Any:
        return current_oauth_session.get("step-up").json()

    error = 'error="insufficient_user_authentication"'
    challenge = f'Bearer {error}, acr_values="gold", max_age="{max_age}"'
    provider.on("/api/step-up", Answer(status=401, headers={"WWW-Authenticate": challenge}))
    browser.sign_in()
    sent = query_of(browser.get("/stronger").location)
    assert sent["acr_values"] == "gold"
    assert "max_age" not in sent


def test_scope_is_asked_for_once_and_earlier_scopes_stay(
    provider: Provider, make_sso: MakeSSO
) -> None:
    app, _, browser = make_sso()

    @app.get("/repos")
    @login_required(scope="repo")
    def repos() -> str:
        return "repos"

    provider.granted_scope = "openid email"
    browser.sign_in()
    response = browser.get(browser.get("/repos").location)
    assert set(query_of(response.location)["scope"].split()) == {"openid", "email", "repo"}
    provider.granted_scope = None
    assert browser.finish(response.location).location == "/repos"
    assert browser.get("/repos").text == "repos"
    provider.granted_scope = "openid email"
    other = Browser(app, provider)
    refused = other.sign_in(other.get("/repos").location)
    assert refused.location == "/repos"
    assert other.get("/repos").status_code == 403


def test_a_link_may_ask_the_provider_for_more_but_not_change_the_flow(
    provider: Provider, make_sso: MakeSSO
) -> None:
    _, _, browser = make_sso()
    query = (
        "prompt=login&ui_locales=de&redirect_uri=https://evil.example&response_type=token&state=x"
    )
    sent = query_of(browser.get(f"/login?{query}").location)
    assert (sent["prompt"], sent["ui_locales"]) == ("login", "de")
    assert sent["redirect_uri"] == "http://localhost/callback"
    assert sent["response_type"] == "code"
    assert len(sent["state"]) == 32


# -- the app's own users: the documentation's example


def test_on_login_with_flask_login_and_flask_sqlalchemy(
    provider: Provider, make_sso: MakeSSO, tmp_path: Path
) -> None:
    app, _, browser = make_sso()
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path}/app.db"
    db = SQLAlchemy(app)

    class User(UserMixin, db.Model):  # type: ignore[name-defined, misc]
        id = db.mapped_column(db.Integer, primary_key=True)
        account = db.mapped_column(db.String, unique=True)
        name = db.mapped_column(db.String)

    manager = LoginManager(app)
    manager.user_loader(lambda id: db.session.get(User, int(id)))
    sso = t.cast(OAuth2Login, app.blueprints["sso"])

    @sso.on_login
    def find_or_create(identity: Identity, _token: Token) -> None:
        account = f"{identity.provider}:{identity.tenant}:{identity.id}"
        user = db.session.execute(db.select(User).filter_by(account=account)).scalar()
        if user is None:
            if identity.name == "Mallory":
                abort(403)
            user = User(account=account, name=identity.name)
            db.session.add(user)
            db.session.commit()
        identity.owner = str(user.id)
        login_user(user, remember=True)

    @sso.on_logout
    def forget(_identity: Identity) -> None:
        logout_user()

    @app.get("/whoami")
    def whoami() -> t.Any:
        return [current_user.is_authenticated and current_user.name]

    with app.app_context():
        db.create_all()
    browser.sign_in()
    assert browser.get("/whoami").get_json() == ["Ada Lovelace"]
    refused = browser.sign_in(person={"sub": "mallory", "name": "Mallory"})
    assert refused.status_code == 403
    assert browser.get("/whoami").get_json() == ["Ada Lovelace"]
    browser.post("/logout")
    assert browser.get("/whoami").get_json() == [False]
    with app.app_context():
        assert db.session.query(User).count() == 1
        db.session.remove()
        db.engine.dispose()
