"""`flask oauth2 check`: what the doctor finds without asking anybody."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask import Flask
from flask.cli import ScriptInfo
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_oauth2_login import OAuth2, OAuth2Login, login_required
from flask_oauth2_login.cli import oauth2
from tests.cli.commands import GOOD, Found, examine, run, run_flask
from tests.cli.commands import installed as installed
from tests.conftest import MakeApp, MakeSSO
from tests.support.apps import make_site
from tests.support.provider import Browser, Provider

FORGED_HOST = Found("warning", "forged-host")
PROXY = Found("warning", "proxy")


def make_login(redirect_uri: str | None = None, **options: t.Any) -> OAuth2Login:
    """A login at a provider that nobody asks."""
    handler = OAuth2("the-client", "the-secret", "https://provider.example/", redirect_uri)
    return OAuth2Login(handler, **options)


def problems(app: Flask) -> set[Found]:
    """What is wrong, or may be wrong."""
    return {found for found in examine(app) if found.level in {"error", "warning"}}


def test_a_good_app_is_told_what_to_register(make_app: MakeApp) -> None:
    app = make_app(make_login(), **GOOD)
    found = examine(app)
    assert problems(app) == set()
    assert "https://app.example/callback" in found[Found("note", "redirect-uri")]["what"]
    assert Found("ok", "shared-file") in found
    result = run(app, "check")
    assert result.exit_code == 0
    assert "0 errors, 0 warnings." in result.stdout


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"SECRET_KEY": "dev"}, Found("error", "secret-key-short")),
        ({"SECRET_KEY": b"x" * 40}, Found("error", "secret-key-short")),
        ({"OAUTH2_LOGIN_ENCRYPTION_KEY": "short"}, Found("error", "secret-key-short")),
        ({"SESSION_COOKIE_SAMESITE": "lax"}, Found("error", "cookie-samesite")),
        (
            {"SESSION_COOKIE_SAMESITE": "None", "SESSION_COOKIE_SECURE": False},
            Found("error", "cookie-samesite"),
        ),
        ({"SESSION_COOKIE_HTTPONLY": False}, Found("warning", "cookie-httponly")),
        ({"SESSION_COOKIE_SECURE": False}, Found("warning", "cookie-secure")),
        ({"PREFERRED_URL_SCHEME": "http"}, Found("error", "cookie-secure")),
        ({"PREFERRED_URL_SCHEME": "http"}, Found("warning", "redirect-http")),
        ({"SESSION_COOKIE_PATH": "/admin"}, Found("error", "cookie-path")),
        ({"SESSION_COOKIE_DOMAIN": "other.example"}, Found("error", "cookie-domain")),
        ({"SESSION_COOKIE_DOMAIN": "app.example"}, Found("note", "cookie-domain")),
        ({"SERVER_NAME": "localhost:5000"}, Found("note", "redirect-loopback")),
    ],
    ids=str,
)
def test_a_setting_that_can_hurt_is_found(
    make_app: MakeApp, config: dict[str, t.Any], expected: Found
) -> None:
    app = make_app(make_login(), **{**GOOD, **config})
    assert expected in examine(app)


def test_a_secret_is_not_shown(make_app: MakeApp) -> None:
    app = make_app(make_login(), **{**GOOD, "SECRET_KEY": "short-secret"})
    for arguments in ([], ["--json"]):
        output = run(app, "check", *arguments).output
        assert "short-secret" not in output
        assert "the-secret" not in output


def test_older_secrets_are_told(make_app: MakeApp) -> None:
    key = "a key of the tests, long enough"
    both = make_app(make_login(), SECRET_KEY=key, SECRET_KEY_FALLBACKS=[key], **GOOD)
    assert Found("warning", "secret-key-fallbacks") in examine(both)
    older = make_app(make_login(), SECRET_KEY=key, SECRET_KEY_FALLBACKS=["older"], **GOOD)
    assert "reseal" in examine(older)[Found("note", "secret-key-fallbacks")]["fix"]


def test_a_secret_of_another_type_is_told(make_app: MakeApp) -> None:
    app = make_app(make_login(), **GOOD)
    app.config["SECRET_KEY_FALLBACKS"] = [12345]
    assert Found("error", "secret-key") in examine(app)


# Redirect URIs


def test_where_requests_name_the_host_each_address_is_to_be_registered(make_app: MakeApp) -> None:
    found = examine(make_app(make_login(url_prefix="/gh")))
    note = found[Found("note", "redirect-uri")]
    assert "http://<host>/gh/callback" in note["what"]
    assert "http://127.0.0.1:5000/gh/callback" in note["fix"]
    assert "http://localhost:5000/gh/callback" in note["fix"]
    assert FORGED_HOST in found
    assert Found("note", "cookie-secure") in found
    assert PROXY not in found


@pytest.mark.security("A7")
@pytest.mark.parametrize(
    "config", [{"TRUSTED_HOSTS": ["app.example"]}, {"SERVER_NAME": "app.example"}]
)
def test_a_forged_host_is_warned_of_until_the_host_is_certain(
    make_app: MakeApp, config: dict[str, t.Any]
) -> None:
    assert FORGED_HOST in examine(make_app(make_login()))
    assert FORGED_HOST not in examine(make_app(make_login(), **config))
    assert FORGED_HOST not in examine(make_app(make_login("https://app.example/callback")))


def test_a_missing_proxy_fix_is_told_where_the_app_is_at_https(make_app: MakeApp) -> None:
    app = make_app(make_login(), SESSION_COOKIE_SECURE=True)
    assert "x_proto=1" in examine(app)[PROXY]["fix"]
    app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=0)  # type: ignore[method-assign]
    assert "x_proto=0" in examine(app)[PROXY]["what"]
    app = make_app(make_login(), SESSION_COOKIE_SECURE=True)
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    assert PROXY not in examine(app)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://app.example/callback", None),
        ("http://app.example/callback", Found("error", "redirect-http")),
        ("http://localhost:5000/callback", Found("note", "redirect-loopback")),
        ("http://127.0.0.1:5000/callback", Found("note", "redirect-loopback")),
    ],
)
def test_the_redirect_uri_of_a_handler_is_examined(
    make_app: MakeApp, uri: str, expected: Found | None
) -> None:
    found = examine(make_app(make_login(uri)))
    assert uri in found[Found("note", "redirect-uri")]["what"]
    others = {each for each in found if each.topic in {"redirect-http", "redirect-loopback"}}
    assert others == ({expected} if expected else set())
    if "localhost" in uri:
        assert "127.0.0.1" in found[Found("note", "redirect-loopback")]["why"]


def test_each_login_is_examined(make_app: MakeApp) -> None:
    app = make_app(make_login(name="one"), make_login(name="two"), **GOOD)
    result = run(app, "check")
    for name in ("one", "two"):
        assert f"{name}: The redirect URI is https://app.example/{name}/callback." in result.stdout


def test_what_is_so_at_several_logins_is_told_once(make_app: MakeApp) -> None:
    app = make_app(make_login(name="one"), make_login(name="two"))
    told = run(app, "check").stdout
    assert "WARNING  one, two: The redirect URI has the host that a request names" in told
    assert told.count("forged Host header") == 1
    assert "0 errors, 1 warning." in told


@pytest.mark.parametrize("config", [{}, {"SERVER_NAME": "app.example"}])
def test_a_login_of_one_host_is_examined(make_app: MakeApp, config: dict[str, str]) -> None:
    app = Flask("the_app", host_matching=True, static_host="app.example")
    app.config |= {"SECRET_KEY": "a key of the tests, long enough", **config}
    app.register_blueprint(make_login(host="app.example"))
    note = examine(app)[Found("note", "redirect-uri")]
    assert "/callback" in note["what"]


# Views


def test_a_view_that_takes_the_place_of_a_login_is_found(make_app: MakeApp) -> None:
    app = make_app(make_login(), **GOOD)
    app.add_url_rule("/login", "mine", lambda: "mine", methods=["GET", "POST"])
    assert "'mine'" in examine(app)[Found("error", "urls")]["what"]


def test_a_guard_above_the_route_is_found(make_app: MakeApp) -> None:
    app = make_app(make_login(), **GOOD)

    @login_required
    @app.get("/secret")
    def secret() -> str:
        return "secret"

    assert "'secret'" in examine(app)[Found("error", "guard")]["what"]


# Stores


def test_a_store_is_tried(make_sso: MakeSSO) -> None:
    found = examine(make_sso().app)
    assert Found("ok", "store") in found
    assert Found("ok", "shared-file") not in found


def test_missing_tables_are_told_with_the_command_that_makes_them(
    make_app: MakeApp, tmp_path: Path
) -> None:
    import sqlalchemy as sa

    from flask_oauth2_login import SQLAlchemyStore

    engine = sa.create_engine(f"sqlite:///{tmp_path}/logins.db")
    store = SQLAlchemyStore(engine)
    store.create_tables()
    app = make_app(make_login(store=store), **GOOD)
    assert Found("ok", "store") in examine(app)
    store.metadata.drop_all(engine)
    assert "create-tables" in examine(app)[Found("error", "store")]["fix"]
    run(app, "create-tables")
    assert Found("ok", "store") in examine(app)
    store.close()
    engine.dispose()


def test_a_store_that_is_down_is_found(make_app: MakeApp, tmp_path: Path) -> None:
    (tmp_path / "logins.db").write_bytes(b"nonsense" * 1000)
    app = make_app(make_login(store=f"sqlite:///{tmp_path}/logins.db"), **GOOD)
    assert "logins.db" in examine(app)[Found("error", "store")]["what"]


def test_a_store_in_the_memory_of_one_process_is_found(make_app: MakeApp) -> None:
    app = make_app(make_login(store="sqlite:///:memory:"), **GOOD)
    assert Found("error", "store-memory") in examine(app)


def make_unwritable(app: Flask, temporary: Path) -> None:
    """Take all places from the file that the processes share, of the superuser, too."""
    Path(app.instance_path, "oauth2_login").write_text("not a folder")
    temporary.rmdir()


def test_a_missing_file_is_told_with_the_number_of_workers(
    make_app: MakeApp, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(make_login(), **GOOD)
    make_unwritable(app, temporary)
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--bind :8000 --workers 4")
    finding = examine(app)[Found("error", "shared-file")]
    assert "4 workers" in finding["why"]
    assert app.instance_path in finding["fix"]


def test_a_file_in_the_temporary_folder_is_told(make_app: MakeApp, temporary: Path) -> None:
    app = make_app(make_login(), **GOOD)
    Path(app.instance_path).rmdir()
    found = examine(app)
    assert str(temporary) in found[Found("ok", "shared-file")]["what"]
    assert app.instance_path in found[Found("note", "shared-file-temporary")]["fix"]


def test_a_file_that_cant_be_read_is_an_error(provider: Provider, instance: Path) -> None:
    examine(make_site(provider.url, str(instance)))
    (file,) = Path(instance, "oauth2_login").glob("*.db")
    for beside in file.parent.iterdir():
        beside.unlink()
    file.write_bytes(b"nonsense" * 1000)
    found = examine(make_site(provider.url, str(instance)))
    assert str(file) in found[Found("error", "shared-file")]["what"]


@pytest.mark.parametrize("variable", ["KUBERNETES_SERVICE_HOST", "DYNO"])
def test_a_platform_of_several_machines_is_recognised(
    make_app: MakeApp, make_sso: MakeSSO, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    several = Found("warning", "several-machines")
    assert several in examine(make_app(make_login(), **GOOD))
    assert several in examine(make_sso().app)


# Presets and TLS


def test_an_unconfirmed_preset_is_told_whatever_the_login_is_called(make_app: MakeApp) -> None:
    credentials = {"ALIYUN_CLIENT_ID": "id", "ALIYUN_CLIENT_SECRET": "secret"}
    app = make_app(OAuth2Login("aliyun", name="other"), **credentials, **GOOD)
    finding = examine(app)[Found("warning", "preset")]
    assert "'aliyun'" in finding["what"]
    assert finding["login"] == "other"


def test_certificates_that_are_not_verified_are_an_error(make_app: MakeApp) -> None:
    handler = OAuth2("id", "secret", "https://provider.example/", verify=False)
    app = make_app(OAuth2Login(handler), **GOOD)
    assert Found("error", "tls-unverified") in examine(app)


# An app that can't be examined


def test_an_app_without_a_login_is_an_error(make_app: MakeApp) -> None:
    assert "register_blueprint" in examine(make_app())[Found("error", "registration")]["what"]


@pytest.mark.parametrize(
    ("variables", "config", "fix"),
    [
        ({"GITHUB_CLIENT_ID": "x"}, {}, "from_prefixed_env() reads FLASK_GITHUB_CLIENT_ID"),
        ({"FLASK_GITHUB_CLIENT_ID": "x"}, {}, "Call app.config.from_prefixed_env() before"),
        ({"SECRET_KEY": "x"}, {"SECRET_KEY": None}, "reads FLASK_SECRET_KEY"),
        ({}, {}, "Do what the message says."),
    ],
    ids=str,
)
def test_a_setting_that_did_not_reach_the_app_is_found_in_the_environment(
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    config: dict[str, t.Any],
    fix: str,
) -> None:
    for name in ("GITHUB_CLIENT_ID", "FLASK_GITHUB_CLIENT_ID", "SECRET_KEY", "FLASK_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    def create_app() -> Flask:
        app = Flask("the_app")
        app.config |= {"SECRET_KEY": "a key of the tests", **config}
        app.register_blueprint(OAuth2Login("github"))
        return app

    info = ScriptInfo(create_app=create_app)
    result = CliRunner().invoke(oauth2, ["check", "--json"], obj=info)
    (finding,) = json.loads(result.stdout)["findings"]
    assert (result.exit_code, finding["topic"]) == (1, "registration")
    assert fix in finding["fix"]


SITE = """
import os, secrets
from flask import Flask
from flask_oauth2_login import OAuth2, OAuth2Login

print("The app prints something.")
app = Flask(__name__)
app.secret_key = os.environ.get("KEY") or secrets.token_hex()
app.config |= {"SERVER_NAME": "app.example", "PREFERRED_URL_SCHEME": "https"}
handler = OAuth2(os.environ.get("CLIENT_ID"), "secret", "https://provider.example/")
app.register_blueprint(OAuth2Login(handler))
"""


@pytest.mark.slow
def test_a_secret_that_each_process_makes_for_itself_is_found(
    tmp_path: Path, installed: dict[str, str]
) -> None:
    (tmp_path / "app.py").write_text(SITE)
    environment = installed | {"CLIENT_ID": "id"}
    # With a name and without one.
    for arguments in (["--app", "app", "oauth2", "check"], ["oauth2", "check"]):
        done = run_flask(tmp_path, environment, *arguments)
        assert done.returncode == 1, done.stderr
        assert "SECRET_KEY is another one each time the app is loaded." in done.stdout
    key = "a key of the tests, long enough"
    done = run_flask(tmp_path, environment | {"KEY": key}, "oauth2", "check")
    assert done.returncode == 0, done.stdout
    assert "each time" not in done.stdout
    assert key not in done.stdout


@pytest.mark.slow
def test_an_app_that_cant_be_registered_is_a_finding(
    tmp_path: Path, installed: dict[str, str]
) -> None:
    (tmp_path / "app.py").write_text(SITE)
    done = run_flask(tmp_path, installed, "oauth2", "check")
    assert done.returncode == 1
    assert "client_id is missing" in done.stdout
    assert "Traceback" not in done.stderr


def test_an_examination_signs_nobody_out(make_app: MakeApp, browser: Browser, app: Flask) -> None:
    browser.sign_in()
    examine(app)
    assert browser.fetch("/me").status_code == 200


def test_what_is_wrong_has_the_address_of_its_row(make_app: MakeApp) -> None:
    app = make_app(make_login(), **{**GOOD, "SECRET_KEY": "dev"})
    address = "https://github.com/flask-oauth2-login/flask-oauth2-login/blob/main/docs/errors.md#"
    found = examine(app)
    assert found[Found("error", "secret-key-short")]["see"] == f"{address}secret-key-short"
    assert found[Found("ok", "shared-file")]["see"] is None
    assert f"    See: {address}secret-key-short\n" in run(app, "check").stdout


def test_an_error_that_is_found_has_its_own_row_and_the_address_once(make_app: MakeApp) -> None:
    app = make_app(make_login(), **GOOD)
    app.config["SECRET_KEY"] = 12
    finding = examine(app)[Found("error", "secret-key")]
    assert finding["see"].endswith("#secret-key-type")
    assert "http" not in finding["what"]
