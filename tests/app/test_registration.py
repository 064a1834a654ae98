"""What a developer gives: a mistake is told where it is made, and all that Flask can do works."""

from __future__ import annotations

import inspect
import typing as t
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask import Blueprint, Flask, redirect, request
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client

import flask_oauth2_login
from flask_oauth2_login import (
    ConfigurationError,
    OAuth2,
    OAuth2Login,
    OpenIDConnect,
    RedisStore,
    SessionStore,
    SQLAlchemyStore,
    login_required,
)
from flask_oauth2_login.arguments import BlueprintOptions
from flask_oauth2_login.client.options import HandlerOptions
from flask_oauth2_login.client.options import Options as HandlerDefaults
from tests.conftest import MakeApp
from tests.support.assertions import is_signed_in, query_of
from tests.support.clock import Clock
from tests.support.handlers import make_handler
from tests.support.provider import Browser, Provider
from tests.support.provider.browser import next_step

Options = dict[str, t.Any]

PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def make_bare_app(**config: t.Any) -> Flask:
    app = Flask("bare")
    app.config |= {"SECRET_KEY": "x" * 32, **config}
    return app


def row(provider: Provider, **words: t.Any) -> Options:
    """A provider as an app's configuration describes one."""
    endpoints = {"authorization_url": "authorize", "token_url": "token", "userinfo_url": "userinfo"}
    return {"site": provider.url, **endpoints, **words}


def test_a_missing_secret_is_told(provider: Provider) -> None:
    app = make_bare_app(GITHUB_CLIENT_ID="id")
    with pytest.raises(ConfigurationError, match="GITHUB_CLIENT_SECRET"):
        app.register_blueprint(OAuth2Login("github"))


@pytest.mark.parametrize("said", ["None", "empty", "client_auth"])
def test_a_public_client_says_that_it_is_one(provider: Provider, said: str) -> None:
    app = make_bare_app(OWN_CLIENT_ID=provider.client_id)
    words = {}
    if said == "client_auth":
        words = {"client_auth": "none"}
    else:
        app.config["OWN_CLIENT_SECRET"] = None if said == "None" else ""
    app.config["OAUTH2_LOGIN_PROVIDERS"] = {"own": row(provider, **words)}
    app.register_blueprint(OAuth2Login("own"))
    provider.client_secret = None
    assert Browser(app, provider).sign_in().status_code == 302


def test_a_presets_credentials_can_be_environment_variables_whatever_its_name(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_MY_SSO_CLIENT_ID", provider.client_id)
    monkeypatch.setenv("FLASK_MY_SSO_CLIENT_SECRET", str(provider.client_secret))
    app = make_bare_app(OAUTH2_LOGIN_PROVIDERS={"my-sso": row(provider)})
    app.config.from_prefixed_env()
    app.register_blueprint(OAuth2Login("my-sso"))
    assert Browser(app, provider).sign_in().status_code == 302


@pytest.mark.parametrize(
    ("rows", "fix"),
    [
        ({"sso": "https://sso.example"}, "dictionary of dictionaries"),
        (["sso"], "dictionary of dictionaries"),
        ({"sso": {"issuer": "https://sso.example", "client_id": "x"}}, "SSO_CLIENT_ID"),
        ({"sso": {"issuer": "https://sso.example", "client_secret": "x"}}, "SSO_CLIENT_SECRET"),
        ({"sso": {"issuer": "https://sso.example", "sope": "x"}}, "sope"),
    ],
)
def test_providers_of_another_shape_are_told(rows: t.Any, fix: str) -> None:
    app = make_bare_app(OAUTH2_LOGIN_PROVIDERS=rows, SSO_CLIENT_ID="id", SSO_CLIENT_SECRET="secret")
    with pytest.raises(ConfigurationError, match=fix) as told:
        app.register_blueprint(OAuth2Login("sso"))
    assert ("CLIENT_" in str(told.value)) == ("CLIENT_" in fix), (
        "of credentials only if they are it"
    )


def test_a_preset_may_hold_lists_as_json_does(provider: Provider) -> None:
    app = make_bare_app(OWN_CLIENT_ID="the-client", OWN_CLIENT_SECRET="the-secret")
    app.config["OAUTH2_LOGIN_PROVIDERS"] = {"own": row(provider, timeout=[3, 4])}
    app.register_blueprint(OAuth2Login("own"))
    assert Browser(app, provider).sign_in().status_code == 302


@pytest.mark.parametrize(
    "options",
    [
        {"algorithms": "RS256"},
        {"trusted_audiences": "api"},
        {"http_hosts": "idp"},
        {"api_origins": "https://api.example"},
        {"verify": "/there/is/none.pem"},
        {"cert": ("/there/is/none.pem", "/there/is/none.key")},
        {"identity": {"nme": "x"}},
        {"identity": "user.id"},
    ],
)
def test_an_option_that_cannot_be_meant_is_told_at_once(options: Options) -> None:
    (name,) = options
    with pytest.raises(ConfigurationError, match=name):
        OpenIDConnect("id", "secret", "https://sso.example", **options)


def test_claims_are_no_letters(provider: Provider) -> None:
    with pytest.raises(ConfigurationError, match=r"claims=\['groups'\]"):
        OAuth2Login(make_handler(provider), claims="groups")


def test_an_option_that_is_not_known_is_told_by_python_and_by_mypy(provider: Provider) -> None:
    with pytest.raises(TypeError, match="timeoutt"):
        OpenIDConnect("id", "secret", "https://sso.example", timeoutt=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"'authorize_url'\. Did you mean authorization_url\?"):
        OAuth2("id", "secret", authorize_url="authorize")  # type: ignore[call-arg]
    with pytest.raises(
        TypeError, match=r"OAuth2 has no option 'x'\. It has: .*api_origins, .*site"
    ):
        OAuth2("id", "secret", x=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="scopes"):
        OAuth2Login(make_handler(provider), scopes="x")  # type: ignore[call-arg]


@pytest.mark.parametrize("lifetime", ["soon", 0, -1, True, [60]])
def test_a_lifetime_that_is_none_is_told_at_registration(
    provider: Provider, lifetime: t.Any
) -> None:
    app = make_bare_app(OAUTH2_LOGIN_LIFETIME=lifetime)
    with pytest.raises(ConfigurationError, match="OAUTH2_LOGIN_LIFETIME"):
        app.register_blueprint(OAuth2Login(make_handler(provider)))


def test_a_lifetime_may_be_a_timedelta(
    provider: Provider, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = OAuth2Login(make_handler(provider))
    browser = Browser(make_app(login, OAUTH2_LOGIN_LIFETIME=timedelta(hours=1)), provider)
    clock = Clock(monkeypatch)
    browser.sign_in()
    clock.ahead = 3590
    assert is_signed_in(browser)
    clock.ahead = 3610
    assert not is_signed_in(browser)


def test_two_logins_cannot_have_one_redirect_uri(provider: Provider) -> None:
    app = make_bare_app()
    sso = make_handler(provider, redirect_uri="http://localhost/a/callback")
    app.register_blueprint(OAuth2Login(sso, name="a"), url_prefix="/a")
    with pytest.raises(ConfigurationError, match="redirect_uri"):
        app.register_blueprint(OAuth2Login(sso, name="b"), url_prefix="/b")


def test_a_handler_renews_a_whole_token(provider: Provider) -> None:
    handler = make_handler(provider, redirect_uri="http://localhost/callback")
    code = provider.answer(handler.authorize_url("read", state="s")).params["code"]
    token = handler.get_token(code)
    assert token is not None
    newer = handler.refresh_token(token)
    assert newer is not None
    assert newer.access_token != token.access_token


@pytest.mark.parametrize("token", [None, "abc", {}, {"refresh_token": "x"}])
def test_a_session_without_a_token_is_told(provider: Provider, token: t.Any) -> None:
    with pytest.raises(ConfigurationError, match="get_token"):
        make_handler(provider).session(token)


def half_a_store() -> t.Any:
    methods = ("read", "create", "replace", "touch", "delete")
    return SimpleNamespace(**dict.fromkeys(methods, print))


@pytest.mark.parametrize(
    ("make", "fix"),
    [
        (lambda: 5, "instance of a store"),
        (lambda: SessionStore, "instance of a store"),
        (half_a_store, r"no find\(\)"),
        (lambda: "sqlite:////there/is/none/logins.db", "folder"),
        (lambda: SQLAlchemyStore(t.cast(t.Any, None)), "SQLAlchemyStore needs a URL"),
        (lambda: RedisStore(t.cast(t.Any, None)), "RedisStore needs a URL"),
    ],
)
def test_what_is_no_store_is_told_at_registration(
    provider: Provider, make: t.Callable[[], t.Any], fix: str
) -> None:
    with pytest.raises(ConfigurationError, match=fix):
        make_bare_app().register_blueprint(OAuth2Login(make_handler(provider), store=make()))


@pytest.mark.parametrize("kind", [str, SQLAlchemyStore])
def test_a_sqlite_file_gets_its_tables_however_it_is_given(
    provider: Provider, make_app: MakeApp, tmp_path: Path, kind: t.Callable[[str], t.Any]
) -> None:
    store = kind(f"sqlite:///{tmp_path}/logins.db")
    browser = Browser(make_app(OAuth2Login(make_handler(provider), store=store)), provider)
    assert browser.sign_in().status_code == 302
    assert is_signed_in(browser)


def make_subdomain_app(login: OAuth2Login) -> Flask:
    app = Flask("subdomains", subdomain_matching=True)
    app.config |= {"SECRET_KEY": "x" * 32, "SERVER_NAME": "example.test:5000"}
    app.register_blueprint(login)
    app.add_url_rule("/me", "me", login_required(lambda **_: "seen"), subdomain="<team>")
    return app


@pytest.mark.parametrize("subdomain", ["auth", "<team>"])
def test_a_login_on_a_subdomain_comes_home_to_it(provider: Provider, subdomain: str) -> None:
    app = make_subdomain_app(OAuth2Login(make_handler(provider), subdomain=subdomain))
    browser = Browser(app, provider, base_url="http://auth.example.test:5000")
    login = browser.get("/me").location
    assert login.endswith("/login?next=/me")
    assert query_of(browser.begin(login))["redirect_uri"] == f"{browser.origin}/callback"
    assert browser.sign_in(login).location == "/me"
    assert browser.get("/me").text == "seen"


def test_a_page_of_another_subdomain_is_no_path_to_come_back_to(provider: Provider) -> None:
    app = make_subdomain_app(OAuth2Login(make_handler(provider), subdomain="auth"))
    browser = Browser(app, provider, base_url="http://www.example.test:5000")
    assert browser.get("/me").location == "http://auth.example.test:5000/login"


def test_a_prefix_may_have_variables(provider: Provider, make_app: MakeApp) -> None:
    app = make_app()
    app.register_blueprint(OAuth2Login(make_handler(provider)), url_prefix="/<lang>/auth")
    app.add_url_rule("/<lang>/mine", "mine", login_required(lambda lang: f"seen in {lang}"))
    browser = Browser(app, provider)
    login = browser.get("/de/mine").location
    assert login == "/de/auth/login?next=/de/mine"
    assert browser.sign_in(login).location == "/de/mine"
    assert browser.get("/de/mine").text == "seen in de"
    assert browser.post("/de/auth/logout").location == "/de/auth/logout"
    assert browser.get("/de/mine").status_code == 302


def test_below_a_mount_one_lands_below_it(provider: Provider, make_app: MakeApp) -> None:
    app = make_app(OAuth2Login(make_handler(provider)))
    browser = Browser(app, provider, base_url="http://localhost/mnt")
    assert browser.sign_in("/mnt/login").location == "/mnt/"
    assert browser.fetch("/mnt/me").status_code == 200


def test_signing_out_comes_back_to_a_page_that_is_there(
    provider: Provider, make_app: MakeApp
) -> None:
    # A page of the app's own that leads on to the login's.
    uri = "http://localhost/oauth/return?a=b"
    sso = OpenIDConnect(provider.client_id, provider.client_secret, provider.issuer, uri)
    app = make_app(OAuth2Login(sso))
    app.add_url_rule(
        "/oauth/return",
        "return",
        lambda: redirect(f"/callback?{request.query_string.decode()}"),
    )
    browser = Browser(app, provider)
    browser.follow(browser.sign_in(), site="cross-site")
    assert is_signed_in(browser)
    target, _ = next_step(browser.post("/logout"))
    assert target is not None
    back = query_of(target)["post_logout_redirect_uri"]
    assert back == "http://localhost/logout"
    assert browser.get(back, site="cross-site").status_code == 200


def test_a_blueprint_of_two_names_is_whoever_is_signed_in(
    provider: Provider, make_app: MakeApp
) -> None:
    one = OAuth2Login(make_handler(provider))
    sso = OAuth2Login(make_handler(provider), name="sso", url_prefix="/sso")
    app = make_app(sso)
    app.register_blueprint(one, name="aa", url_prefix="/aa")
    app.register_blueprint(one, name="bb", url_prefix="/bb")

    @app.get("/who")
    @login_required("sso")
    def who() -> list[str]:
        return [one.identity.provider if one.identity else "", one.session.get("x").json()["sub"]]

    browser = Browser(app, provider)
    browser.sign_in("/bb/login", person={"sub": "bob"})
    browser.sign_in("/sso/login")
    assert browser.get("/who").get_json() == ["bb", "bob"]


def test_apps_with_sessions_of_their_own_on_one_host_have_logins_of_their_own(
    provider: Provider, make_app: MakeApp
) -> None:
    first, second = (
        Browser(
            make_app(OAuth2Login(make_handler(provider)), SESSION_COOKIE_NAME=f"session-{port}"),
            provider,
            base_url=f"http://localhost:{port}",
        )
        for port in (5000, 5001)
    )
    # Cookies know no ports.
    second.jar = first.jar
    first.sign_in()
    second.sign_in()
    assert is_signed_in(first)
    second.post("/logout")
    assert is_signed_in(first)
    assert not is_signed_in(second)


def test_a_name_that_begins_with_anothers_is_another(provider: Provider, make_app: MakeApp) -> None:
    app = make_app(OAuth2Login(make_handler(provider), name="a__b", url_prefix="/b"))
    app.register_blueprint(OAuth2Login(make_handler(provider), name="a"))
    browser = Browser(app, provider)
    browser.sign_in("/b/login")
    browser.begin("/login")
    assert is_signed_in(browser)


def test_a_star_brings_the_public_names_alone() -> None:
    names: Options = {}
    exec("from flask_oauth2_login import *", names)  # noqa: S102
    brought = names.keys() - {"__builtins__"}
    assert {"OAuth2Login", "login_required", "current_identity", "Stored"} <= brought
    assert not {"t", "import_module", "login", "client", "protocol", "stores"} & brought
    assert brought <= set(dir(flask_oauth2_login))
    assert {"RedisStore", "SQLAlchemyStore"} <= set(dir(flask_oauth2_login))


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"algorithms": ["RS255"]}, "algorithms"),
        ({"algorithms": ["none"]}, "algorithms"),
        ({"algorithms": []}, "algorithms"),
        ({"response_mode": "fragment"}, "response_mode"),
        ({"userinfo_method": "PUT"}, "userinfo_method"),
        ({"redirect_uri": "callback"}, "redirect_uri"),
    ],
)
def test_a_word_that_is_none_of_the_few_is_told_at_once(
    options: dict[str, t.Any], name: str
) -> None:
    with pytest.raises(ConfigurationError, match=name):
        OpenIDConnect("the-app", "secret", "https://sso.example", **options)


def test_a_registration_that_failed_leaves_nothing_behind(provider: Provider) -> None:
    site = Flask(__name__)
    site.config["SECRET_KEY"] = 12345
    with pytest.raises(ConfigurationError, match="SECRET_KEY"):
        site.register_blueprint(OAuth2Login(make_handler(provider)))
    site.config["SECRET_KEY"] = "k" * 32
    site.register_blueprint(OAuth2Login(make_handler(provider), name="another"))
    browser = Browser(site, provider)
    assert browser.sign_in().status_code == 302
    assert [cookie.name for cookie in browser.cookies] == ["oauth2_login_another", "session"]


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
    with pytest.raises(ConfigurationError, match=r"is not a string but a float.*'\"…\"'"):
        app.register_blueprint(OAuth2Login("github"))


def test_a_key_that_is_a_number_is_refused(provider: Provider) -> None:
    app = Flask(__name__)
    app.config["SECRET_KEY"] = 123456
    with pytest.raises(ConfigurationError, match="SECRET_KEY"):
        app.register_blueprint(OAuth2Login(make_handler(provider)))


def test_a_type_checker_knows_every_option() -> None:
    assert set(HandlerOptions.__annotations__) == {
        each.name for each in fields(HandlerDefaults) if each.init
    }
    of_flask = set(inspect.signature(Blueprint).parameters) - {"name", "import_name"}
    assert set(BlueprintOptions.__annotations__) == of_flask
