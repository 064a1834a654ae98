"""The example: started as the README says, and as `flask --app example_app`."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import typing as t
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from example_app import create_app
from flask_oauth2_login import ConfigurationError
from tests.support import ROOT
from tests.support.provider import Provider
from tests.support.provider.browser import Browser

#: Seconds for a process to end.
PATIENCE = 20


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("FLASK_", "GITHUB_", "GOOGLE_", "PROVIDER_")):
            monkeypatch.delenv(name)


@contextmanager
def running(*arguments: str, **variables: str) -> t.Iterator[tuple[subprocess.Popen[str], str]]:
    """The example as a process of its own, on free ports, and its URL."""
    # In a shell's background job it is ignored, and a process inherits that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", "example_app", "--port=0", "--provider-port=0", *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    signal.signal(signal.SIGINT, before)
    with process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"http://[\w.]+:\d+/", line)
            yield process, found[0] if found else ""
        finally:
            process.kill()


def test_somebody_signs_in_at_the_examples_own_provider_and_out_again() -> None:
    with running() as (_, url), requests.Session() as visitor:
        visitor.trust_env = False
        visitor.headers["Accept"] = "text/html"
        assert "Nobody is signed in" in visitor.get(url).text
        form = visitor.get(f"{url}profile")
        assert urlsplit(form.url).port != urlsplit(url).port
        profile = visitor.post(form.url, data={"sub": "grace"})
        assert profile.url == f"{url}profile"
        assert "grace@example.com" in profile.text
        assert "Hello, Grace Hopper" in visitor.get(url).text
        visitor.post(f"{url}logout", headers={"Origin": url.rstrip("/")})
        assert "Nobody is signed in" in visitor.get(url).text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_it_quietly_and_gives_both_ports_back(number: signal.Signals) -> None:
    with running() as (process, url):
        with requests.Session() as visitor:
            visitor.trust_env = False
            provider = visitor.get(f"{url}profile", headers={"Accept": "text/html"}).url
            process.send_signal(number)
            _, errors = process.communicate(timeout=PATIENCE)
        assert (process.returncode, errors) == (0, "")
        for ended in (url, provider):
            with socket.socket() as client:
                assert client.connect_ex(("127.0.0.1", urlsplit(ended).port or 0)) != 0


def test_a_port_that_is_taken_ends_it_with_a_word_and_leaves_nothing_running() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running(f"--port={port}") as (process, _):
            _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert f"Port {port} is in use" in errors


def test_the_flask_command_needs_nothing_and_importing_starts_nothing() -> None:
    code = (
        "import threading, socket; before = threading.active_count()\n"
        "import example_app; app = example_app.create_app()\n"
        "import sys; assert 'oidc_provider_mock' not in sys.modules\n"
        "assert threading.active_count() == before"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    routes = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "example_app", "routes"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for path in ("/login", "/callback", "/logout", "/profile"):
        assert re.search(rf" {path}\b", routes.stdout), routes.stdout


def test_without_a_provider_the_home_page_works_and_the_profile_says_what_is_wrong() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    visitor = Browser(create_app(f"http://localhost:{port}"))
    assert visitor.get("/").status_code == 200
    answer = visitor.follow(visitor.get("/profile"))
    assert answer.status_code == 503
    assert "is not responding" in answer.text


@pytest.mark.parametrize("prefix", ["", "FLASK_"])
@pytest.mark.parametrize(
    ("name", "host"), [("GITHUB", "github.com"), ("GOOGLE", "accounts.google.com")]
)
def test_variables_of_the_environment_choose_a_provider(
    monkeypatch: pytest.MonkeyPatch, prefix: str, name: str, host: str
) -> None:
    monkeypatch.setenv(f"{prefix}{name}_CLIENT_ID", "123456")
    monkeypatch.setenv(f"{prefix}{name}_CLIENT_SECRET", "shh")
    handler = create_app().extensions["oauth2_login"].get(name.lower()).handler
    assert (handler.client_id, handler.client_secret) == ("123456", "shh")
    assert host in {urlsplit(handler.site).hostname, urlsplit(handler.authorization_url).hostname}


def test_github_is_asked_to_sign_somebody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_CLIENT_ID", "the-app")
    monkeypatch.setenv("GITHUB_CLIENT_SECRET", "shh")
    url = urlsplit(Browser(create_app(), base_url="http://127.0.0.1:5000").begin("/profile"))
    assert url._replace(query="").geturl() == "https://github.com/login/oauth/authorize"
    asked = parse_qs(url.query)
    assert asked["client_id"] == ["the-app"]
    assert asked["redirect_uri"] == ["http://127.0.0.1:5000/callback"]


def test_no_provider_is_started_where_another_is_named() -> None:
    github = {"GITHUB_CLIENT_ID": "the-app", "GITHUB_CLIENT_SECRET": "shh"}
    with running(**github) as (process, url), requests.Session() as visitor:
        visitor.trust_env = False
        answer = visitor.get(f"{url}login", allow_redirects=False)
        assert answer.headers["Location"].startswith("https://github.com/login/oauth/authorize?")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("way", ["endpoints", "issuer"])
def test_any_provider_will_do(
    monkeypatch: pytest.MonkeyPatch, provider: Provider, way: str
) -> None:
    variables = {
        "CLIENT_ID": provider.client_id,
        "CLIENT_SECRET": str(provider.client_secret),
        "USERINFO_URL": f"{provider.url}/userinfo",
        "SCOPE": "profile email",
    }
    if way == "issuer":
        variables["ISSUER"] = provider.issuer
    else:
        variables["AUTHORIZATION_URL"] = f"{provider.url}/authorize"
        variables["TOKEN_URL"] = f"{provider.url}/token"
    for name, value in variables.items():
        monkeypatch.setenv(f"PROVIDER_{name}", value)
    visitor = Browser(create_app(), provider)
    visitor.sign_in("/profile")
    assert "ada@example.com" in visitor.get("/profile").text


def test_what_is_missing_of_a_provider_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVIDER_CLIENT_ID", "the-app")
    with pytest.raises(ConfigurationError, match="PROVIDER_USERINFO_URL"):
        create_app()
