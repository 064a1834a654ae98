"""Where one goes after a sign-in or sign-out: to this site only."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from flask import Flask

from flask_oauth2_login import OAuth2Login, OpenIDConnect, login_required
from tests.conftest import MakeApp
from tests.support.handlers import make_handler
from tests.support.provider import Browser, Provider
from tests.support.visitors import in_wsgi

#: What `urlsplit` does not take.
NO_URLS = ["http://[", "http://a]", "http://\u2100"]


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


@pytest.mark.security("A8")
@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "\t//evil.example",
        " //evil.example",
        "https://evil.example",
        "https:evil.example",
        "http://localhost@evil.example/",
        "http://localhost/",
        "javascript:alert(1)",
        "data:text/html,x",
        "/%2F/evil.example",
        "/%2f%2fevil.example",
        "/%5Cevil.example",
        "%2F%2Fevil.example",
        "/%252F%252Fevil.example",
        "/.//evil.example",
        "/..//evil.example",
        "/%09/evil.example",
        "evil.example",
        "?x",
        "",
        "/" + "a" * 3000,
        "/\x00",
        "/\u007f",
    ],
)
def test_next_stays_on_this_host(app: Flask, provider: Provider, target: str) -> None:
    client = app.test_client()
    response = client.get("/login", query_string={"next": target})
    callback = urlsplit(provider.consent(response.location))
    assert client.get(f"{callback.path}?{callback.query}").location == "/"


@pytest.mark.security("A8")
@pytest.mark.parametrize("target", ["/me", "/a/b?c=d&e=/f", "/ä", "/a//b", "/?next=//x"])
def test_a_path_is_kept(app: Flask, provider: Provider, target: str) -> None:
    client = app.test_client()
    response = client.get("/login", query_string={"next": target})
    callback = urlsplit(provider.consent(response.location))
    landed = client.get(f"{callback.path}?{callback.query}").location
    assert landed == target.replace("ä", "%C3%A4")


@pytest.mark.security("A8")
@pytest.mark.parametrize(
    "target",
    [
        "/%2e%2e//evil.example",
        "/%2E//evil.example",
        "/./..//evil.example",
        "/%0d%0a/evil.example",
        "/%00/evil.example",
        "/\r/evil.example",
        "/\x0b/evil.example",
        "/%2f%5cevil.example",
        "/%255c/evil.example",
        "/%5c%5cevil.example",
        "//localhost@evil.example",
        "///\t/evil.example",
        "/ /evil.example\n",
        "//[::1]/",
        "//evil.example:80/%2f..",
        "HTTPS://evil.example",
        "vbscript:x",
        "//%65vil.example",
        "\u2028//evil.example",
        "\u3002evil.example",
    ],
)
def test_further_ways_off_this_host_become_the_default_page(
    app: Flask, provider: Provider, target: str
) -> None:
    client = app.test_client()
    response = client.get("/login", query_string={"next": target})
    callback = urlsplit(provider.consent(response.location))
    assert client.get(f"{callback.path}?{callback.query}").location == "/"


@pytest.mark.security("A8")
def test_the_first_of_two_counts_and_both_are_checked(browser: Browser) -> None:
    assert browser.finish(browser.begin("/login?next=/me&next=//evil.example")).location == "/me"
    assert browser.finish(browser.begin("/login?next=//evil.example&next=/me")).location == "/"


@pytest.mark.security("A8")
def test_the_apps_own_default_page(provider: Provider, make_app: MakeApp) -> None:
    app = make_app(OAuth2Login(make_handler(provider)), OAUTH2_LOGIN_DEFAULT_NEXT="/home")
    assert Browser(app, provider).sign_in().location == "/home"
