"""The fixture `oauth2_login`: an app's tests sign people in, and no provider is needed."""

from __future__ import annotations

import time
import typing as t
from pathlib import Path

import pytest
import requests
from flask import Flask, abort, session
from flask.testing import FlaskClient

from flask_oauth2_login import (
    ConfigurationError,
    Identity,
    OAuth2,
    OAuth2Login,
    OpenIDConnect,
    Token,
    current_identity,
    current_oauth_session,
    logged_in,
    logged_out,
    login_required,
)
from flask_oauth2_login.testing.tester import LoginTester

pytest_plugins = ["pytester"]

#: Nothing listens there, and nothing has to.
API = "https://api.example.com/v1/"


def make_app(store: str = "cookie", **options: t.Any) -> Flask:
    """An app with a login of each kind."""
    app = Flask(__name__)
    app.config.update(SECRET_KEY="x" * 32, TESTING=True, OAUTH2_LOGIN_STORE=store)
    plain = OAuth2("id", "secret", "https://provider.example/", api_url=API)
    app.register_blueprint(OAuth2Login(plain, name="plain", scope="read"), url_prefix="/plain")
    openid = OpenIDConnect("id", "secret", "https://issuer.example", api_url=API)
    sso = OAuth2Login(openid, name="sso", **options)
    app.register_blueprint(sso, url_prefix="/sso")

    @app.get("/")
    @login_required
    def index() -> dict[str, t.Any]:
        return current_identity.to_dict()

    @app.get("/write")
    @login_required(scope="write")
    def write() -> str:
        return "written"

    @app.get("/recent")
    @login_required("sso", max_age=60)
    def recent() -> str:
        return "recent"

    @app.get("/admin")
    @login_required("sso", roles="admin")
    def admin() -> str:
        return "admin"

    @app.get("/repos")
    @login_required
    def repos() -> t.Any:
        answer = current_oauth_session.get("repos", params={"page": "1"})
        return answer.json(), answer.status_code

    return app


@pytest.fixture
def app(request: pytest.FixtureRequest) -> Flask:
    mark = request.node.get_closest_marker("options")
    return make_app(**(mark.kwargs if mark else {}))


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.mark.parametrize("store", ["cookie", "session", "sqlite"])
def test_somebody_is_signed_in_and_signs_out(
    store: str, tmp_path: Path, oauth2_login: LoginTester
) -> None:
    app = make_app(f"sqlite:///{tmp_path}/logins.db" if store == "sqlite" else store)
    client = app.test_client()
    response = oauth2_login.sign_in(
        client, "plain", id="42", name="Ada", email="ada@example.com", next="/write"
    )
    assert response.location == "/write"
    identity = client.get("/").json
    assert identity is not None
    assert (identity["provider"], identity["id"], identity["name"]) == ("plain", "42", "Ada")
    assert client.post("/plain/logout", headers={"Origin": "http://localhost"}).status_code == 204
    assert client.get("/").status_code == 401


def test_each_client_is_a_browser_of_its_own(app: Flask, oauth2_login: LoginTester) -> None:
    ada, eve = app.test_client(), app.test_client()
    oauth2_login.sign_in(ada, "plain", id="ada")
    oauth2_login.sign_in(eve, "sso", id="eve")
    assert ada.get("/").get_json()["id"] == "ada"
    assert eve.get("/").get_json()["id"] == "eve"
    assert app.test_client().get("/").status_code == 401


def test_on_login_runs_as_after_a_sign_in(client: FlaskClient, oauth2_login: LoginTester) -> None:
    app = Flask(__name__)
    app.config.update(SECRET_KEY="x" * 32, TESTING=True)
    login = OAuth2Login(OAuth2("id", "secret", "https://provider.example/"), name="plain")
    app.register_blueprint(login)
    seen: list[tuple[str | None, str]] = []

    @login.on_login
    def find(identity: Identity, token: Token) -> None:
        seen.append((identity.id, token.access_token))
        if identity.id == "blocked":
            abort(403)
        identity.owner = "7"

    @app.get("/cart")
    def cart() -> str:
        session["cart"] = "a book"
        return "filled"

    @app.get("/")
    @login_required
    def index() -> list[t.Any]:
        return [current_identity.owner, session.get("cart")]

    client = app.test_client()
    client.get("/cart")
    assert oauth2_login.sign_in(client, "plain", id="blocked").status_code == 403
    assert client.get("/").status_code == 401
    assert oauth2_login.sign_in(client, "plain", id="1").status_code == 302
    # The cart of an anonymous visitor stays; somebody else's session is cleared.
    assert client.get("/").json == ["7", "a book"]
    assert [id for id, _ in seen] == ["blocked", "1"]


def test_the_signals_are_sent(app: Flask, client: FlaskClient, oauth2_login: LoginTester) -> None:
    came: list[tuple[str, str | None]] = []

    def note(_sender: Flask, identity: Identity, reason: str = "in", **_more: t.Any) -> None:
        came.append((reason, identity.id))

    with logged_in.connected_to(note, app), logged_out.connected_to(note, app):
        oauth2_login.sign_in(client, "plain", id="1")
        oauth2_login.end(client, "plain", reason="back-channel")
    assert came == [("in", "1"), ("back-channel", "1")]


def test_a_login_ends_and_the_browser_finds_out(
    client: FlaskClient, oauth2_login: LoginTester
) -> None:
    oauth2_login.sign_in(client, "plain", id="1")
    oauth2_login.end(client, "plain")
    assert client.get("/").status_code == 401
    with pytest.raises(ConfigurationError, match="call sign_in first"):
        oauth2_login.end(client, "plain")


def test_scopes_count(client: FlaskClient, oauth2_login: LoginTester) -> None:
    oauth2_login.sign_in(client, "plain", id="1")
    assert client.get("/write", headers={"Accept": "text/html"}).status_code == 302
    oauth2_login.sign_in(client, "plain", id="1", scope="read write")
    assert client.get("/write").text == "written"


def test_max_age_counts(client: FlaskClient, oauth2_login: LoginTester) -> None:
    oauth2_login.sign_in(client, "sso", id="1", auth_time=int(time.time()) - 3600)
    assert client.get("/recent", headers={"Accept": "text/html"}).status_code == 302
    oauth2_login.sign_in(client, "sso", id="1")
    assert client.get("/recent").text == "recent"
    with pytest.raises(ConfigurationError, match="no ID tokens"):
        oauth2_login.sign_in(client, "plain", id="1", auth_time=1)


@pytest.mark.options(roles="groups", role_names={"sso-admins": "admin"}, claims=["team"])
def test_roles_and_claims_are_those_of_the_login(
    client: FlaskClient, oauth2_login: LoginTester
) -> None:
    oauth2_login.sign_in(client, "sso", id="1")
    assert client.get("/admin").status_code == 403
    oauth2_login.sign_in(client, "sso", id="1", roles=["admin"], claims={"team": "red"})
    assert client.get("/admin").text == "admin"
    identity = client.get("/").get_json()
    assert identity["roles"] == ["admin"]
    assert identity["claims"] == {"team": "red"}
    with pytest.raises(ConfigurationError, match=r"no name for sso-admins .* It has: admin"):
        oauth2_login.sign_in(client, "sso", id="1", roles=["sso-admins"])
    with pytest.raises(ConfigurationError, match=r"claims=\['shoes'\]"):
        oauth2_login.sign_in(client, "sso", id="1", claims={"shoes": 43})
    with pytest.raises(ConfigurationError, match="does not say where roles are"):
        oauth2_login.sign_in(client, "plain", id="1", roles=["admin"])


def test_an_account_is_added(tmp_path: Path, oauth2_login: LoginTester) -> None:
    client = make_app(f"sqlite:///{tmp_path}/logins.db").test_client()
    oauth2_login.sign_in(client, "plain", id="1")
    oauth2_login.sign_in(client, "sso", id="2", link=True)
    identity = client.get("/").get_json()
    assert (identity["id"], identity["owner"]) == ("2", "plain::1")
    oauth2_login.sign_in(client, "sso", id="3")
    assert client.get("/").get_json()["id"] == "3"


def test_the_api_answers(client: FlaskClient, oauth2_login: LoginTester) -> None:
    oauth2_login.sign_in(client, "plain", id="1")
    calls = oauth2_login.api("repos", json=["flask"])
    assert client.get("/repos").json == ["flask"]
    assert [call.url for call in calls] == [f"{API}repos?page=1"]
    assert calls[0].headers["Authorization"].startswith("Bearer ")


def test_answers_come_in_their_order_and_the_last_stays(
    client: FlaskClient, oauth2_login: LoginTester
) -> None:
    oauth2_login.sign_in(client, "plain", id="1")
    oauth2_login.api("repos", json=[1], status=201)
    oauth2_login.api(f"{API}repos?page=1", json=[2])
    # Another query, and another method.
    oauth2_login.api("repos?page=2", json=[3])
    oauth2_login.api("repos", json=[4], method="POST")
    answers = [client.get("/repos") for _ in range(3)]
    assert [answer.json for answer in answers] == [[1], [2], [2]]
    assert answers[0].status_code == 201


def test_the_api_can_be_out_of_reach(client: FlaskClient, oauth2_login: LoginTester) -> None:
    oauth2_login.sign_in(client, "plain", id="1")
    oauth2_login.api("repos", error=requests.ConnectionError())
    assert client.get("/repos").status_code == 503


def test_an_expired_token_is_refreshed(client: FlaskClient, oauth2_login: LoginTester) -> None:
    oauth2_login.sign_in(client, "sso", id="1", expired=True)
    calls = oauth2_login.api("repos", json=[])
    assert client.get("/repos").status_code == 200
    assert client.get("/repos").status_code == 200
    sent = {call.headers["Authorization"] for call in calls}
    assert sent == {"Bearer test-access-token-refreshed"}


def test_a_token_that_the_api_rejects_is_refreshed(
    client: FlaskClient, oauth2_login: LoginTester
) -> None:
    oauth2_login.sign_in(client, "plain", id="1")
    rejected = oauth2_login.api("repos", error="invalid_token")
    calls = oauth2_login.api("repos", json=[])
    assert client.get("/repos").status_code == 200
    assert rejected[0].headers["Authorization"] != calls[0].headers["Authorization"]


@pytest.mark.parametrize(
    ("refresh", "status"), [("refused", 401), (None, 401), ("unavailable", 503)]
)
def test_a_refresh_fails(
    refresh: t.Any, status: int, client: FlaskClient, oauth2_login: LoginTester
) -> None:
    oauth2_login.sign_in(client, "plain", id="1", expired=True, refresh=refresh)
    oauth2_login.api("repos", json=[])
    assert client.get("/repos").status_code == status
    assert client.get("/").status_code == (401 if refresh == "refused" else 200)


def test_the_app_is_as_it_was_afterwards(
    app: Flask, client: FlaskClient, oauth2_login: LoginTester
) -> None:
    usual = app.view_functions["plain.callback"]
    oauth2_login.sign_in(client, "plain", id="1")
    assert app.view_functions["plain.callback"] is usual


@pytest.mark.parametrize("root", ["/", "/shop"])
def test_an_app_with_a_root_and_a_host(root: str, oauth2_login: LoginTester) -> None:
    app = make_app()
    app.config.update(APPLICATION_ROOT=root, SERVER_NAME="shop.example")
    client = app.test_client()
    assert oauth2_login.sign_in(client, "plain", id="1").status_code == 302
    assert client.get("/").get_json()["id"] == "1"


@pytest.mark.parametrize("login", ["plain", "sso"])
def test_a_sign_in_begins_without_a_network(
    login: str, client: FlaskClient, oauth2_login: LoginTester
) -> None:
    response = client.get(f"/{login}/login")
    assert response.status_code == 302
    assert "state=" in response.location


def test_there_is_no_such_login(client: FlaskClient, oauth2_login: LoginTester) -> None:
    with pytest.raises(ConfigurationError, match=r"no login named 'github'\. It has: plain, sso"):
        oauth2_login.sign_in(client, "github", id="1")


OF_USER = """
    import threading

    import pytest
    from flask import Flask

    from flask_oauth2_login import OAuth2, OAuth2Login, current_oauth_session, login_required

    @pytest.fixture
    def app():
        app = Flask(__name__)
        app.secret_key = "x" * 32
        github = OAuth2("id", "secret", "https://provider.example/", api_url="https://api.example/")
        app.register_blueprint(OAuth2Login(github, name="github"))

        @app.get("/")
        @login_required
        def index():
            try:
                return current_oauth_session.get("/user").json()
            except Exception:
                return "hidden"

        @app.get("/thread")
        @login_required
        def in_thread():
            session = current_oauth_session._get_current_object()
            thread = threading.Thread(target=call, args=[session])
            thread.start()
            thread.join()
            return "started"

        return app

    def call(session):
        try:
            session.get("/user")
        except Exception:
            pass
"""


def run_as_user(pytester: pytest.Pytester, test: str) -> pytest.RunResult:
    """Run a test of an app, with the plugin as the package installs it."""
    pytester.makeconftest(OF_USER)
    pytester.makepyfile(test)
    return pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider")


def test_a_call_that_nobody_foresaw_fails_the_test(pytester: pytest.Pytester) -> None:
    result = run_as_user(
        pytester,
        """
        def test_hidden(client, oauth2_login):
            oauth2_login.sign_in(client, "github", id="1")
            assert client.get("/").status_code == 200

        def test_in_thread(client, oauth2_login):
            oauth2_login.sign_in(client, "github", id="1")
            assert client.get("/thread").status_code == 200

        def test_foreseen(client, oauth2_login):
            oauth2_login.sign_in(client, "github", id="1")
            oauth2_login.api("/user", json={"login": "ada"})
            assert client.get("/").json == {"login": "ada"}
        """,
    )
    result.assert_outcomes(failed=1, passed=2, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*oauth2_login.api('https://api.example/user', json={*}).",
        ]
    )


def test_nothing_is_imported_where_it_is_not_used(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import sys

        def test_modules():
            ours = {name for name in sys.modules if name.startswith("flask_oauth2_login")}
            assert ours == {
                "flask_oauth2_login",
                "flask_oauth2_login.testing",
                "flask_oauth2_login.testing.plugin",
            }
    """)
    result = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", "-p", "no:flask")
    result.assert_outcomes(passed=1)


def test_a_tenant_is_named(oauth2_login: LoginTester) -> None:
    app = Flask(__name__)
    app.config.update(SECRET_KEY="x" * 32, TESTING=True)
    app.register_blueprint(
        OAuth2Login(
            lambda tenant: OpenIDConnect("id", "secret", f"https://{tenant}.example", api_url=API),
            name="sso",
            tenant="org",
        ),
        url_prefix="/<org>",
    )

    @app.get("/<org>/me")
    @login_required("sso")
    def me(org: str) -> dict[str, t.Any]:
        return {"org": org, "tenant": current_identity.tenant}

    client = app.test_client()
    assert oauth2_login.sign_in(client, "sso", id="42", tenant="acme").status_code == 302
    assert client.get("/acme/me").json == {"org": "acme", "tenant": "acme"}
    assert client.get("/globex/me").status_code == 401
    with pytest.raises(ConfigurationError, match="say which"):
        oauth2_login.sign_in(client, "sso", id="42")
    oauth2_login.end(client, "sso", tenant="acme")
    assert client.get("/acme/me").status_code == 401
