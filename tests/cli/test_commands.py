"""`flask oauth2 …`: the presets, stored sign-ins, and the upkeep of stores."""

from __future__ import annotations

import json
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask

from flask_oauth2_login import OAuth2Login
from tests.cli.commands import installed as installed
from tests.cli.commands import lines, run, run_flask
from tests.conftest import MakeApp, MakeSSO
from tests.support import ROOT
from tests.support.apps import STORES
from tests.support.assertions import is_signed_in
from tests.support.clock import Clock
from tests.support.handlers import make_openid_login
from tests.support.provider import Browser, Provider
from tests.support.servers import Server
from tests.support.tenants import TenantBrowser, Tenants, add_tenant_views, make_login

ADA = "sso::ada"


class People(t.NamedTuple):
    """An app with two sign-ins of Ada and one of Eve."""

    app: Flask
    adas: list[Browser]
    eve: Browser


def assert_failed(result: Result, *words: str) -> None:
    """A command has failed with a message, and not with a traceback."""
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("Error: ")
    for word in words:
        assert word in result.stderr


@pytest.fixture
def ada_and_eve(make_sso: MakeSSO, provider: Provider) -> People:
    sso = make_sso()
    browsers = [sso.browser, Browser(sso.app, provider), Browser(sso.app, provider)]
    for browser, sub in zip(browsers, ("ada", "ada", "eve"), strict=True):
        browser.sign_in(person={"sub": sub})
    return People(sso.app, browsers[:2], browsers[2])


# providers


def test_the_presets_are_listed(app: Flask) -> None:
    found = lines(run(app, "providers"))
    assert any(line.split() == ["github", "GitHub"] for line in found)
    assert any("unconfirmed" in line for line in found)
    assert found == sorted(found)
    listed = json.loads(run(app, "providers", "--json").stdout)
    (github,) = [each for each in listed if each["name"] == "github"]
    assert github == {"name": "github", "label": "GitHub", "confirmed": True, "is_own": False}


def test_one_provider_is_shown_with_what_to_enter_at_its_console(make_app: MakeApp) -> None:
    app = make_app(
        OAuth2Login("github", url_prefix="/gh"),
        GITHUB_CLIENT_ID="id",
        GITHUB_CLIENT_SECRET="not to be shown",
        SERVER_NAME="app.example",
        PREFERRED_URL_SCHEME="https",
    )
    result = run(app, "providers", "github")
    shown = "\n".join(lines(result))
    for part in (
        "https://github.com/settings/developers",
        "https://app.example/gh/callback",
        "GITHUB_CLIENT_SECRET",
        "read:user",
    ):
        assert part in shown
    assert "not to be shown" not in result.output
    entries = json.loads(run(app, "providers", "github", "--json").stdout)["entries"]
    assert entries[0]["value"] == "https://app.example/gh/callback"


@pytest.mark.parametrize(
    ("config", "url"),
    [
        ({}, "http://<host>/gh/callback"),
        ({"PREFERRED_URL_SCHEME": "https"}, "https://<host>/gh/callback"),
        ({"APPLICATION_ROOT": "/app"}, "http://<host>/app/gh/callback"),
    ],
)
def test_where_requests_name_the_host_it_is_left_open(
    make_app: MakeApp, config: dict[str, str], url: str
) -> None:
    app = make_app(
        OAuth2Login("github", url_prefix="/gh"),
        GITHUB_CLIENT_ID="id",
        GITHUB_CLIENT_SECRET="secret",
        **config,
    )
    assert url in run(app, "providers", "github").stdout


def test_an_apps_own_provider_is_shown_too(make_app: MakeApp) -> None:
    app = make_app(
        OAUTH2_LOGIN_PROVIDERS={"ours": {"issuer": "https://sso.example", "label": "Us"}}
    )
    assert any("the app's own" in line for line in lines(run(app, "providers")) if "ours" in line)
    assert "OURS_CLIENT_ID" in run(app, "providers", "ours").stdout


def test_an_unknown_provider_is_a_message_with_the_most_similar_one(app: Flask) -> None:
    assert_failed(run(app, "providers", "gihtub"), "Did you mean 'github'?")


# sign-ins


def test_sign_ins_are_counted(ada_and_eve: People) -> None:
    app = ada_and_eve[0]
    assert lines(run(app, "sign-ins")) == ["sso  3"]
    assert json.loads(run(app, "sign-ins", "--json").stdout) == {"sso": 3}


def test_the_sign_ins_of_a_person_are_listed_and_one_is_ended(
    ada_and_eve: People,
) -> None:
    app, adas, eve = ada_and_eve
    head, *rows = lines(run(app, "sign-ins", ADA))
    assert head.split() == ["ID", "LOGIN", "SIGNED", "IN", "LAST", "USED", "BROWSER"]
    assert len(rows) == 2
    assert all(row.endswith("Mozilla/5.0 Chrome/140.0") for row in rows)
    listed = json.loads(run(app, "sign-ins", ADA, "--json").stdout)
    assert {row.split()[0] for row in rows} == {each["id"] for each in listed}
    assert listed[0].keys() == {"id", "login", "created_at", "last_used_at", "user_agent"}
    (told,) = lines(run(app, "sign-ins", ADA, "--end", listed[0]["id"]))
    assert told == "sso: 1 sign-in ended."
    assert [is_signed_in(browser) for browser in adas].count(True) == 1
    assert is_signed_in(eve)
    result = run(app, "sign-ins", "nobody")
    assert lines(result) == []
    assert "nobody is signed in nowhere" in result.stderr


@STORES
def test_all_sign_ins_of_a_person_are_ended_with_every_store(
    make_sso: MakeSSO, provider: Provider, store: str
) -> None:
    sso = make_sso(store)
    eve = Browser(sso.app, provider)
    sso.browser.sign_in()
    eve.sign_in(person={"sub": "eve"})
    assert any("ended" in line for line in lines(run(sso.app, "sign-ins", ADA, "--end-all")))
    assert not is_signed_in(sso.browser)
    assert is_signed_in(eve)


def test_of_several_logins_all_count_or_the_one_that_is_named(
    provider: Provider, make_app: MakeApp, tmp_path: Path
) -> None:
    store = f"sqlite:///{tmp_path}/logins.db"
    names = ("one", "two")
    app = make_app(
        *(make_openid_login(provider, name, store=store) for name in names),
        make_openid_login(provider, "cookie"),
    )
    browsers = {name: Browser(app, provider) for name in (*names, "cookie")}
    for name, browser in browsers.items():
        browser.sign_in(f"/{name}/login")
    result = run(app, "sign-ins")
    assert lines(result) == ["one  1", "two  1"]
    assert "cookie: left out, because browsers keep the records." in result.stderr
    assert lines(run(app, "sign-ins", "--login", "two")) == ["two  1"]
    assert lines(run(app, "sweep")) == ["one, two: 0 records deleted."]
    assert lines(run(app, "sign-ins", "one::ada", "--end-all", "--login", "one")) == [
        "one: 1 sign-in ended."
    ]
    assert lines(run(app, "sign-ins")) == ["one  0", "two  1"]
    assert_failed(run(app, "sign-ins", "--login", "three"), "no login named 'three'", "one, two")


@pytest.mark.parametrize(
    "arguments",
    [
        ["sign-ins"],
        ["sign-ins", ADA],
        ["sign-ins", ADA, "--end", "id"],
        ["create-tables"],
        ["reseal"],
        ["sweep"],
    ],
    ids=" ".join,
)
def test_what_needs_a_server_side_store_says_how_to_get_one(
    app: Flask, arguments: list[str]
) -> None:
    assert_failed(run(app, *arguments), "server-side store", "OAUTH2_LOGIN_STORE")


@pytest.mark.parametrize(
    "arguments", [["--end", "id"], ["--end-all"], [ADA, "--end=x", "--end-all"]]
)
def test_what_is_to_end_must_be_clear(app: Flask, arguments: list[str]) -> None:
    assert run(app, "sign-ins", *arguments).exit_code == 2


def test_an_app_without_a_login_is_told_so(make_app: MakeApp) -> None:
    assert_failed(run(make_app(), "sign-ins"), "app.register_blueprint")


def test_a_login_with_tenants_needs_the_tenants_name(
    provider: Provider, make_app: MakeApp, tmp_path: Path
) -> None:
    login = make_login(Tenants({"acme": provider}), store=f"sqlite:///{tmp_path}/logins.db")
    plain = make_openid_login(provider, "plain", store=f"sqlite:///{tmp_path}/logins.db")
    app = make_app(login, plain)
    add_tenant_views(app)
    browser = TenantBrowser(app, "acme", "path", provider)
    browser.enter()
    assert_failed(run(app, "sign-ins"), "'sso' has tenants", "--tenant")
    assert lines(run(app, "sign-ins", "--login", "plain")) == ["plain  0"]
    assert lines(run(app, "sign-ins", "--tenant", "acme")) == ["sso    1", "plain  0"]
    assert_failed(run(app, "sign-ins", "--tenant", "nobody"), "no tenant 'nobody'")
    told = lines(run(app, "reseal", "--tenant", "acme", "--login", "sso"))
    assert told == ["sso ('acme'): 0 records sealed anew."]
    assert lines(run(app, "sweep")) == ["sso, plain: 0 records deleted."]
    told = lines(run(app, "sign-ins", "sso:acme:ada", "--end-all", "--tenant", "acme"))
    assert told == ["sso: 1 sign-in ended.", "plain: 0 sign-ins ended."]
    assert browser.me().status_code == 401


def test_a_login_with_tenants_is_examined_and_a_tenant_that_is_named(
    provider: Provider, make_app: MakeApp, tmp_path: Path
) -> None:
    login = make_login(Tenants({"acme": provider}), store=f"sqlite:///{tmp_path}/logins.db")
    app = make_app(login)
    told = run(app, "check", "--online").stdout
    assert "check --tenant NAME" in told
    assert "The SQLiteStore can be used." in told
    assert provider.requests == []
    told = run(app, "check", "--online", "--tenant", "acme").stdout
    assert "http://<host>/<org>/sso/callback" in told
    assert "Client id and secret: accepted." in told
    assert_failed(run(app, "check", "--tenant", "nobody"), "no tenant 'nobody'")


# create-tables, reseal, sweep


def test_a_store_without_tables_is_tried(
    ada_and_eve: People,
) -> None:
    (told,) = lines(run(ada_and_eve[0], "create-tables"))
    assert told == "sso: SQLiteStore: this store needs no tables, and is usable."


def test_a_store_that_is_down_is_a_message(make_sso: MakeSSO, tmp_path: Path) -> None:
    (tmp_path / "logins.db").write_bytes(b"nonsense" * 1000)
    app = make_sso().app
    for command in ("create-tables", "reseal", "sweep", "sign-ins"):
        assert_failed(run(app, command), "logins.db")


def test_records_are_sealed_anew(make_sso: MakeSSO) -> None:
    make_sso(config={"SECRET_KEY": "former"}).browser.sign_in()
    app = make_sso(config={"SECRET_KEY": "newer", "SECRET_KEY_FALLBACKS": ["former"]}).app
    assert lines(run(app, "reseal")) == ["sso: 1 record sealed anew."]
    assert lines(run(app, "reseal")) == ["sso: 0 records sealed anew."]


def test_what_has_expired_is_deleted(ada_and_eve: People, clock: Clock) -> None:
    clock.ahead = 40 * 24 * 3600
    (told,) = lines(run(ada_and_eve[0], "sweep"))
    assert told.startswith("sso: ")
    assert int(told.split()[1]) >= 3
    assert lines(run(ada_and_eve[0], "sign-ins")) == ["sso  0"]


# As people run them


SITE = """
import os
from flask import Flask
from flask_oauth2_login import OAuth2, OAuth2Login

app = Flask(__name__)
app.secret_key = "a secret of the tests"
handler = OAuth2(os.environ.get("CLIENT_ID"), "secret", "https://provider.example/")
app.register_blueprint(OAuth2Login(handler, store=os.environ.get("STORE")))
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with an app."""
    (tmp_path / "the_site.py").write_text(SITE)
    return tmp_path


@pytest.mark.slow
def test_flask_finds_the_commands(site: Path, installed: dict[str, str]) -> None:
    environment = installed | {"CLIENT_ID": "id", "STORE": f"sqlite:///{site}/logins.db"}
    done = run_flask(site, environment, "--app", "the_site", "oauth2", "sign-ins")
    assert (done.returncode, done.stdout) == (0, "oauth2  0\n"), done.stderr
    done = run_flask(site, environment, "oauth2", "--help")
    assert "create-tables" in done.stdout


@pytest.mark.slow
def test_without_an_app_the_presets_are_shown(tmp_path: Path, installed: dict[str, str]) -> None:
    done = run_flask(tmp_path, installed, "oauth2", "providers", "github")
    assert "https://<host><url_prefix>/callback" in done.stdout
    assert done.stderr == ""


@pytest.mark.slow
def test_an_app_that_cant_be_loaded_is_a_message(site: Path, installed: dict[str, str]) -> None:
    done = run_flask(site, installed, "--app", "the_site", "oauth2", "sign-ins")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: client_id is missing")
    done = run_flask(site, installed, "--app", "the_site", "oauth2", "providers", "github")
    assert done.returncode == 0
    assert "client_id is missing" in done.stderr


@pytest.mark.slow
def test_finding_the_commands_imports_nothing_of_a_login() -> None:
    code = """
import sys
import flask.cli
before = {*sys.modules}
import flask_oauth2_login.cli
ours = {name for name in {*sys.modules} - before if name.startswith("flask_oauth2_login")}
print(sorted(ours))
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "['flask_oauth2_login', 'flask_oauth2_login.cli']\n"


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
def test_several_pods_make_the_tables_at_the_same_time(
    request: pytest.FixtureRequest, site: Path, installed: dict[str, str], server: str
) -> None:
    database = t.cast(Server, request.getfixturevalue(server))
    environment = installed | {"CLIENT_ID": "id", "STORE": database.url}
    command = [sys.executable, "-m", "flask", "--app", "the_site", "oauth2", "create-tables"]
    pods = [
        subprocess.Popen(command, cwd=site, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    told = [(pod.communicate(timeout=60)[0], pod.returncode) for pod in pods]
    assert told == [("oauth2: SQLAlchemyStore: the tables exist.\n", 0)] * 3
