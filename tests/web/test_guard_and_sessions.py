"""Parts C and D once more: guards, `on_login`, how long logins last, signing out, error pages."""

from __future__ import annotations

import datetime
import time
import typing as t
from pathlib import Path

import pytest
from flask import Blueprint, Flask, session
from werkzeug.exceptions import HTTPException

from flask_oauth2_login import (
    ConfigurationError,
    Identity,
    OAuth2Login,
    OpenIDConnect,
    Token,
    current_identity,
    current_oauth_session,
    login_required,
    login_url,
    logout_button,
    require_login,
    token_refreshed,
)
from tests.conftest import MakeApp, MakeSSO
from tests.support.assertions import is_signed_in, query_of
from tests.support.clock import Clock
from tests.support.handlers import make_handler
from tests.support.provider import HANG, REMOVED, Answer, Browser, Provider

EVE = {"sub": "eve", "name": "Eve", "email": "eve@example.com"}
PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
NAVIGATION = {**PAGE, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
#: Seconds that nobody may be kept waiting by a provider that hangs.
DELAY = 2

STORES = pytest.mark.parametrize("store", ["cookie", "session", "sqlite"])


def own(identity: Identity, _token: Token) -> None:
    identity.owner = identity.owner or f"user-{identity.id}"


def accounts(app: Flask, login: OAuth2Login, owner: str) -> list[str | None]:
    with app.app_context():
        return [identity.id for identity in login.accounts(owner)]


# -- D1: what a guard lets through


@pytest.mark.security("D1")
@pytest.mark.parametrize("nested", [False, True])
def test_a_guard_of_all_that_there_is_leaves_the_way_in_open(
    provider: Provider, make_app: MakeApp, nested: bool
) -> None:
    app = make_app()
    parent: t.Any = Blueprint("parent", __name__) if nested else app
    parent.before_request(require_login)
    parent.add_url_rule("/closed", "closed", lambda: "inside")
    sso = OpenIDConnect(provider.client_id, provider.client_secret, provider.issuer)
    parent.register_blueprint(OAuth2Login(sso, name="sso"))
    if nested:
        app.register_blueprint(parent)
    browser = Browser(app, provider)
    response = browser.get("/closed")
    assert response.location == "/login?next=/closed"
    assert browser.sign_in(response.location).location == "/closed"
    assert browser.get("/closed").text == "inside"
    assert app.test_client().get("/logout").status_code == 200
    assert app.test_client().post("/backchannel-logout").status_code == 400


@pytest.mark.security("D1")
@pytest.mark.parametrize(
    ("demand", "fix"),
    [
        ({"chek": lambda _: False}, "check"),
        ({"checks": lambda _: False}, "check"),
        ({"allowed": lambda _: False}, "check"),
        ({"scopes": "repo"}, "scope"),
        ({"maxage": 300}, "max_age"),
        ({"acr_value": "gold"}, "acr_values"),
        ({"acr": "gold"}, "acr_values"),
        ({"login": "sso"}, "first"),
    ],
)
def test_a_misspelt_demand_lets_nobody_in(demand: dict[str, t.Any], fix: str) -> None:
    with pytest.raises(ConfigurationError, match=fix):
        login_required(**demand)(lambda: "seen")


@pytest.mark.security("D1")
def test_a_misspelt_demand_of_a_function_lets_nobody_in(make_sso: MakeSSO) -> None:
    app, _, browser = make_sso("cookie")

    @app.get("/admin")
    def admin() -> str:
        require_login(chek=lambda _: False)  # type: ignore[arg-type]
        return "seen"

    browser.sign_in()
    with pytest.raises(ConfigurationError, match="check"):
        browser.get("/admin")


@pytest.mark.parametrize(("max_age", "late"), [(0, 20), (30, 45), (300, 330)])
def test_an_age_is_asked_for_whenever_it_is_over_and_met_by_signing_in(
    provider: Provider, make_sso: MakeSSO, clock: Clock, max_age: int, late: int
) -> None:
    app, _, browser = make_sso("cookie")

    @app.get("/pay")
    @login_required(max_age=max_age)
    def pay() -> str:
        return "paid"

    first = browser.get("/pay")
    assert query_of(first.location)["max_age"] == str(max_age), "one way to the provider, not two"
    for _ in range(3):
        provider.signed_in_at = time.time()
        response = browser.get("/pay")
        assert response.status_code == 302
        assert browser.sign_in(response.location).location == "/pay"
        assert browser.get("/pay").text == "paid"
        clock.ahead += late


# -- D2: who gets which answer


@pytest.mark.security("D2")
@pytest.mark.parametrize(
    "url",
    [
        "/f/a%3Fb",
        "/f/a%23b",
        "/f/100%25",
        "/f/a%252Fb",
        "/f/a%20b?x=%20",
        "/f/%C3%A9;v=1",
        "/f/x?q=what?",
        "/f/x?q=a%26b%3D",
        "/f/x?q=a+b%2B",
        "/f/x?q=%FF&a=%5C",
        "/f/x?next=//evil.example",
    ],
)
def test_nothing_of_a_url_is_lost_by_a_sign_in(make_sso: MakeSSO, url: str) -> None:
    app, _, browser = make_sso("cookie")
    app.add_url_rule("/f/<path:name>", "f", login_required(lambda name: str(name)))
    assert browser.sign_in(browser.get(url).location).location == url


@pytest.mark.security("D2")
@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({"Accept": "text/html", "X-Requested-With": "XMLHttpRequest"}, 401, "problem+json"),
        ({"Accept": "application/json, text/html;q=0"}, 401, "problem+json"),
        ({"Accept": "text/html; q=0.0, */*"}, 401, "problem+json"),
        ({"Accept": "application/json;q=0.2, text/html;q=0.1"}, 302, "html"),
        ({**PAGE, "Sec-Fetch-Dest": "iframe"}, 401, "html"),
        ({**NAVIGATION, "X-Moz": "prefetch"}, 503, "html"),
    ],
)
def test_a_client_is_told_by_what_it_says_of_itself(
    make_sso: MakeSSO, headers: dict[str, str], status: int, kind: str
) -> None:
    app, *_ = make_sso("cookie")
    response = app.test_client().get("/me", headers=headers)
    assert response.status_code == status
    assert response.headers["Content-Type"].partition(";")[0].endswith(kind)


@pytest.mark.security("D2")
def test_htmx_is_led_to_the_choice_of_several_logins(provider: Provider, make_app: MakeApp) -> None:
    app = make_app(*(OAuth2Login(make_handler(provider), name=name) for name in ("one", "two")))
    headers = {"HX-Request": "true", "HX-Current-URL": "http://localhost/"}
    there = app.test_client().get("/me", headers=headers).headers["HX-Redirect"]
    page = app.test_client().get(there, headers=NAVIGATION)
    assert page.status_code == 401
    assert "/one/login" in page.text
    assert "/two/login" in page.text


def test_a_challenge_names_any_app(provider: Provider, tmp_path: Path) -> None:
    app = Flask('it"s', instance_path=str(tmp_path))
    app.config["SECRET_KEY"] = "x" * 32
    app.register_blueprint(OAuth2Login(make_handler(provider)))
    app.add_url_rule("/me", "me", login_required(lambda: "seen"))
    challenge = app.test_client().get("/me").headers["WWW-Authenticate"]
    assert challenge == r'OAuth2Login realm="it\"s"'


# -- on_login


@pytest.mark.security("C5")
@STORES
def test_in_on_login_who_signs_in_is_there_and_nobody_else(make_sso: MakeSSO, store: str) -> None:
    _, login, browser = make_sso(store)
    seen = []

    @login.on_login
    def look(_identity: Identity, token: Token) -> None:
        whose = {current_identity.id, login.identity.id if login.identity else None}
        whose |= {each.get("x").json()["sub"] for each in (login.session, current_oauth_session)}
        seen.append((whose, login.token == token))

    browser.sign_in()
    browser.sign_in(person=EVE)
    assert seen == [({"ada"}, True), ({"eve"}, True)]
    assert browser.fetch("/call/x").get_json()["sub"] == "eve"


@pytest.mark.security("C5")
def test_in_on_login_a_second_login_is_the_current_one(
    provider: Provider, make_app: MakeApp
) -> None:
    one, two = (OAuth2Login(make_handler(provider), name=name) for name in ("one", "two"))
    browser = Browser(make_app(one, two), provider)
    seen = []
    two.on_login(lambda *_: seen.append((current_identity.provider, current_identity.id)))
    browser.sign_in("/one/login")
    browser.sign_in("/two/login", person=EVE)
    assert seen == [("two", "eve")]


def test_who_is_missing_in_on_login_sends_nobody_in_circles(
    provider: Provider, make_app: MakeApp
) -> None:
    one, two = (OAuth2Login(make_handler(provider), name=name) for name in ("one", "two"))
    browser = Browser(make_app(one, two), provider)
    two.on_login(lambda *_: one.session.get("x"))
    response = browser.sign_in("/two/login")
    assert response.status_code == 400
    assert "Location" not in response.headers
    assert not is_signed_in(browser)


def test_an_account_is_linked_to_nobody_who_has_signed_out(
    make_sso: MakeSSO,
) -> None:
    app, login, browser = make_sso()
    login.on_login(own)
    browser.sign_in()
    url = browser.begin(browser.link_path())
    browser.post("/logout")
    response = browser.finish(url, person=EVE)
    assert response.status_code == 400
    assert "Location" not in response.headers
    assert not is_signed_in(browser)
    assert accounts(app, login, "user-ada") == accounts(app, login, "user-eve") == []


# -- how long a login lasts


@pytest.mark.security("D1")
@STORES
@pytest.mark.parametrize("permanent", [False, True])
def test_a_login_in_use_outlives_a_short_lifetime(
    make_sso: MakeSSO, clock: Clock, store: str, permanent: bool
) -> None:
    config = {"PERMANENT_SESSION_LIFETIME": datetime.timedelta(minutes=30)}
    _, login, browser = make_sso(store, config)
    login.on_login(lambda *_: setattr(session, "permanent", permanent))
    browser.sign_in()
    for minute in range(5, 95, 5):
        clock.ahead = minute * 60
        assert is_signed_in(browser), f"after {minute} minutes"


@pytest.mark.security("D1")
@STORES
def test_a_short_idle_lifetime_is_over_though_the_session_lives(
    make_sso: MakeSSO, clock: Clock, store: str
) -> None:
    config = {"PERMANENT_SESSION_LIFETIME": datetime.timedelta(minutes=30)}
    app, login, browser = make_sso(store, config)
    login.on_login(lambda *_: setattr(session, "permanent", True))
    app.add_url_rule("/poll", "poll", lambda: str(session.get("seen")))
    # At the beginning of an hour, lest a coarser clock than ours be right by chance.
    clock.ahead = beginning = 3600 - time.time() % 3600
    browser.sign_in()
    for minute in range(5, 45, 5):
        clock.ahead = beginning + minute * 60
        browser.fetch("/poll")
    assert browser.cookie("session") is not None
    assert not is_signed_in(browser)


# -- a person's grant, and linked accounts


@pytest.mark.security("D1")
def test_unlinking_ends_the_browsers_login_too(provider: Provider, make_sso: MakeSSO) -> None:
    app, login, browser = make_sso(offline=True)
    login.on_login(own)
    browser.sign_in()
    with app.app_context():
        assert login.unlink("user-ada", "ada")
    assert provider.calls("/revoke")
    assert not is_signed_in(browser)


@pytest.mark.security("D1")
def test_a_grant_that_the_provider_ended_ends_the_browsers_login(
    provider: Provider, make_sso: MakeSSO
) -> None:
    app, _, browser = make_sso(offline=True)
    other = Browser(app, provider)
    browser.sign_in()
    other.sign_in()
    provider.grants.revoke_all()
    assert browser.fetch("/call/x").status_code == 401
    assert not is_signed_in(browser)
    assert not is_signed_in(other)


def test_a_second_sign_in_without_a_refresh_token_keeps_the_grant(
    provider: Provider, make_sso: MakeSSO
) -> None:
    _, _, browser = make_sso(offline=True)
    provider.signed_in_at = time.time() - 5000
    browser.sign_in()
    provider.refreshable, provider.signed_in_at = False, time.time() - 10
    browser.sign_in()
    provider.grants.expire_access()
    assert browser.fetch("/call/x").status_code == 200
    assert is_signed_in(browser)


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


# -- D3: signing out


@pytest.mark.security("D3")
@pytest.mark.parametrize("every", ["", "1"])
def test_signing_out_ends_all_accounts_that_this_browser_linked(
    provider: Provider, make_sso: MakeSSO, every: str
) -> None:
    app, login, browser = make_sso()
    login.on_login(own)
    browser.sign_in()
    browser.sign_in(browser.link_path(), person=EVE)
    assert sorted(map(str, accounts(app, login, "user-ada"))) == ["ada", "eve"]
    browser.post("/logout", {"every": every})
    assert accounts(app, login, "user-ada") == []
    assert len(provider.wait_for("/revoke", 4)) == 4
    assert not is_signed_in(browser)


@pytest.mark.security("A10")
@pytest.mark.parametrize("again", ["ada", "eve"])
def test_signing_in_once_more_as_either_of_ones_accounts_keeps_both(
    provider: Provider, make_sso: MakeSSO, again: str
) -> None:
    app, login, browser = make_sso()
    login.on_login(lambda identity, _token: setattr(identity, "owner", "user-ada"))
    browser.sign_in()
    browser.sign_in(browser.link_path(), person=EVE)
    browser.sign_in(person=EVE if again == "eve" else None)
    assert sorted(map(str, accounts(app, login, "user-ada"))) == ["ada", "eve"]
    assert (browser.get("/me").get_json() or {})["id"] == again
    browser.post("/logout")
    assert accounts(app, login, "user-ada") == []


@pytest.mark.security("D3")
@pytest.mark.parametrize("fresh", [True, False])
def test_metadata_that_hangs_delays_nobody(
    provider: Provider, make_sso: MakeSSO, clock: Clock, fresh: bool
) -> None:
    app, _, browser = make_sso()
    browser.sign_in()
    if fresh:
        # A worker that has just started, and has not read them yet.
        _, _, there = make_sso(config={"SECRET_KEY": app.config["SECRET_KEY"]})
        there.jar, browser = browser.jar, there
    else:
        clock.ahead = 25 * 3600
    assert is_signed_in(browser)
    provider.on("/.well-known/*", HANG)
    began = time.monotonic()
    assert browser.post("/logout").status_code < 400
    assert time.monotonic() - began < DELAY
    assert not is_signed_in(browser)


@pytest.mark.security("D3")
def test_many_logins_at_a_dead_provider_delay_nobody(provider: Provider, make_app: MakeApp) -> None:
    handler = make_handler(provider, revoke_url="revoke")
    names = [f"login-{number}" for number in range(6)]
    browser = Browser(make_app(*(OAuth2Login(handler, name=name) for name in names)), provider)
    for name in names:
        browser.sign_in(f"/{name}/login")
    provider.on("/revoke", HANG)
    began = time.monotonic()
    browser.post(f"/{names[0]}/logout", {"every": "1"})
    assert time.monotonic() - began < DELAY
    assert len(provider.wait_for("/revoke", len(names))) == len(names)
    assert not is_signed_in(browser)


@pytest.mark.security("D3")
def test_a_hook_that_fails_keeps_nobody_signed_in(
    make_sso: MakeSSO, caplog: pytest.LogCaptureFixture
) -> None:
    _, login, browser = make_sso("cookie")

    @login.on_logout
    def fail(_identity: Identity) -> None:
        raise RuntimeError("the app's own mistake")

    browser.sign_in()
    assert browser.post("/logout").status_code < 400
    assert not is_signed_in(browser)
    assert "the app's own mistake" in caplog.text


@pytest.mark.security("D3")
def test_a_page_on_an_international_host_can_sign_out(
    provider: Provider, make_sso: MakeSSO
) -> None:
    app, *_ = make_sso("cookie")
    app.add_url_rule("/form", "form", login_required(lambda: "sent"), methods=["POST"])
    # Plain http: no Sec-Fetch-Site, only an Origin.
    browser = Browser(app, provider, base_url="http://xn--bcher-kva.example")
    browser.sign_in()
    assert is_signed_in(browser)
    assert browser.post("/logout").status_code < 400
    assert not is_signed_in(browser)
    headers = {"Referer": f"{browser.origin}/form"}
    assert "next=/form" in browser.post("/form", headers=headers).text


@pytest.mark.security("D5")
def test_a_state_counts_once_and_its_cookie_goes(make_sso: MakeSSO) -> None:
    _, _, browser = make_sso("cookie")
    browser.sign_in()
    page = browser.post("/logout", {"next": "/"}).text
    state = page.partition("state=")[2].partition('"')[0].partition("&")[0]
    assert browser.get(f"/logout?state={state}", site="cross-site").location == "/"
    assert browser.cookies == []
    assert browser.get(f"/logout?state={state}", site="cross-site").status_code == 200


def test_the_button_of_a_login_shows_where_somebody_is_signed_in_there(
    provider: Provider, make_app: MakeApp
) -> None:
    app = make_app(*(OAuth2Login(make_handler(provider), name=name) for name in ("one", "two")))
    app.add_url_rule("/menu", "menu", lambda: logout_button(name="one") + logout_button(name="two"))
    browser = Browser(app, provider)
    assert browser.get("/menu").text == ""
    browser.sign_in("/two/login")
    assert "/two/logout" in browser.get("/menu").text
    assert "/one/logout" not in browser.get("/menu").text


# -- error pages and handlers


@pytest.mark.parametrize("error", ["server_error", "temporarily_unavailable", "invalid_scope"])
@pytest.mark.parametrize("page", [True, False])
def test_a_refusal_of_the_provider_is_told_as_such(
    make_sso: MakeSSO, provider: Provider, error: str, page: bool
) -> None:
    _, _, browser = make_sso("cookie")
    callback = provider.consent(browser.begin(), code=REMOVED, error=error)
    response = browser.get(callback, site="cross-site") if page else browser.fetch(callback)
    assert response.status_code == 400
    assert error in response.text
    assert "does not belong" not in response.text


def test_a_wrong_secret_is_told_as_such(provider: Provider, make_sso: MakeSSO) -> None:
    _, _, browser = make_sso("cookie")
    provider.client_secret = "another"
    response = browser.sign_in()
    assert response.status_code == 400
    assert "invalid_client" in response.text
    assert "does not belong" not in response.text


@pytest.mark.parametrize(
    ("path", "cause"), [("/login", "in a window"), ("/login?iss=https://x.example", "provider")]
)
def test_a_sign_in_that_cannot_be_begun_says_why(make_sso: MakeSSO, path: str, cause: str) -> None:
    _, _, browser = make_sso("cookie")
    response = browser.fetch(path) if path == "/login" else browser.get(path)
    assert response.status_code == 400
    assert cause in response.text
    assert "does not belong" not in response.text


def test_linking_where_records_rest_in_browsers_is_told_to_the_developer(
    make_sso: MakeSSO,
) -> None:
    app, _, browser = make_sso("cookie")
    browser.sign_in()
    assert browser.get("/login?link=1").status_code == 400, "a stranger's link is no 500"
    with app.test_request_context(), pytest.raises(ConfigurationError, match="sqlite"):
        login_url(link=True)


def test_an_apps_handler_for_every_error_gets_all_but_the_way_to_sign_in(
    provider: Provider, make_sso: MakeSSO
) -> None:
    app, _, browser = make_sso("cookie")

    @app.errorhandler(HTTPException)
    def handle(error: t.Any) -> tuple[str, int]:
        return f"own {error.code}", error.code

    assert browser.get("/me").status_code == 302
    assert browser.sign_in(state="x").text == "own 400"
    for answer, text in (
        (Answer(400, {"error": "invalid_client"}), "own 400"),
        (Answer(200, "<html>"), "own 502"),
        (Answer(500), "own 503"),
    ):
        provider.on("/token", answer, times=1)
        assert browser.sign_in().text == text
