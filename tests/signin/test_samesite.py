"""The flow once more: odd links, cookies that do not travel, slow requests, and what is left."""

from __future__ import annotations

import io
import secrets
import threading
import time
import typing as t
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Flask, Response, session
from werkzeug.test import TestResponse

from flask_oauth2_login import (
    AuthorizationError,
    ConfigurationError,
    Identity,
    OAuth2Login,
    OpenIDConnect,
    Token,
    login_required,
    login_url,
)
from tests.conftest import MakeApp, MakeProvider
from tests.support.apps import add_cart
from tests.support.assertions import is_signed_in, query_of
from tests.support.clock import Clock
from tests.support.handlers import make_handler
from tests.support.provider import Answer, Browser, Hold, Provider

#: What `urlsplit` does not take.
NO_URLS = ["http://[", "http://a]", "http://\u2100"]


def keep_sessions_on_the_server(app: Flask, folder: Path) -> None:
    from cachelib import FileSystemCache
    from flask_session import Session

    cache = FileSystemCache(str(folder / "sessions"))
    app.config |= {"SESSION_TYPE": "cachelib", "SESSION_CACHELIB": cache}
    Session(app)


def make_sessions_permanent(app: Flask) -> None:
    @app.before_request
    def last() -> None:
        session.permanent = True


def in_wsgi(text: str) -> str:
    """A header's value as WSGI has it."""
    return text.encode().decode("latin-1")


# -- Links


@pytest.mark.parametrize("name", ["self", "login", "params", "target"])
def test_any_parameter_of_a_signed_link_goes_to_the_provider(
    app: Flask, browser: Browser, name: str
) -> None:
    asked: dict[str, t.Any] = {name: "1"}
    app.add_url_rule("/link", "link", lambda: login_url(**asked))
    assert query_of(browser.begin(browser.get("/link").text))[name] == "1"


@pytest.mark.security("A2")
def test_a_link_cannot_name_another_client(provider: Provider, make_app: MakeApp) -> None:
    app = make_app(OAuth2Login(make_handler(provider, client_id_param="client_key")))
    location = app.test_client().get("/login?client_key=evil").location
    assert query_of(location)["client_key"] == provider.client_id


@pytest.mark.security("A3")
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Purpose": "prerender"},
        {"Sec-Purpose": "Prefetch"},
        {"Sec-Purpose": "prefetch;anonymous-client-ip"},
        {"Sec-Purpose": "", "Purpose": "prefetch"},
        {"X-Moz": "prefetch"},
        {"X-Purpose": "preview"},
    ],
)
def test_whatever_looks_ahead_starts_no_attempt(app: Flask, headers: dict[str, str]) -> None:
    response = app.test_client().get("/login", headers=headers)
    assert response.status_code == 503
    assert "Set-Cookie" not in response.headers


@pytest.mark.security("A3")
@pytest.mark.parametrize("name", ["日", "x", "x" * 3000, "A" * 32, "0" * 33])
def test_a_cookie_that_is_no_attempts_is_left_alone(app: Flask, name: str) -> None:
    cookie = in_wsgi(f"oauth2_login_oauth2__{name}=1")
    client = app.test_client(use_cookies=False)
    response = client.get("/login", headers={"Cookie": cookie})
    state = query_of(response.location)["state"]
    (sent,) = response.headers.getlist("Set-Cookie")
    assert sent.startswith(f"oauth2_login_oauth2__{state}=")


def test_a_link_too_long_for_a_cookie_is_refused_at_once(browser: Browser) -> None:
    response = browser.get(f"/login?login_hint={secrets.token_urlsafe(3500)}", site="same-origin")
    assert response.status_code == 400
    assert not browser.cookies
    assert not browser.jar.refused


def test_a_next_too_long_for_a_cookie_is_left_out(browser: Browser) -> None:
    letters = "".join(chr(0x4E00 + secrets.randbelow(0x5000)) for _ in range(1900))
    url = browser.begin(f"/login?next=/{letters}")
    assert not browser.jar.refused
    assert browser.finish(url).location == "/"
    assert is_signed_in(browser)


@pytest.mark.security("A8")
@pytest.mark.parametrize("url", NO_URLS)
def test_a_malformed_url_of_the_page_before_leads_nowhere(app: Flask, url: str) -> None:
    @app.post("/form")
    @login_required
    def form() -> str:
        return ""

    client = app.test_client()
    headers = {"Referer": in_wsgi(url), "Accept": "text/html"}
    assert client.post("/form", headers=headers).status_code == 401
    headers = {"HX-Request": "true", "HX-Current-URL": in_wsgi(url)}
    assert client.get("/me", headers=headers).headers["HX-Redirect"] == "/login"


@pytest.mark.security("A8")
@pytest.mark.parametrize("url", NO_URLS)
def test_a_malformed_target_of_another_site_becomes_the_default_page(
    provider: Provider, make_app: MakeApp, url: str
) -> None:
    handler = OpenIDConnect(provider.client_id, provider.client_secret, provider.url)
    client = make_app(OAuth2Login(handler)).test_client()
    asked = {"iss": provider.issuer, "target_link_uri": url}
    callback = urlsplit(provider.consent(client.get("/login", query_string=asked).location))
    assert client.get(f"{callback.path}?{callback.query}").location == "/"


# -- A6


class Flood(io.RawIOBase):
    """A body of any length, which counts what was read of it."""

    def __init__(self, size: int) -> None:
        self.left = self.size = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int:
        taken = min(len(buffer), self.left)
        buffer[:taken] = b"x" * taken
        self.left -= taken
        return taken


@pytest.mark.security("A6")
@pytest.mark.parametrize(
    "length",
    [
        {"CONTENT_LENGTH": "100000000"},
        {"CONTENT_LENGTH": ""},
        {"HTTP_TRANSFER_ENCODING": "chunked"},
    ],
)
def test_a_form_of_any_length_is_not_read(
    provider: Provider, make_app: MakeApp, length: dict[str, str]
) -> None:
    app = make_app(OAuth2Login(make_handler(provider, response_mode="form_post")))
    body = Flood(100_000_000)
    request = {
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        **length,
    }
    response = app.test_client().post("/callback", environ_overrides=request)
    assert 400 <= response.status_code < 500
    assert body.size - body.left < 1_000_000


# -- A7


@pytest.mark.security("A7")
def test_the_redirect_uri_is_the_same_where_the_port_is_not(app: Flask, provider: Provider) -> None:
    client = app.test_client()
    begun = client.get("/login", base_url="http://localhost").location
    callback = urlsplit(provider.consent(begun))
    url = f"{callback.path}?{callback.query}"
    assert client.get(url, base_url="http://localhost:8080").status_code == 302
    (call,) = provider.calls("/token")
    assert call.form["redirect_uri"] == query_of(begun)["redirect_uri"]


@pytest.mark.security("A7")
def test_the_redirect_uri_has_the_blueprints_subdomain(provider: Provider, tmp_path: Path) -> None:
    app = Flask("the_app", instance_path=str(tmp_path), subdomain_matching=True)
    app.config |= {"SECRET_KEY": secrets.token_hex(), "SERVER_NAME": "app.example"}
    app.register_blueprint(OAuth2Login(make_handler(provider), subdomain="auth"))
    browser = Browser(app, provider, base_url="http://auth.app.example")
    url = browser.begin()
    assert query_of(url)["redirect_uri"] == "http://auth.app.example/callback"
    assert browser.finish(url).status_code == 302


# -- A9


@pytest.mark.security("A9")
def test_an_answer_with_a_referrer_policy_of_its_own_is_private_too(
    app: Flask, browser: Browser
) -> None:
    own = {"Referrer-Policy": "origin"}
    login = t.cast(OAuth2Login, app.blueprints["oauth2"])

    @login.on_login
    def welcome(_identity: Identity, _token: Token) -> Response:
        return Response("Welcome!", headers=own)

    @app.errorhandler(AuthorizationError)
    def explain(_error: AuthorizationError) -> Response:
        return Response("No.", 400, headers=own)

    # Refused is whom nobody knows: who is signed in already is sent on.
    refused = browser.get("/callback?code=x&state=x")
    for response in (refused, browser.sign_in()):
        assert response.text in {"Welcome!", "No."}
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Referrer-Policy"] == "origin"


# -- A10


@pytest.mark.security("A10")
@pytest.mark.parametrize("kind", ["Strict", "form_post"])
@pytest.mark.parametrize("on_the_server", [False, True])
def test_a_permanent_session_that_did_not_come_along_is_never_overwritten(
    provider: Provider, make_app: MakeApp, tmp_path: Path, kind: str, on_the_server: bool
) -> None:
    options = {"response_mode": "form_post"} if kind == "form_post" else {}
    samesite = "Strict" if kind == "Strict" else "Lax"
    login = OAuth2Login(make_handler(provider, **options))
    app = make_app(login, SESSION_COOKIE_SAMESITE=samesite)
    if on_the_server:
        keep_sessions_on_the_server(app, tmp_path)
    make_sessions_permanent(app)
    add_cart(app)
    browser = Browser(app, provider, base_url="https://localhost")
    browser.get("/cart/book")
    assert browser.sign_in().status_code == 302
    assert browser.get("/cart/pen").get_json() == ["book", "pen"]
    assert is_signed_in(browser)
    # Nor by what another site sends there of its own accord.
    answer = {"error": "access_denied", "state": "x"}
    if kind == "Strict":
        browser.get("/callback?error=access_denied&state=x", site="cross-site")
    else:
        browser.post("/callback", answer, site="cross-site")
        browser.post("/callback", {}, site="cross-site")
    assert browser.get("/cart/cup").get_json() == ["book", "pen", "cup"]
    assert is_signed_in(browser)


@pytest.mark.security("A10")
def test_a_form_token_of_another_name_goes_too(provider: Provider, make_app: MakeApp) -> None:
    from flask_wtf import CSRFProtect
    from flask_wtf.csrf import generate_csrf

    app = make_app(OAuth2Login(make_handler(provider)), WTF_CSRF_FIELD_NAME="form_token")
    CSRFProtect(app)
    app.add_url_rule("/form", "form", generate_csrf)
    app.add_url_rule("/session", "session", lambda: sorted(session))
    browser = Browser(app, provider)
    browser.get("/form")
    assert browser.get("/session").get_json() == ["form_token"]
    browser.sign_in()
    assert browser.get("/session").get_json() == ["_oauth2"]


# -- What a provider may say


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.security("B3")
@pytest.mark.parametrize("depth", [480, 950])
def test_claims_nested_beyond_all_measure_sign_nobody_in(
    provider: Provider, make_app: MakeApp, depth: int
) -> None:
    app = make_app(OAuth2Login(make_handler(provider), claims=["groups"]))
    browser = Browser(app, provider)
    body = f'{{"sub": "ada", "groups": {nested(depth)}}}'
    provider.on("/userinfo", Answer(body=body.encode()))
    assert browser.sign_in().status_code == 502
    assert not is_signed_in(browser)


def test_nested_claims_are_kept(provider: Provider, make_app: MakeApp) -> None:
    app = make_app(OAuth2Login(make_handler(provider), claims=["groups"]))
    browser = Browser(app, provider)
    body = f'{{"sub": "ada", "groups": {nested(20)}}}'
    provider.on("/userinfo", Answer(body=body.encode()))
    browser.sign_in()
    assert nested(20) in "".join(browser.get("/me").text.split())


# -- C4


@pytest.mark.security("C4")
def test_a_record_too_large_for_the_sessions_cookie_names_the_stores(
    make_provider: MakeProvider, make_app: MakeApp, tmp_path: Path
) -> None:
    provider = make_provider(access_token_size=6000)
    browser = Browser(make_app(OAuth2Login(make_handler(provider), store="session")), provider)
    with pytest.raises(ConfigurationError, match="sqlite:///"):
        browser.sign_in()
    assert not browser.jar.refused
    assert not is_signed_in(browser)
    # On the server there is room for it.
    app = make_app(OAuth2Login(make_handler(provider), store="session"))
    keep_sessions_on_the_server(app, tmp_path)
    browser = Browser(app, provider)
    browser.sign_in()
    assert is_signed_in(browser)


@pytest.mark.security("C4")
def test_the_largest_token_is_no_traceback(
    make_provider: MakeProvider, make_app: MakeApp, tmp_path: Path
) -> None:
    provider = make_provider(access_token_size=1_045_000)
    handler = make_handler(provider, userinfo_url=None)
    in_a_cookie = Browser(make_app(OAuth2Login(handler)), provider)
    with pytest.raises(ConfigurationError, match="sqlite:///"):
        in_a_cookie.sign_in()
    store = f"sqlite:///{tmp_path}/logins.db"
    on_the_server = Browser(make_app(OAuth2Login(handler, store=store)), provider)
    assert on_the_server.sign_in().status_code == 302
    assert is_signed_in(on_the_server)


@pytest.mark.security("C4")
def test_more_than_can_be_sealed_is_the_providers_error(
    provider: Provider, make_app: MakeApp, tmp_path: Path
) -> None:
    store, claims = f"sqlite:///{tmp_path}/logins.db", ["name", "nickname"]
    app = make_app(OAuth2Login(make_handler(provider), store=store, claims=claims))
    person = {"sub": "ada", "name": "x" * 500_000, "nickname": "x" * 500_000}
    provider.token_overrides = {"more": "x" * 1_000_000}
    provider.on("/userinfo", Answer(body=person))
    browser = Browser(app, provider)
    assert browser.sign_in().status_code == 502
    assert not is_signed_in(browser)


# -- C5


@pytest.mark.security("C5")
@pytest.mark.parametrize("error", ["bad_refresh_token", "invalid_request", "access_denied"])
def test_one_visitors_bad_refresh_token_keeps_nobody_else_out(
    app: Flask, provider: Provider, error: str
) -> None:
    ada, bob = Browser(app, provider), Browser(app, provider)
    ada.sign_in()
    bob.sign_in(person={"sub": "bob"})
    provider.grants.expire_access()
    provider.on("/token", Answer(400, {"error": error}), times=1)
    assert ada.fetch("/call/x").status_code == 502
    assert bob.fetch("/call/x").status_code == 200
    # And she is left alone for a moment, with the token that the provider would not take.
    assert ada.fetch("/call/x").status_code == 502
    assert len(provider.calls("/token", grant_type="refresh_token")) == 2


# -- C8


class SlowRequest:
    """A request by a copy of a browser, whose answer that browser takes when it comes."""

    def __init__(self, browser: Browser, app: Flask, send: t.Callable[[Browser], TestResponse]):
        self._browser = browser
        self._answers: list[TestResponse] = []
        visitor = Browser(app)
        visitor.jar = browser.jar.copy()
        self._thread = threading.Thread(target=lambda: self._answers.append(send(visitor)))
        self._thread.start()

    def finish(self) -> TestResponse:
        self._thread.join()
        (answer,) = self._answers
        cookies = answer.headers.getlist("Set-Cookie")
        self._browser.jar.take(f"{self._browser.origin}/x", cookies, "same-origin", top_level=True)
        return answer


@pytest.mark.security("C8")
@pytest.mark.parametrize("kind", ["cookie", "permanent", "Flask-Session"])
def test_a_slow_sign_out_ends_nobody_elses_login(
    app: Flask, browser: Browser, tmp_path: Path, kind: str
) -> None:
    if kind == "permanent":
        make_sessions_permanent(app)
    elif kind == "Flask-Session":
        keep_sessions_on_the_server(app, tmp_path)
    login = t.cast(OAuth2Login, app.blueprints["oauth2"])
    arrived, goes_on = threading.Event(), threading.Event()

    @login.on_logout
    def take_time(_identity: Identity) -> None:
        arrived.set()
        goes_on.wait(30)

    browser.sign_in()
    former = browser.jar.copy()
    slow = SlowRequest(browser, app, lambda visitor: visitor.post("/logout"))
    assert arrived.wait(30)
    browser.sign_in(person={"sub": "bob"})
    goes_on.set()
    assert slow.finish().status_code == 303
    assert (browser.get("/me").get_json() or {})["id"] == "bob"
    browser.jar = former
    assert not is_signed_in(browser)


@pytest.mark.security("C8")
def test_a_slow_request_at_another_machine_loses_nobody(
    provider: Provider, make_app: MakeApp, tmp_path: Path
) -> None:
    store, key = f"sqlite:///{tmp_path}/logins.db", secrets.token_hex()
    # Each has an instance folder of its own, and so knows of the other by the store alone.
    here, there = (
        make_app(OAuth2Login(make_handler(provider), store=store), SECRET_KEY=key) for _ in range(2)
    )
    for machine in (here, there):
        make_sessions_permanent(machine)
    browser = Browser(here, provider)
    browser.sign_in()
    hold = Hold()
    provider.on("/api/hold", hold, times=1)
    slow = SlowRequest(browser, there, lambda visitor: visitor.fetch("/call/hold"))
    hold.wait()
    browser.sign_in(person={"sub": "bob"})
    hold.release()
    slow.finish()
    assert (browser.get("/me").get_json() or {})["id"] == "bob"


# -- How long what is over stays over


class Thief:
    """Somebody with a copy of a browser's cookies, who keeps them as long as he likes."""

    def __init__(self, app: Flask, browser: Browser) -> None:
        self._client = app.test_client()
        for cookie in browser.cookies:
            self._client.set_cookie(cookie.name, cookie.value)

    def get(self, path: str) -> int:
        return self._client.get(path).status_code


def set_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """It is just after a full hour: what is dated by the hour counts longest then."""
    clock = Clock(monkeypatch)
    clock.ahead = 3600 - time.time() % 3600 + 5
    return clock


def visits(lifetime: int) -> list[float]:
    """Seconds, often enough for a session to stay fresh, until well after its lifetime."""
    during = [lifetime * step / 7 for step in range(1, 7)]
    return during + [lifetime + late for late in (4, 600, 2000, 3590)]


@pytest.mark.security("C8")
@pytest.mark.parametrize("lifetime", [2 * 24 * 3600, 7 * 24 * 3600])
def test_a_copy_of_cookies_that_were_signed_out_never_counts_again(
    app: Flask, browser: Browser, monkeypatch: pytest.MonkeyPatch, lifetime: int
) -> None:
    clock = set_clock(monkeypatch)
    app.config["PERMANENT_SESSION_LIFETIME"] = lifetime
    make_sessions_permanent(app)
    browser.sign_in()
    thief = Thief(app, browser)
    assert thief.get("/me") == 200
    browser.post("/logout")
    signed_out_at = clock.ahead
    for seconds in visits(lifetime):
        clock.ahead = signed_out_at + seconds
        assert thief.get("/") == 200  # which keeps his session fresh
        assert thief.get("/me") == 401


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


# -- Sessions of another release, or of another app with the same key


@pytest.mark.parametrize(
    "marks",
    [
        1,
        "x",
        [],
        ["id", "abcd"],
        ["id", ["oauth2", "x", "y", "z"]],
        ["id", ["oauth2", "x", "y", None]],
        ["id", ["oauth2", 5, 6, 7]],
        ["id", [["oauth2"], "a", "b", 1]],
        ["id", [1, 2, 3, 4, 5, 6, 7]],
        ["id", ["oauth2", "x", "y", 1e400]],
        [["id"], ["oauth2", "x", "y", 1, 2]],
    ],
)
def test_marks_of_another_shape_are_as_good_as_none(app: Flask, marks: t.Any) -> None:
    client = app.test_client()
    with client.session_transaction() as kept:
        kept["_oauth2"] = marks
    assert client.get("/me").status_code == 401
    assert client.get("/logout").status_code == 200
    assert client.post("/logout", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 204
    assert client.get("/login").status_code == 302
