"""SECURITY part D: the guard and signing out; and the blueprint's registration."""

from __future__ import annotations

import functools
import inspect
import itertools
import typing as t
from dataclasses import fields

import pytest
from flask import Blueprint, Flask, session
from flask.views import MethodView
from flask_wtf import CSRFProtect
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client

from flask_oauth2_login import (
    AuthorizationError,
    ConfigurationError,
    OAuth2Error,
    OAuth2Login,
    ProviderError,
    current_identity,
    current_oauth_session,
    logged_in,
    logged_out,
    login_failed,
    login_required,
    login_url,
    logout_button,
    require_login,
    token_refreshed,
)
from flask_oauth2_login.blueprint import BlueprintOptions
from flask_oauth2_login.client.options import HandlerOptions, Options
from tests.conftest import MakeApp
from tests.support.assertions import is_signed_in, query_of
from tests.support.handlers import make_handler
from tests.support.provider import REMOVED, Answer, Browser, Provider

PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


# -- D1


@pytest.mark.security("D1")
def test_nobody_gets_in_without_a_login_or_after_it(browser: Browser, provider: Provider) -> None:
    assert not is_signed_in(browser)
    browser.sign_in()
    assert is_signed_in(browser)
    copy = browser.jar.copy()
    browser.post("/logout")
    assert not is_signed_in(browser)
    browser.jar = copy
    assert not is_signed_in(browser), "copied cookies of a login that has ended"
    browser.sign_in()
    provider.grants.revoke_all()
    provider.grants.expire_access()
    assert browser.fetch("/call/x").status_code == 401
    assert not is_signed_in(browser), "its renewal was refused"


@pytest.mark.security("D1")
def test_a_token_that_ran_out_ends_no_login(
    provider: Provider, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    provider.refreshable, provider.expires_in = False, 100
    app = make_app(OAuth2Login(make_handler(provider)))
    browser = Browser(app, provider)
    browser.sign_in()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 200)
    assert is_signed_in(browser)
    response = browser.get("/call/x")
    assert response.location == "/login?next=/call/x"
    assert not provider.calls("/api/x"), "the token is not sent any more"


@pytest.mark.security("D1")
def test_another_logins_guard_lets_nobody_in(provider: Provider, make_app: MakeApp) -> None:
    one = OAuth2Login(make_handler(provider), name="one")
    two = OAuth2Login(make_handler(provider), name="two")
    app = make_app(one, two)

    @app.get("/for-two")
    @login_required("two")
    def for_two() -> str:
        return current_identity.provider

    browser = Browser(app, provider)
    browser.sign_in("/one/login")
    assert browser.get("/for-two").location == "/two/login?next=/for-two"
    browser.sign_in("/two/login")
    browser.sign_in("/one/login")
    assert browser.get("/for-two").text == "two"


@pytest.mark.security("D1")
@pytest.mark.parametrize("through_blueprint", [False, True])
def test_a_guard_above_the_route_fails_closed(app: Flask, through_blueprint: bool) -> None:
    place: t.Any = Blueprint("other", __name__) if through_blueprint else app

    @login_required
    @place.get("/open")  # type: ignore[untyped-decorator]
    def view() -> str:
        return "seen"

    if through_blueprint:
        app.register_blueprint(place)
    with pytest.raises(ConfigurationError, match=r"below @app\.route"):
        app.test_client().get("/open")
    app.config["PROPAGATE_EXCEPTIONS"] = app.config["TESTING"] = False
    assert app.test_client().get("/open").status_code == 500


def passing(view: t.Callable[[], str]) -> t.Callable[[], str]:
    """A decorator as anybody writes it."""

    @functools.wraps(view)
    def wrapper() -> str:
        return view()

    return wrapper


@pytest.mark.security("D1")
@pytest.mark.parametrize("places", list(itertools.product([True, False], repeat=3)))
def test_a_guard_above_the_route_fails_closed_whatever_else_decorates(
    app: Flask, places: tuple[bool, bool, bool]
) -> None:
    below, between, above = places

    def view() -> str:
        return "seen"

    decorated: t.Any = passing(view) if below else view
    decorated = app.get("/open")(decorated)
    decorated = passing(decorated) if between else decorated
    decorated = login_required(decorated)
    decorated = passing(decorated) if above else decorated
    with pytest.raises(ConfigurationError, match=r"below @app\.route"):
        app.test_client().get("/open")


@pytest.mark.security("D1")
@pytest.mark.parametrize("places", list(itertools.product([True, False], repeat=3)))
def test_a_guard_below_the_route_guards_whatever_else_decorates(
    app: Flask, browser: Browser, places: tuple[bool, bool, bool]
) -> None:
    def view() -> str:
        return "seen"

    decorated: t.Any = view
    for also_guarded in places:
        decorated = login_required(decorated) if also_guarded else passing(decorated)
    app.add_url_rule("/private", "private", login_required(decorated))
    assert app.test_client().get("/private").status_code == 401
    browser.sign_in()
    assert browser.get("/private").text == "seen"


@pytest.mark.security("D1")
def test_a_class_of_views_is_guarded_by_its_attribute(app: Flask, browser: Browser) -> None:
    class Reports(MethodView):
        decorators: t.ClassVar = [login_required]

        def get(self) -> str:
            return "seen"

    app.add_url_rule("/reports", view_func=Reports.as_view("reports"))
    assert app.test_client().get("/reports").status_code == 401
    browser.sign_in()
    assert browser.get("/reports").text == "seen"
    with pytest.raises(ConfigurationError, match=r"decorators = \[login_required\]"):
        login_required(Reports)


def test_a_function_may_be_guarded_for_one_url_and_public_for_another(app: Flask) -> None:
    def view() -> str:
        return "seen"

    app.add_url_rule("/public", "public", view)
    app.add_url_rule("/private", "private", login_required(view))
    assert app.test_client().get("/public").text == "seen"
    assert app.test_client().get("/private").status_code == 401


# -- D2


@pytest.mark.security("D2")
@pytest.mark.parametrize(
    ("headers", "method", "status"),
    [
        (NAVIGATION, "GET", 302),
        (NAVIGATION, "HEAD", 302),
        (PAGE, "GET", 302),
        ({**NAVIGATION, **PAGE}, "POST", 401),
        ({**PAGE, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, "GET", 401),
        ({**NAVIGATION, **PAGE, "Sec-Purpose": "prefetch"}, "GET", 503),
        ({"Accept": "*/*"}, "GET", 401),
        ({}, "GET", 401),
        ({"Accept": "application/json"}, "GET", 401),
        ({**PAGE, "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}, "GET", 401),
    ],
)
def test_each_client_gets_what_it_can_use(
    app: Flask, headers: dict[str, str], method: str, status: int
) -> None:
    @app.route("/both", methods=["GET", "POST"])
    @login_required
    def both() -> str:
        return "seen"

    response = app.test_client().open("/both?a=b", method=method, headers=headers)
    assert response.status_code == status
    if status == 302:
        assert query_of(response.location)["next"] == "/both?a=b"
    if status == 401:
        assert "Basic" not in response.headers["WWW-Authenticate"]
        page = headers.get("Accept", "").startswith("text/html") and "cors" not in headers.values()
        kind = "text/html" if page else "application/problem+json"
        assert response.mimetype == kind
        if not page:
            assert response.get_json()["login_url"] == "/login"


@pytest.mark.security("D2")
def test_htmx_gets_a_redirect_of_its_own(app: Flask) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "http://localhost/page"}
    response = app.test_client().get("/me", headers=headers)
    assert response.headers["HX-Redirect"] == "/login?next=/page"


def test_several_logins_are_offered_in_place(provider: Provider, make_app: MakeApp) -> None:
    one = OAuth2Login(make_handler(provider, label="First"), name="one")
    two = OAuth2Login(make_handler(provider), name="two")
    client = make_app(one, two).test_client()
    page = client.get("/me", headers=PAGE)
    assert page.status_code == 401
    assert "First" in page.text
    assert "/two/login?next=/me" in page.text
    problem = client.get("/me").get_json()
    assert [login["name"] for login in problem["logins"]] == ["one", "two"]


def test_what_a_guard_can_ask_for(app: Flask, browser: Browser) -> None:
    @app.get("/admin")
    @login_required(check=lambda who: who.id == "admin")
    def admin() -> str:
        return "admin"

    @app.get("/async")
    @login_required
    async def later() -> str:
        return "async"

    closed = Blueprint("closed", __name__)

    @closed.before_request
    def members() -> None:
        require_login()

    @closed.get("/closed")
    def inside() -> str:
        return "inside"

    app.register_blueprint(closed)
    for path in ("/admin", "/async", "/closed"):
        assert browser.fetch(path).status_code == 401
    browser.sign_in()
    assert browser.get("/admin").status_code == 403
    assert browser.get("/async").text == "async"
    assert browser.get("/closed").text == "inside"
    with pytest.raises(ConfigurationError, match="decorates a view"):
        login_required(7)  # type: ignore[call-overload]


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


# -- D3


@pytest.mark.security("D3")
@pytest.mark.parametrize(
    ("headers", "ends"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Origin": "http://localhost"}, True),
        ({"Origin": "http://localhost:1"}, False),
        ({"Origin": "https://localhost"}, False),
        ({"Origin": "http://app.localhost"}, False),
        ({"Origin": "null"}, False),
        ({}, False),
    ],
)
def test_only_a_post_of_our_own_signs_out(
    app: Flask, provider: Provider, headers: dict[str, str], ends: bool
) -> None:
    client = app.test_client()
    callback = provider.consent(client.get("/login").location)
    client.get(callback.partition("localhost")[2])
    client.post("/logout", headers=headers)
    assert (client.get("/me").status_code == 401) is ends


@pytest.mark.security("D3")
def test_a_token_in_the_form_does_where_nothing_else_tells(app: Flask, provider: Provider) -> None:
    client = app.test_client()
    client.get(provider.consent(client.get("/login").location).partition("localhost")[2])
    page = client.get("/logout").text
    assert client.get("/me").status_code == 200, "a GET asks"
    token = page.partition('name="token" value="')[2].partition('"')[0]
    assert client.post("/logout", data={"token": token + "x"}).status_code == 403
    assert client.post("/logout", data={"token": token}).status_code in {204, 303}
    assert client.get("/me").status_code == 401


@pytest.mark.security("D3")
def test_everything_of_the_login_is_gone(browser: Browser, provider: Provider, app: Flask) -> None:
    @app.get("/button")
    def button() -> str:
        session["left"] = "behind"
        return logout_button("Bye")

    browser.sign_in()
    assert "Bye" in browser.get("/button").text
    response = browser.post("/logout")
    assert response.location == "/logout"
    assert browser.cookies == []
    assert provider.calls("/revoke")
    assert browser.get("/button").text == ""
    assert browser.get("/logout").status_code == 200, "it does not sign straight in again"


@pytest.mark.security("D3")
def test_fetch_gets_no_content_and_next_is_checked(browser: Browser) -> None:
    browser.sign_in()
    assert browser.fetch("/logout", method="POST").status_code == 204
    browser.sign_in()
    assert browser.post("/logout", {"next": "/bye"}).location == "/bye"
    browser.sign_in()
    assert browser.post("/logout", {"next": "//evil.example"}).location == "/logout"


@pytest.mark.security("D3")
def test_signing_out_nobody_takes_nothing_from_a_visitor(app: Flask, browser: Browser) -> None:
    @app.get("/cart")
    def cart() -> list[str]:
        session["cart"] = [*session.get("cart", []), "book"]
        return t.cast("list[str]", session["cart"])

    browser.get("/cart")
    browser.post("/logout")
    assert browser.get("/cart").get_json() == ["book", "book"]


@pytest.mark.security("D3")
def test_a_dead_provider_delays_nobody(browser: Browser, provider: Provider) -> None:
    import time

    from tests.support.provider import HANG

    browser.sign_in()
    provider.on("/revoke", HANG)
    began = time.monotonic()
    assert browser.post("/logout").status_code == 303
    assert time.monotonic() - began < 2
    assert not is_signed_in(browser)


def test_the_forms_of_flask_wtf_do_not_disturb(provider: Provider, make_app: MakeApp) -> None:
    login = OAuth2Login(make_handler(provider, response_mode="form_post"))

    @login.post("/of-the-apps-own")
    def of_the_apps_own() -> str:
        return "done"

    app = make_app(login)
    CSRFProtect(app)
    browser = Browser(app, provider)
    assert browser.sign_in().status_code == 302
    assert browser.post("/of-the-apps-own").status_code == 400
    assert browser.post("/logout").status_code == 303
    assert browser.post("/of-the-apps-own").status_code == 400


# -- signals


def test_signals_are_sent_and_a_failing_receiver_loses_nothing(
    app: Flask, browser: Browser, provider: Provider
) -> None:
    sent: list[t.Any] = []

    def note(name: str) -> t.Callable[..., None]:
        def receiver(sender: Flask, **arguments: t.Any) -> None:
            assert sender is app
            sent.append((name, arguments.get("reason")))
            raise RuntimeError(name)

        return receiver

    signals = {
        "in": logged_in, "out": logged_out, "failed": login_failed, "refreshed": token_refreshed,
    }  # fmt: skip
    receivers = {name: note(name) for name in signals}
    for name, signal in signals.items():
        signal.connect(receivers[name], app)
    browser.sign_in()
    provider.grants.expire_access()
    assert browser.fetch("/call/x").status_code == 200
    browser.sign_in(code=REMOVED)
    browser.sign_in(person={"sub": "bob"})
    browser.post("/logout")
    assert sent == [
        ("in", None), ("refreshed", None), ("failed", None), ("out", "replaced"), ("in", None),
        ("out", "asked"),
    ]  # fmt: skip


# -- registration


def test_taken_names_and_urls_are_told(provider: Provider) -> None:
    app = Flask("taken")
    app.config["SECRET_KEY"] = "x" * 32
    app.register_blueprint(OAuth2Login(make_handler(provider)))
    with pytest.raises(ConfigurationError, match="name='another'"):
        app.register_blueprint(OAuth2Login(make_handler(provider)), url_prefix="/two")
    with pytest.raises(ConfigurationError, match="url_prefix"):
        app.register_blueprint(OAuth2Login(make_handler(provider), name="two"))
    app = Flask("late")
    app.config |= {"SECRET_KEY": "x" * 32, "TESTING": True}
    app.register_blueprint(OAuth2Login(make_handler(provider)))
    app.add_url_rule("/login", "own", lambda: "own")
    with pytest.raises(ConfigurationError, match="url_prefix"):
        app.test_client().get("/login")


def test_missing_settings_are_told(provider: Provider) -> None:
    app = Flask("missing")
    with pytest.raises(ConfigurationError, match=r"secrets\.token_hex"):
        app.register_blueprint(OAuth2Login(make_handler(provider)))
    app.config["SECRET_KEY"] = "x" * 32
    with pytest.raises(ConfigurationError, match="GITHUB_CLIENT_ID"):
        app.register_blueprint(OAuth2Login("github"))
    with pytest.raises(ConfigurationError, match="server-side store"):
        app.register_blueprint(OAuth2Login(make_handler(provider), name="jobs", offline=True))
    with pytest.raises(ConfigurationError, match="OAUTH2_LOGIN_PROVIDERS"):
        app.register_blueprint(OAuth2Login("nobody"))


def test_presets_and_providers_of_an_apps_own(provider: Provider) -> None:
    app = Flask("presets")
    app.config |= {
        "SECRET_KEY": "x" * 32,
        "GITHUB_CLIENT_ID": "id",
        "GITHUB_CLIENT_SECRET": "secret",
        "OWN_CLIENT_ID": provider.client_id,
        "OWN_CLIENT_SECRET": provider.client_secret,
        "OAUTH2_LOGIN_PROVIDERS": {
            "own": {
                "site": provider.url,
                "authorization_url": "authorize",
                "token_url": "token",
                "userinfo_url": "userinfo",
                "scope": "read",
            }
        },
    }
    app.register_blueprint(OAuth2Login("github"), url_prefix="/github")
    app.register_blueprint(OAuth2Login("own"), url_prefix="/own")
    location = app.test_client().get("/github/login").location
    assert location.startswith("https://github.com/login/oauth/authorize?")
    assert query_of(location)["scope"] == "read:user user:email"
    assert Browser(app, provider).sign_in("/own/login").status_code == 302
    logins = app.extensions["oauth2_login"].logins
    assert [(login.name, login.label) for login in logins.values()] == [
        ("github", "GitHub"), ("own", "Own"),
    ]  # fmt: skip


def test_one_blueprint_serves_several_apps_and_names(provider: Provider, make_app: MakeApp) -> None:
    login = OAuth2Login(make_handler(provider))
    first, second = make_app(login), make_app(login)
    ada, bob = Browser(first, provider), Browser(second, provider)
    ada.sign_in()
    bob.sign_in(person={"sub": "bob"})
    assert (ada.get("/me").get_json() or {})["id"] == "ada"
    assert (bob.get("/me").get_json() or {})["id"] == "bob"
    with second.test_request_context():
        assert login.identity is None
        assert login.token is None


def test_it_works_nested_mounted_and_behind_a_proxy(provider: Provider, make_app: MakeApp) -> None:
    parent = Blueprint("parent", __name__, url_prefix="/parent")
    parent.register_blueprint(OAuth2Login(make_handler(provider)), url_prefix="/sso")
    app = make_app()
    app.register_blueprint(parent)
    browser = Browser(app, provider)
    assert browser.get("/me").location == "/parent/sso/login?next=/me"
    assert browser.sign_in("/parent/sso/login").status_code == 302
    assert is_signed_in(browser)

    app = make_app(OAuth2Login(make_handler(provider)))
    mounted = Client(DispatcherMiddleware(Flask("outer"), {"/app": app}))
    location = mounted.get("/app/me", headers=PAGE).location
    assert location == "/app/login?next=/app/me"
    assert (
        query_of(mounted.get(location).location)["redirect_uri"] == "http://localhost/app/callback"
    )

    app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1, x_host=1, x_prefix=1)  # type: ignore[method-assign]
    headers = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "app.example",
        "X-Forwarded-Prefix": "/x",
    }
    response = app.test_client().get("/login", headers=headers)
    assert query_of(response.location)["redirect_uri"] == "https://app.example/x/callback"
    assert "Secure" in response.headers["Set-Cookie"]


def test_proxies_where_nobody_is_signed_in(app: Flask) -> None:
    @app.get("/bare")
    def bare() -> t.Any:
        return current_oauth_session.get("x").json()

    with app.test_request_context():
        assert not current_identity
        assert login_url(next="/x", prompt="login") == "/login?next=/x&prompt=login"
        assert logout_button() == ""
    assert app.test_client().get("/bare", headers=PAGE).location == "/login?next=/bare"


def test_a_plain_view_costs_no_cookie_and_no_vary(app: Flask) -> None:
    answer = app.test_client().get("/")
    assert "Vary" not in answer.headers
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    ("client_id", "secret"), [("1234567890123456", "42"), ("the-app", "0123"), ('"12e4"', "x")]
)
def test_credentials_of_the_environment_may_be_digits_alone(
    monkeypatch: pytest.MonkeyPatch, client_id: str, secret: str
) -> None:
    monkeypatch.setenv("FLASK_SECRET_KEY", "s" * 32)
    monkeypatch.setenv("FLASK_GITHUB_CLIENT_ID", client_id)
    monkeypatch.setenv("FLASK_GITHUB_CLIENT_SECRET", secret)
    app = Flask(__name__)
    app.config.from_prefixed_env()
    app.register_blueprint(OAuth2Login("github"))
    handler = app.extensions["oauth2_login"].get("github").handler
    assert (handler.client_id, handler.client_secret) == (client_id.strip('"'), secret)


def test_credentials_that_the_environment_turns_into_others_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLASK_GITHUB_CLIENT_ID", "the-app")
    monkeypatch.setenv("FLASK_GITHUB_CLIENT_SECRET", "12e4")
    app = Flask(__name__)
    app.config |= {"SECRET_KEY": "s" * 32}
    app.config.from_prefixed_env()
    with pytest.raises(ConfigurationError, match="client_secret is no string but a float"):
        app.register_blueprint(OAuth2Login("github"))


def test_a_key_that_is_a_number_is_refused(provider: Provider) -> None:
    app = Flask(__name__)
    app.config["SECRET_KEY"] = 123456
    with pytest.raises(ConfigurationError, match="SECRET_KEY"):
        app.register_blueprint(OAuth2Login(make_handler(provider)))


def test_a_type_checker_knows_every_option() -> None:
    assert set(HandlerOptions.__annotations__) == {each.name for each in fields(Options)}
    of_flask = set(inspect.signature(Blueprint).parameters) - {"name", "import_name"}
    assert set(BlueprintOptions.__annotations__) == of_flask
