"""The example: started as the README says, and as `flask --app example_app`."""

from __future__ import annotations

import functools
import os
import re
import signal
import socket
import subprocess
import sys
import typing as t
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
import requests
from flask import Flask

from example_app import create_app
from flask_oauth2_login import ConfigurationError
from tests.support import ROOT
from tests.support.provider import Provider
from tests.support.provider.browser import Browser

#: Seconds for a process to end.
PATIENCE = 20


def remove_variables(patch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("FLASK_", "GITHUB_", "GOOGLE_", "PROVIDER_")):
            patch.delenv(name)


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    remove_variables(monkeypatch)


@pytest.fixture
def make_example(tmp_path: Path) -> t.Callable[..., Flask]:
    """`create_app`, for an app whose files are in a folder of the test."""
    return functools.partial(create_app, instance_path=str(tmp_path))


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


@pytest.fixture(scope="module")
def example() -> t.Iterator[str]:
    """The URL of the example with its own providers, for tests that leave nobody signed in."""
    with pytest.MonkeyPatch.context() as patch:
        remove_variables(patch)
        with running() as (_, url):
            yield url


class Visitor(requests.Session):
    """Somebody with a browser at the example."""

    def __init__(self, url: str, user_agent: str = "Firefox on Linux") -> None:
        super().__init__()
        self.trust_env = False
        self.headers.update({"Accept": "text/html", "User-Agent": user_agent})
        self.url = url

    def open(self, path: str) -> requests.Response:
        return self.get(f"{self.url}{path}")

    def follow(self, page: requests.Response, text: str) -> requests.Response:
        """Follow the link of a page that has this text."""
        (found,) = re.findall(rf'<a [^>]*href="([^"]*)"[^>]*>(?:<img[^>]*>)?{text}</a>', page.text)
        return self.get(urljoin(page.url, unescape(found)))

    def submit(self, path: str, **form: str) -> requests.Response:
        return self.post(f"{self.url}{path}", data=form, headers={"Origin": self.url.rstrip("/")})

    def sign_in(self, label: str, sub: str) -> requests.Response:
        """Sign in by the button of the home page."""
        form = self.follow(self.open(""), f"Sign in with {label}")
        return self.post(form.url, data={"sub": sub})

    def add_account(self, label: str, sub: str) -> requests.Response:
        form = self.follow(self.open("account"), f"Add an account at {label}")
        return self.post(form.url, data={"sub": sub})

    def sign_out(self) -> requests.Response:
        (path,) = re.findall(r'action="/(\w+/logout)"', self.open("").text)
        return self.submit(path, every="1")

    def api(self) -> requests.Response:
        headers = {"Accept": "application/json"}
        return self.get(f"{self.url}api/profile", headers=headers)


@pytest.mark.parametrize(
    ("label", "sub", "name", "email"),
    [
        ("Example Corp", "grace", "Grace Hopper", "grace@example.com"),
        ("Example Club", "alan", "Alan Turing", "alan@club.example"),
    ],
    ids=["corp", "club"],
)
def test_somebody_signs_in_at_either_provider_and_out_again(
    example: str, label: str, sub: str, name: str, email: str
) -> None:
    with Visitor(example) as visitor:
        assert "Nobody is signed in" in visitor.open("").text
        home = visitor.sign_in(label, sub)
        assert home.url == example
        assert f"You are signed in with {label}" in home.text
        profile = visitor.follow(home, "See your profile")
        assert name in profile.text
        assert '<img src="data:image/svg+xml,' in profile.text
        assert visitor.api().json() == {
            "email": email,
            "email_verified": True,
            "name": name,
            "sub": sub,
        }
        without_script = visitor.follow(profile, f"Ask {label}")
        assert f"<dt>sub</dt><dd>{sub}</dd>" in without_script.text
        visitor.sign_out()
        assert "Nobody is signed in" in visitor.open("").text
        assert visitor.api().status_code == 401


def test_accounts_are_added_and_removed(example: str) -> None:
    with Visitor(example) as visitor:
        visitor.sign_in("Example Corp", "ada")
        assert "Remove" not in visitor.open("account").text
        account = visitor.add_account("Example Club", "countess")
        assert account.url == f"{example}account"
        assert "Remove Ada Lovelace at Example Corp" in account.text
        assert "Remove Ada King at Example Club" in account.text
        visitor.sign_out()
        # Either signs in the same user.
        visitor.sign_in("Example Club", "countess")
        assert "Remove Ada Lovelace at Example Corp" in visitor.open("account").text
        account = visitor.submit("account/remove", provider="corp", id="ada")
        assert "The account is removed" in account.text
        assert "Ada Lovelace" not in account.text
        refused = visitor.submit("account/remove", provider="club", id="countess")
        assert refused.status_code == 409
        assert "the only one that you can sign in with" in refused.text
        visitor.sign_out()
        visitor.sign_in("Example Corp", "ada")
        assert "Ada King" not in visitor.open("account").text
        visitor.sign_out()


@pytest.mark.parametrize("store", ["cookie", "session"])
def test_the_account_says_what_needs_a_store_on_the_server(store: str) -> None:
    with running(FLASK_OAUTH2_LOGIN_STORE=store) as (_, url), Visitor(url) as visitor:
        visitor.sign_in("Example Corp", "ada")
        account = visitor.open("account")
        assert account.status_code == 200
        assert "Browsers keep the sign-ins of this app" in account.text
        assert "Ada Lovelace" in account.text
        assert "Add an account" not in account.text
        assert "Sign out everywhere" not in account.text


def test_an_account_that_is_removed_is_signed_out_everywhere(example: str) -> None:
    with Visitor(example) as visitor, Visitor(example) as elsewhere:
        visitor.sign_in("Example Corp", "mary")
        visitor.add_account("Example Club", "mary")
        elsewhere.sign_in("Example Club", "mary")
        visitor.submit("account/remove", provider="club", id="mary")
        assert elsewhere.api().status_code == 401
        assert visitor.api().status_code == 200
        visitor.sign_out()


def test_an_account_of_somebody_else_is_neither_added_nor_removed(example: str) -> None:
    with Visitor(example) as visitor, Visitor(example) as other:
        other.sign_in("Example Club", "alan")
        visitor.sign_in("Example Corp", "grace")
        refused = visitor.add_account("Example Club", "alan")
        assert refused.status_code == 409
        assert "belongs to another user" in refused.text
        assert "Go to the home page" in refused.text
        assert visitor.submit("account/remove", provider="club", id="alan").status_code == 409
        assert visitor.submit("account/remove", provider="nobody", id="x").status_code == 409
        assert "Alan Turing" in other.open("").text
        visitor.sign_out()
        other.sign_out()


def test_somebody_sees_where_they_are_signed_in_and_ends_it(example: str) -> None:
    phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) Version/26.0 Safari/604.1"
    with Visitor(example) as here, Visitor(example, phone) as there:
        there.sign_in("Example Corp", "edith")
        here.sign_in("Example Corp", "edith")
        account = here.open("account").text
        assert account.index("Firefox on Linux") < account.index("Safari on iPhone")
        assert account.count("this browser") == account.count(">Sign out there<") == 1
        (id,) = re.findall(r'name="id" value="([^"]+)" aria-label="Sign out there', account)
        ended = here.submit("account/sign-out", id=id)
        assert "You are signed out there" in ended.text
        assert "Safari on iPhone" not in ended.text
        assert there.api().status_code == 401
        there.sign_in("Example Corp", "edith")
        home = here.submit("account/sign-out")
        assert "You are signed out everywhere" in home.text
        assert "Nobody is signed in" in home.text
        assert there.api().status_code == here.api().status_code == 401


def test_signing_out_everywhere_ends_the_logins_of_each_provider(example: str) -> None:
    with Visitor(example) as here, Visitor(example) as there:
        here.sign_in("Example Corp", "dorothy")
        here.add_account("Example Club", "dorothy")
        there.sign_in("Example Club", "dorothy")
        assert here.open("account").text.count("this browser") == 2
        here.submit("account/sign-out")
        assert there.api().status_code == here.api().status_code == 401


def test_the_apps_own_forms_need_its_cookie_which_other_sites_do_not_send(example: str) -> None:
    with Visitor(example) as visitor:
        visitor.sign_in("Example Corp", "grace")
        (cookie,) = [each for each in visitor.cookies if each.name == "session"]
        assert cookie.get_nonstandard_attr("SameSite") == "Lax"
        visitor.sign_out()
        for path in ("account/remove", "account/sign-out"):
            assert visitor.submit(path, provider="corp", id="grace").status_code == 401


def test_a_page_that_does_not_exist_has_the_apps_look(example: str) -> None:
    with Visitor(example) as visitor:
        answer = visitor.open("no-such-page")
        assert answer.status_code == 404
        assert "There is no such page" in answer.text
        assert "Go to the home page" in answer.text
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")
        icon = visitor.open("favicon.ico")
        assert icon.headers["Content-Type"].startswith("image/svg+xml")
        # The extension's own pages have the app's name and logo.
        choose = visitor.open("account")
        assert choose.status_code == 401
        assert '<img src="/static/favicon.svg" alt="">Example' in choose.text


def test_a_provider_that_fails_is_told(example: str) -> None:
    with Visitor(example) as visitor:
        visitor.sign_in("Example Corp", "grace")
        provider = visitor.follow(visitor.open("profile"), "Ask Example Corp")
        assert provider.status_code == 200
        form = visitor.get(f"{example}corp/login").url
        refuse = urljoin(form, "/refuse")
        visitor.post(refuse, data={"userinfo": "down"})
        assert visitor.api().status_code == 502
        assert visitor.open("profile?details=1").status_code == 502
        visitor.post(refuse)
        assert visitor.api().status_code == 200
        visitor.sign_out()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_it_quietly_and_gives_its_ports_back(number: signal.Signals) -> None:
    with running() as (process, url):
        with requests.Session() as visitor:
            visitor.trust_env = False
            paths = ("corp/login", "club/login")
            providers = [visitor.get(f"{url}{path}").url for path in paths]
            process.send_signal(number)
            _, errors = process.communicate(timeout=PATIENCE)
        # The redirect URIs are told where an app is developed.
        told = [line for line in errors.splitlines() if "the redirect URI that is sent" not in line]
        assert (process.returncode, told) == (0, [])
        assert len({urlsplit(each).netloc for each in (url, *providers)}) == 3
        for ended in (url, *providers):
            with socket.socket() as client:
                assert client.connect_ex(("127.0.0.1", urlsplit(ended).port or 0)) != 0


def test_a_port_that_is_taken_ends_it_with_a_word_and_leaves_nothing_running() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running(f"--port={port}") as (process, _):
            _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert f"Port {port} is in use" in errors


def test_the_flask_command_needs_nothing_and_importing_starts_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, threading, socket; before = threading.active_count()\n"
        "import example_app; app = example_app.create_app(instance_path=sys.argv[1])\n"
        "assert 'oidc_provider_mock' not in sys.modules\n"
        "assert threading.active_count() == before"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True)
    app = f"example_app:create_app(instance_path={str(tmp_path)!r})"
    routes = subprocess.run(
        [sys.executable, "-m", "flask", "--app", app, "routes"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for path in ("/corp/login", "/club/callback", "/club/logout", "/profile", "/account"):
        assert re.search(rf" {path}\b", routes.stdout), routes.stdout


def test_without_a_provider_the_home_page_works_and_the_profile_says_what_is_wrong(
    make_example: t.Callable[..., Flask],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    visitor = Browser(make_example({"corp": f"http://localhost:{port}"}))
    assert visitor.get("/").status_code == 200
    answer = visitor.follow(visitor.get("/profile"))
    assert answer.status_code == 503
    assert "is not responding" in answer.text


@pytest.mark.parametrize("prefix", ["", "FLASK_"])
@pytest.mark.parametrize(
    ("name", "host"), [("GITHUB", "github.com"), ("GOOGLE", "accounts.google.com")]
)
def test_variables_of_the_environment_choose_a_provider(
    monkeypatch: pytest.MonkeyPatch,
    make_example: t.Callable[..., Flask],
    prefix: str,
    name: str,
    host: str,
) -> None:
    monkeypatch.setenv(f"{prefix}{name}_CLIENT_ID", "123456")
    monkeypatch.setenv(f"{prefix}{name}_CLIENT_SECRET", "shh")
    handler = make_example().extensions["oauth2_login"].get(name.lower()).handler
    assert (handler.client_id, handler.client_secret) == ("123456", "shh")
    assert host in {urlsplit(handler.site).hostname, urlsplit(handler.authorization_url).hostname}


def test_several_providers_are_chosen_at_once(
    monkeypatch: pytest.MonkeyPatch, make_example: t.Callable[..., Flask]
) -> None:
    for name in ("GITHUB", "GOOGLE"):
        monkeypatch.setenv(f"{name}_CLIENT_ID", "123456")
        monkeypatch.setenv(f"{name}_CLIENT_SECRET", "shh")
    home = Browser(make_example()).get("/").text
    assert "Sign in with GitHub" in home
    assert "Sign in with Google" in home
    assert "Example Corp" not in home


def test_github_is_asked_to_sign_somebody_in(
    monkeypatch: pytest.MonkeyPatch, make_example: t.Callable[..., Flask]
) -> None:
    monkeypatch.setenv("GITHUB_CLIENT_ID", "the-app")
    monkeypatch.setenv("GITHUB_CLIENT_SECRET", "shh")
    url = urlsplit(Browser(make_example(), base_url="http://127.0.0.1:5000").begin("/profile"))
    assert url._replace(query="").geturl() == "https://github.com/login/oauth/authorize"
    asked = parse_qs(url.query)
    assert asked["client_id"] == ["the-app"]
    assert asked["redirect_uri"] == ["http://127.0.0.1:5000/github/callback"]


def test_no_provider_is_started_where_another_is_named() -> None:
    github = {"GITHUB_CLIENT_ID": "the-app", "GITHUB_CLIENT_SECRET": "shh"}
    with running(**github) as (process, url), requests.Session() as visitor:
        visitor.trust_env = False
        answer = visitor.get(f"{url}github/login", allow_redirects=False)
        assert answer.headers["Location"].startswith("https://github.com/login/oauth/authorize?")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("way", ["endpoints", "issuer"])
def test_any_provider_will_do(
    monkeypatch: pytest.MonkeyPatch,
    make_example: t.Callable[..., Flask],
    provider: Provider,
    way: str,
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
    visitor = Browser(make_example(), provider)
    visitor.sign_in("/profile")
    assert "ada@example.com" in visitor.get("/profile?details=1").text


def test_what_is_missing_of_a_provider_is_named(
    monkeypatch: pytest.MonkeyPatch, make_example: t.Callable[..., Flask]
) -> None:
    monkeypatch.setenv("PROVIDER_CLIENT_ID", "the-app")
    with pytest.raises(ConfigurationError, match="PROVIDER_USERINFO_URL"):
        make_example()
