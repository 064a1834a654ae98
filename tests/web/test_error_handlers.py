"""Errors and the app's handlers; what a log line and a traceback may hold (SECURITY C1, C13)."""

from __future__ import annotations

import traceback
import typing as t

import pytest
import requests
from flask import Blueprint, Flask
from werkzeug.exceptions import HTTPException

from flask_oauth2_login import (
    AuthorizationError,
    ConfigurationError,
    LoginRequired,
    OAuth2Error,
    OAuth2Login,
    OpenIDConnect,
    ProviderError,
    current_oauth_session,
    login_failed,
    login_required,
)
from tests.conftest import MakeApp, MakeProvider, MakeSSO
from tests.support.handlers import make_handler
from tests.support.provider import (
    CUT_AFTER,
    GARBAGE,
    HANG,
    REMOVED,
    Answer,
    Browser,
    Provider,
    make_key,
)

#: Handlers that an app has for its visitors' errors.
KINDS = [OAuth2Error, HTTPException, Exception]

BREAKS: dict[str, t.Any] = {
    "hangs": HANG,
    "cut": CUT_AFTER,
    "garbage": GARBAGE,
    "down": Answer(status=503),
    "html": Answer(body="<html>"),
    "no token": Answer(body={"access_token": 7}),
    "refuses": Answer(status=400, body={"error": "invalid_grant"}),
    "client": Answer(status=401, body={"error": "invalid_client"}),
    "nothing": Answer(status=200, body=""),
}


def for_visitors(error: Exception) -> tuple[str, int]:
    return "For visitors.", getattr(error, "code", None) or 400


def make_site(make_app: MakeApp, provider: Provider) -> tuple[Flask, dict[str, t.Any]]:
    """An app whose views do what no provider allows, each where an error handler can stand."""
    login = OAuth2Login(make_handler(provider))
    outer, inner = Blueprint("outer", __name__), Blueprint("inner", __name__)

    @login_required
    def mistake() -> str:
        return current_oauth_session.get("https://elsewhere.example/").text

    site = make_app(login)
    site.add_url_rule("/mistake", "mistake", mistake)
    outer.add_url_rule("/outer", "mistake", mistake)
    inner.add_url_rule("/inner", "mistake", mistake)
    return site, {"": site, "outer": outer, "inner": inner}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", ["", "outer", "inner"])
def test_a_mistake_of_the_developer_is_no_visitors_error(
    make_app: MakeApp, provider: Provider, kind: type[Exception], where: str
) -> None:
    site, places = make_site(make_app, provider)
    places[where].register_error_handler(kind, for_visitors)
    places["outer"].register_blueprint(places["inner"])
    site.register_blueprint(places["outer"])
    browser = Browser(site, provider)
    browser.sign_in()
    for path in ("/mistake", "/outer", "/inner"):
        with pytest.raises(ConfigurationError, match="elsewhere"):
            browser.get(path)
    site.testing = False
    for path in ("/mistake", "/outer", "/inner"):
        assert browser.get(path).status_code == 500
    # Visitors' errors are still theirs to handle.
    if kind is OAuth2Error:
        provider.down()
        answer = browser.get("/call/x")
        assert answer.status_code == 503
        assert (answer.text == "For visitors.") == (where == "")


@pytest.mark.parametrize("where", ["", "outer", "inner"])
def test_an_app_may_handle_its_mistakes_by_their_own_class(
    make_app: MakeApp, provider: Provider, where: str
) -> None:
    site, places = make_site(make_app, provider)
    places["inner"].register_error_handler(OAuth2Error, for_visitors)
    places[where].register_error_handler(
        ConfigurationError, lambda error: (f"Mend it: {error}", 501)
    )
    places["outer"].register_blueprint(places["inner"])
    site.register_blueprint(places["outer"])
    browser = Browser(site, provider)
    browser.sign_in()
    answer = browser.get("/inner")
    assert answer.status_code == 501
    assert "api_origins" in answer.text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["app", "login"])
def test_a_mistake_in_a_view_of_ours_is_no_visitors_error(
    make_app: MakeApp, provider: Provider, kind: type[Exception], place: str
) -> None:
    handler = make_handler(provider)
    # A secret would go in the clear.
    handler.token_url = "http://provider.example/token"
    login = OAuth2Login(handler)
    if place == "login":
        login.register_error_handler(kind, for_visitors)
    site = make_app(login)
    if place == "app":
        site.register_error_handler(kind, for_visitors)
    browser = Browser(site, provider)
    with pytest.raises(ConfigurationError, match="token_url"):
        browser.sign_in()
    site.testing = False
    assert browser.sign_in().status_code == 500
    # A refusal is still the handler's.
    refused = browser.sign_in(state="wrong")
    assert refused.status_code == 400
    assert refused.text == "For visitors." or kind is not OAuth2Error


@pytest.mark.security("C1")
def test_a_request_writes_no_line_of_its_own_into_a_log(
    make_app: MakeApp, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_app(OAuth2Login(make_handler(provider)))
    browser = Browser(site, provider)
    browser.sign_in()
    provider.down()
    assert browser.fetch("/call/x%0dWARNING%20forged%1b[2J%e2%80%a8").status_code == 503
    (line,) = [message for message in caplog.messages if "/call/x" in message]
    assert line.isprintable()


class Shown:
    """What the frames of ours show in which errors have been."""

    def __init__(self) -> None:
        self.text = ""
        self.errors = 0
        self.frames = 0

    def add(self, error: BaseException | None) -> None:
        if error is None:
            return
        self.errors += 1
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if str(frame.f_globals["__name__"]).startswith("flask_oauth2_login"):
                self.frames += 1
                self.text += "".join(map(spell, frame.f_locals.values()))
        self.add(error.__cause__)
        self.add(error.__context__)


def spell(value: t.Any, depth: int = 5) -> str:
    """A value, and whatever is in it."""
    text = f"{value!r} {value!s} "
    if depth and not isinstance(value, (str, bytes, type)):
        inner: t.Iterable[t.Any] = ()
        if isinstance(value, t.Mapping):
            inner = [*value, *value.values()]
        elif isinstance(value, (list, tuple, set, frozenset)):
            inner = value
        members = getattr(value, "__dict__", {}).values()
        text += "".join(spell(one, depth - 1) for one in (*inner, *members))
    return text


def find_secrets(provider: Provider) -> set[str]:
    """Whatever secret went to the provider or came from there."""
    secrets = {str(provider.client_secret)}
    for call in provider.requests:
        sent = {**call.query, **call.form}
        names = ("code", "code_verifier", "refresh_token", "token", "client_secret")
        secrets |= {sent[name] for name in names if name in sent}
        secrets.add((call.headers.get("Authorization") or "").partition(" ")[2])
    for grant in provider.grants.all:
        secrets |= {str(code) for code in [grant.nonce] if code}
    return secrets - {"", "x"}


@pytest.mark.slow
@pytest.mark.security("C13")
@pytest.mark.parametrize("kind", ["post", "basic", "json"])
@pytest.mark.parametrize("how", BREAKS)
def test_no_traceback_of_a_handler_holds_a_secret(
    make_provider: MakeProvider, how: str, kind: str
) -> None:
    provider = make_provider(json_requests=True)
    options: dict[str, t.Any] = {"client_auth": f"client_secret_{kind}"}
    if kind == "json":
        options = {"token_request": "json"}
    options |= {"redirect_uri": "http://localhost/callback", "revoke_url": "revoke"}
    handler = make_handler(provider, timeout=(0.5, 0.5), **options)
    url = handler.authorize_url("read", state="s")
    good = handler.get_token(provider.answer(url).params["code"])
    assert good is not None
    for path in ("/token", "/revoke", "/userinfo"):
        provider.on(path, BREAKS[how])
    shown = Shown()
    secrets = {*map(str, good.values())} - {"Bearer", "3600"}
    session = handler.session(good)
    calls: list[t.Callable[[], t.Any]] = [
        lambda: handler.get_token("the-code", code_verifier="the-verifier"),
        lambda: handler.refresh_token(good),
        lambda: handler.renew(good),
        lambda: handler.client_token("read", assertion="the-assertion"),
        lambda: handler.revoke_token(good),
        lambda: handler.fetch_identity(good),
        lambda: session.get("https://elsewhere.example/"),
        lambda: session.send(session.prepare_request(requests.Request("GET", "http://evil/"))),
    ]
    for call in calls:
        try:
            call()
        except OAuth2Error as error:
            shown.add(error)
    provider.down()
    with pytest.raises(ProviderError) as caught:
        session.get("x")
    shown.add(caught.value)
    assert shown.errors > 3
    assert shown.frames > 5
    secrets |= {"the-code", "the-verifier", "the-assertion"} | find_secrets(provider)
    assert {secret for secret in secrets if secret in shown.text} == set()


@pytest.mark.security("C13")
@pytest.mark.parametrize(
    "how",
    [*BREAKS, "nonce", "signature", "keys", "userinfo", "on_login", "in the clear", "too large"],
)
def test_no_traceback_of_a_sign_in_holds_a_secret(
    provider: Provider, make_app: MakeApp, how: str
) -> None:
    sso = OpenIDConnect(
        provider.client_id, provider.client_secret, provider.issuer,
        api_url=provider.api_url, timeout=(0.5, 0.5),
    )  # fmt: skip
    # A sign-in fails with UserInfo only if it needs it for what is demanded.
    login = OAuth2Login(sso, scope="email", claims=["email"])
    site = make_app(login)
    shown = Shown()

    @site.errorhandler(Exception)
    @site.errorhandler(OAuth2Error)
    @site.errorhandler(ConfigurationError)
    def look(error: Exception) -> tuple[str, int]:
        shown.add(error)
        return "It was seen.", 500

    if how in BREAKS:
        provider.on("/token", BREAKS[how])
    elif how == "nonce":
        provider.id_token_options = {"claims": {"nonce": "another"}}
    elif how == "signature":
        provider.id_token_options = {"key": make_key("RS256", 77)}
    elif how == "keys":
        provider.on("/jwks", HANG)
    elif how == "userinfo":
        provider.claims_in_id_token = False
        provider.on("/userinfo", HANG)
    elif how == "in the clear":
        sso.token_url = "http://provider.example/token"
    elif how == "too large":
        provider.access_token_size = 9000
    else:

        @login.on_login
        def fail(identity: t.Any, token: t.Any) -> None:
            assert identity is token, "the app's own bug"

    assert Browser(site, provider).sign_in().status_code == 500
    assert shown.frames > 1
    assert {secret for secret in find_secrets(provider) if secret in shown.text} == set()


@pytest.mark.security("C13")
@pytest.mark.parametrize("how", [name for name in BREAKS if name != "html"])
def test_no_traceback_of_a_renewal_holds_a_secret(
    provider: Provider, make_app: MakeApp, how: str
) -> None:
    handler = make_handler(provider, timeout=(0.5, 0.5))
    site = make_app(OAuth2Login(handler))
    shown = Shown()

    @site.errorhandler(OAuth2Error)
    @site.errorhandler(LoginRequired)
    def look(error: Exception) -> tuple[str, int]:
        shown.add(error)
        return "It was seen.", 500

    browser = Browser(site, provider)
    browser.sign_in()
    provider.grants.expire_access()
    provider.on("/token", BREAKS[how])
    assert browser.fetch("/call/x").status_code == 500
    assert browser.fetch("/call/x").status_code == 500
    assert provider.calls("/token", grant_type="refresh_token")
    assert shown.frames > 1
    assert {secret for secret in find_secrets(provider) if secret in shown.text} == set()


@pytest.mark.security("C13")
def test_a_signal_of_a_failed_sign_in_shows_no_code(provider: Provider, make_app: MakeApp) -> None:
    shown = Shown()
    site = make_app(OAuth2Login(make_handler(provider)))
    provider.on("/token", BREAKS["refuses"])

    def look(_sender: t.Any, error: Exception, **_: t.Any) -> None:
        shown.add(error)

    with login_failed.connected_to(look, site):
        Browser(site, provider).sign_in()
    assert shown.frames > 1
    sent = find_secrets(provider) - {str(provider.client_secret)}
    assert len(sent) >= 2
    assert {secret for secret in sent if secret in shown.text} == set()


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


def test_a_wrong_secret_is_told_as_such(
    provider: Provider, make_sso: MakeSSO, caplog: pytest.LogCaptureFixture
) -> None:
    _, _, browser = make_sso("cookie")
    provider.client_secret = "another"
    response = browser.sign_in()
    assert response.status_code == 502
    assert "invalid_client" in caplog.text
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
        (Answer(400, {"error": "invalid_grant"}), "own 400"),
        (Answer(400, {"error": "invalid_client"}), "own 502"),
        (Answer(200, "<html>"), "own 502"),
        (Answer(500), "own 503"),
    ):
        provider.on("/token", answer, times=1)
        assert browser.sign_in().text == text


def test_an_apps_handlers_come_before_ours(provider: Provider, make_app: MakeApp) -> None:
    app = make_app()

    @app.errorhandler(HTTPException)
    def everything(error: HTTPException) -> tuple[str, int]:
        return "generic", error.code or 500

    @app.errorhandler(ProviderError)
    def provider_error(error: ProviderError) -> tuple[str, int]:
        return "theirs", error.code or 500

    app.register_blueprint(OAuth2Login(make_handler(provider)))

    @app.errorhandler(AuthorizationError)
    def refused(_error: AuthorizationError) -> tuple[str, int]:
        return "refused", 418

    browser = Browser(app, provider)
    assert browser.get("/me").status_code == 302, "the way to sign in is not swallowed"
    provider.on("/token", Answer(status=500), times=1)
    response = browser.sign_in()
    assert (response.text, response.status_code) == ("theirs", 503)
    assert browser.sign_in(state="x").status_code == 418


@pytest.mark.parametrize("first", [False, True])
def test_an_apps_handler_for_all_errors_gets_all(
    provider: Provider, make_app: MakeApp, first: bool
) -> None:
    app = make_app()
    login = OAuth2Login(make_handler(provider))
    if not first:
        app.register_blueprint(login)

    @app.errorhandler(OAuth2Error)
    def ours(_error: OAuth2Error) -> tuple[str, int]:
        return "all", 419

    if first:
        app.register_blueprint(login)
    browser = Browser(app, provider)
    assert browser.get("/me").status_code == 419
    assert browser.sign_in(state="x").status_code == 419


@pytest.mark.parametrize("status", [502, 503])
def test_a_status_handler_gets_its_status(app: Flask, provider: Provider, status: int) -> None:
    @app.errorhandler(status)
    def sorry(_error: HTTPException) -> tuple[str, int]:
        return "sorry", status

    provider.on("/token", Answer(status=500) if status == 503 else Answer(body="x"))
    assert Browser(app, provider).sign_in().text == "sorry"
