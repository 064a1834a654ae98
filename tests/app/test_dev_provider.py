"""The provider for development: its pages, people, scopes, lifetimes and refusals."""

from __future__ import annotations

import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner
from flask import Flask

from flask_oauth2_login import (
    OAuth2Login,
    current_identity,
    current_oauth_session,
    login_required,
)
from flask_oauth2_login.testing.dev_provider import DevProvider, run
from flask_oauth2_login.testing.dev_provider.command import dev_provider
from tests.support.servers import wait_until


def make_app(provider: DevProvider, scope: str = "profile email", **options: t.Any) -> Flask:
    app = Flask(__name__)
    app.secret_key = "x" * 32
    login = OAuth2Login(provider.handler(), name="sso", scope=scope, **options)
    app.register_blueprint(login)

    @app.get("/")
    @login_required
    def index() -> t.Any:
        return current_identity.to_dict()

    @app.get("/scope")
    @login_required
    def granted() -> str:
        assert login.token is not None
        return str(login.token["scope"])

    @app.get("/expired")
    @login_required
    def expired() -> str:
        assert login.token is not None
        return str(login.token.expires_within(0))

    @app.get("/profile")
    @login_required
    def profile() -> t.Any:
        answer = current_oauth_session.get("userinfo")
        return answer.json(), answer.status_code

    return app


def refuse(provider: DevProvider, **endpoints: str) -> None:
    """Choose failures on the provider's first page."""
    answer = requests.post(f"{provider.issuer}/refuse", data=endpoints, timeout=5)
    assert answer.status_code == 200


def test_somebody_signs_in(oauth2_login_provider: DevProvider) -> None:
    client = make_app(oauth2_login_provider, claims=["groups"]).test_client()
    assert oauth2_login_provider.sign_in(client, "/", "grace").location == "/"
    identity = client.get("/").get_json()
    assert (identity["id"], identity["email"]) == ("grace", "grace@example.com")
    assert identity["claims"] == {"groups": ["staff"]}
    assert client.get("/profile").get_json()["name"] == "Grace Hopper"


def test_its_pages_need_no_network(oauth2_login_provider: DevProvider) -> None:
    client = make_app(oauth2_login_provider).test_client()
    begun = client.get("/login").location
    assert begun is not None
    issuer = oauth2_login_provider.issuer
    for url in (issuer, begun, f"{issuer}/oauth2/end_session"):
        page = requests.get(url, timeout=5).text
        assert "Local provider" in page
        assert "http://" not in page.replace(issuer, "").replace("http://localhost/callback", "")
        assert "https://" not in page
    assert "Ada Lovelace" in requests.get(begun, timeout=5).text


def test_somebody_cancels(oauth2_login_provider: DevProvider) -> None:
    client = make_app(oauth2_login_provider).test_client()
    begun = str(client.get("/login").location)
    answer = requests.post(begun, data={"action": "deny"}, allow_redirects=False, timeout=5)
    assert "error=access_denied" in answer.headers["Location"]


def test_people_and_scopes_are_chosen() -> None:
    people = {"eve": {"name": "Eve", "groups": ["guests"]}}
    with run(people=people, scopes=["repo"]) as provider:
        client = make_app(provider, "repo gist").test_client()
        begun = str(client.get("/login").location)
        form = {"sub": "eve", "chosen": "1", "grant": "repo"}
        answer = requests.post(begun, data=form, allow_redirects=False, timeout=5)
        assert client.get(answer.headers["Location"]).status_code == 302
        assert client.get("/").get_json()["id"] == "eve"
        assert client.get("/scope").text == "openid repo"


@pytest.mark.parametrize(
    ("failures", "status"),
    [
        ({"token": "client"}, 502),
        ({"token": "code"}, 400),
        ({"token": "refresh"}, 302),
        ({"token": "down"}, 503),
    ],
)
def test_it_fails_on_demand(
    failures: dict[str, str], status: int, oauth2_login_provider: DevProvider
) -> None:
    client = make_app(oauth2_login_provider).test_client()
    refuse(oauth2_login_provider, **failures)
    assert oauth2_login_provider.sign_in(client).status_code == status
    refuse(oauth2_login_provider)
    assert oauth2_login_provider.sign_in(client).status_code == 302


@pytest.mark.parametrize(("token", "status"), [("", 200), ("refresh", 401), ("down", 503)])
def test_tokens_are_short_lived(token: str, status: int) -> None:
    with run(lifetime=1) as provider:
        client = make_app(provider).test_client()
        provider.sign_in(client)
        refuse(provider, token=token)
        wait_until(lambda: client.get("/expired").text == "True")
        assert client.get("/profile").status_code == status


@pytest.mark.parametrize(("kind", "status"), [("token", 401), ("down", 503)])
def test_userinfo_fails_on_demand(
    kind: str, status: int, oauth2_login_provider: DevProvider
) -> None:
    client = make_app(oauth2_login_provider).test_client()
    oauth2_login_provider.sign_in(client)
    refuse(oauth2_login_provider, userinfo=kind)
    assert client.get("/profile").status_code == status


def test_userinfo_answers_late_on_demand(
    oauth2_login_provider: DevProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_app(oauth2_login_provider).test_client()
    oauth2_login_provider.sign_in(client)
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    assert client.get("/profile").status_code == 200
    assert slept == []
    refuse(oauth2_login_provider, userinfo="slow")
    assert client.get("/profile").get_json()["name"] == "Ada Lovelace"
    assert slept == [3]


def test_its_pages_have_the_name_that_is_chosen() -> None:
    with run(name="Example Corp") as provider:
        begun = str(make_app(provider).test_client().get("/login").location)
        for url in (provider.issuer, begun, f"{provider.issuer}/oauth2/end_session"):
            page = requests.get(url, timeout=5).text
            assert "Example Corp" in page
            assert "Local provider" not in page


@pytest.mark.parametrize("people", ["[]", '{"ada": 1}', "nonsense"])
def test_a_file_of_people_is_something_else(people: str, tmp_path: Path) -> None:
    path = tmp_path / "people.json"
    path.write_text(people, "utf-8")
    result = CliRunner().invoke(dev_provider, ["--people", str(path)])
    assert result.exit_code == 1
    assert "people.json" in result.output
    assert "Traceback" not in result.output


def test_the_port_is_taken(oauth2_login_provider: DevProvider) -> None:
    port = oauth2_login_provider.issuer.rpartition(":")[2]
    result = CliRunner().invoke(dev_provider, ["--port", port])
    assert result.exit_code == 1
    assert "in use" in result.output


def test_the_lines_that_it_prints_ask_for_the_scopes_of_the_command() -> None:
    command = [sys.executable, "-m", "flask", "oauth2", "dev-provider", "--port", "0"]
    with subprocess.Popen(
        [*command, "--scope", "repo"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        process.terminate()
    assert 'OAuth2Login(sso, name="sso", scope="profile email repo")' in lines[3]
