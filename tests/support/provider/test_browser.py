"""The small browser keeps and sends cookies as Chromium does."""

from __future__ import annotations

import typing as t

import pytest
from flask import Flask, Response, jsonify, redirect, request

from . import Browser, Provider

SET = {
    "strict": "strict=1; Path=/; HttpOnly; SameSite=Strict",
    "lax": "lax=1; Path=/; SameSite=Lax",
    "plain": "plain=1; Path=/",
    "none": "none=1; Path=/; SameSite=None; Secure",
    "deep": "deep=1; Path=/deep; Max-Age=60",
}


@pytest.fixture
def app(provider: Provider) -> Flask:
    app = Flask("browsed")

    @app.get("/set")
    def set_cookies() -> Response:
        response = Response("set")
        for header in request.args.getlist("header") or SET.values():
            response.headers.add("Set-Cookie", header)
        return response

    @app.route("/seen", methods=["GET", "POST"])
    @app.route("/deep/seen", endpoint="deep")
    def seen() -> Response:
        return jsonify(cookies=sorted(request.cookies), headers=dict(request.headers))

    @app.get("/login")
    def login() -> t.Any:
        mode = request.args.get("mode", "query")
        url = "http://localhost/callback"
        return redirect(
            f"{provider.url}/authorize?client_id={provider.client_id}&redirect_uri={url}"
            f"&response_type=code&state=s&response_mode={mode}"
        )

    @app.route("/callback", methods=["GET", "POST"])
    def callback() -> t.Any:
        if not request.values:
            return seen()
        if request.args.get("state") == "refused":
            return "refused", 400
        return '<meta http-equiv="refresh" content="0; url=/callback">', 200

    return app


def names(response: t.Any) -> list[str]:
    return t.cast("list[str]", response.json["cookies"])


def set_header(browser: Browser, header: str) -> None:
    browser.send("GET", "/set?header=" + header.replace(";", "%3B").replace(" ", "%20"))


def test_what_travels(app: Flask) -> None:
    browser = Browser(app)
    browser.get("/set")
    everything = ["lax", "none", "plain", "strict"]
    assert names(browser.get("/seen")) == everything
    assert names(browser.post("/seen")) == everything
    assert names(browser.fetch("/seen")) == everything
    assert names(browser.get("/deep/seen")) == ["deep", *everything]
    assert names(browser.get("/seen", site="cross-site")) == ["lax", "none", "plain"]
    assert names(browser.post("/seen", site="cross-site")) == ["none"]
    assert names(browser.get("/seen", site="cross-site", dest="iframe")) == ["none"]
    assert names(browser.fetch("/seen", site="cross-site")) == ["none"]


def test_what_a_navigation_says(app: Flask) -> None:
    headers = Browser(app).post("/seen", {"a": "b"}, site="cross-site").get_json()["headers"]
    assert headers["Sec-Fetch-Site"] == "cross-site"
    assert (headers["Sec-Fetch-Mode"], headers["Sec-Fetch-Dest"]) == ("navigate", "document")
    assert headers["Origin"] == "null"
    insecure = Browser(app, base_url="http://app.example").get("/seen").get_json()["headers"]
    assert "Sec-Fetch-Site" not in insecure


def test_what_is_kept(app: Flask) -> None:
    browser = Browser(app)
    browser.get("/set")
    cookie = browser.cookie("strict")
    assert cookie is not None
    assert (cookie.samesite, cookie.httponly, cookie.secure) == ("Strict", True, False)
    assert (cookie.path, cookie.max_age) == ("/", None)
    deep = browser.cookie("deep")
    assert deep is not None
    assert deep.max_age == 60
    for gone in (
        "strict=; Path=/; Max-Age=0",
        "deep=; Path=/deep; expires=Thu, 01 Jan 1970 00:00:00 GMT",
    ):
        set_header(browser, gone)
    assert sorted(cookie.name for cookie in browser.cookies) == ["lax", "none", "plain"]


@pytest.mark.parametrize(
    "header",
    [
        f"large={'x' * 4096}; Path=/",
        "other=1; Domain=example.com",
        "open=1; SameSite=None",
        "__Host-a=1; Path=/; Domain=localhost; Secure",
    ],
    ids=lambda header: header[:8],
)
def test_what_is_refused(app: Flask, header: str) -> None:
    browser = Browser(app)
    set_header(browser, header)
    assert browser.cookies == []
    assert [name for name, _reason in browser.jar.refused] == [header.partition("=")[0]]


def test_secure_needs_tls_or_loopback(app: Flask) -> None:
    for base_url, kept in (
        ("http://127.0.0.1:5000", 1),
        ("https://app.example", 1),
        ("http://app.example", 0),
    ):
        browser = Browser(app, base_url=base_url)
        set_header(browser, "secure=1; Secure")
        assert len(browser.cookies) == kept


@pytest.mark.parametrize("mode", ["query", "form_post"])
def test_a_sign_in_comes_home(app: Flask, provider: Provider, mode: str) -> None:
    browser = Browser(app, provider)
    browser.get("/set")
    home = browser.sign_in(f"/login?mode={mode}")
    # The page went on by itself, so that everything came along.
    assert names(home) == ["lax", "none", "plain", "strict"]
    assert home.get_json()["headers"]["Sec-Fetch-Site"] == "same-origin"
    assert len(provider.grants.all) == 1


def test_the_answer_of_the_callback_is_returned(app: Flask, provider: Provider) -> None:
    assert Browser(app, provider).sign_in(state="refused").status_code == 400


def test_a_mounted_app(app: Flask) -> None:
    browser = Browser(app, base_url="http://localhost/mounted")
    response = browser.get("/mounted/deep/seen")
    assert response.status_code == 200
    assert response.request.script_root == "/mounted"


def test_a_running_app(provider: Provider) -> None:
    browser = Browser(provider.url)
    assert browser.get("/jwks").json == provider.jwks()
    assert provider.requests[0].headers["Sec-Fetch-Mode"] == "navigate"
