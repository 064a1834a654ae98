"""The session for an API: where the token goes, what a call costs, and what errors tell."""

from __future__ import annotations

import logging
import socket
import threading
import time
import tracemalloc
import typing as t
import zlib

import pytest
import requests
from flask import Flask
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from flask_oauth2_login import (
    ConfigurationError,
    OAuth2,
    OAuth2Login,
    OAuth2Session,
    ProviderError,
    Token,
    TokenError,
    current_oauth_session,
    login_required,
)
from flask_oauth2_login.protocol import http_options
from tests.conftest import MakeApp, MakeProvider
from tests.support.handlers import CALLBACK, make_handler, make_session
from tests.support.provider import (
    CUT_AFTER,
    CUT_BEFORE,
    CUT_IN_HEADERS,
    HANG,
    REDIRECT,
    Answer,
    Browser,
    Misbehaviour,
    Provider,
    Request,
)
from tests.support.provider.misbehaviour import Behave
from tests.support.provider.server import Connection

MEGABYTE = 1024 * 1024


def told_by(error: BaseException | None) -> str:
    """All that an exception says, with those that it was raised from."""
    told = ""
    while error is not None:
        told += f"{error!r} {error}\n"
        error = error.__cause__ or error.__context__
    return told


class EndlessRedirect(Misbehaviour):
    """A redirect whose body never ends."""

    def play(self, connection: Connection, request: Request, behave: Behave) -> Answer | None:
        connection.send(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


@pytest.mark.security("B1")
@pytest.mark.parametrize("kind", ["bomb", "endless"])
@pytest.mark.parametrize("path", ["/token", "/userinfo"])
def test_a_redirects_body_is_bounded_too(provider: Provider, path: str, kind: str) -> None:
    if kind == "bomb":
        headers = {"Location": "/x", "Content-Encoding": "deflate"}
        bomb = zlib.compress(b" " * (100 * MEGABYTE))
        provider.on(path, Answer(302, bomb, headers=headers))
    else:
        provider.on(path, EndlessRedirect())
    handler = make_handler(provider, redirect_uri=CALLBACK, timeout=(1, 1))
    ask: dict[str, t.Callable[[], object]] = {
        "/token": lambda: handler.get_token("code"),
        "/userinfo": lambda: handler.fetch_identity(Token(access_token="x")),
    }
    tracemalloc.start()
    try:
        with pytest.raises(ProviderError):
            ask[path]()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * MEGABYTE


@pytest.mark.security("B1")
def test_a_handshake_that_never_comes_counts_towards_the_total(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_options, "MAX_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        handler = OAuth2("id", "secret", url, CALLBACK, timeout=(20, 1))
        began = time.monotonic()
        with pytest.raises(ProviderError):
            handler.get_token("code")
    assert time.monotonic() - began < 10


@pytest.mark.security("B1")
@pytest.mark.parametrize(
    "timeout", [None, 0, -1, "5", True, float("nan"), (5, None), (5, 0), (1, 2, 3)]
)
def test_a_timeout_that_bounds_nothing_is_refused_at_once(timeout: t.Any) -> None:
    with pytest.raises(ConfigurationError, match="timeout"):
        OAuth2("id", "secret", "https://provider.example", timeout=timeout)


@pytest.mark.security("B6")
@pytest.mark.parametrize("client_auth", ["client_secret_post", "client_secret_basic"])
@pytest.mark.parametrize("token_request", ["form", "json"])
def test_a_public_client_has_no_empty_secret_either(
    make_provider: MakeProvider, client_auth: str, token_request: str
) -> None:
    provider = make_provider(client_secret=None, json_requests=True)
    make_session(provider, client_auth=client_auth, token_request=token_request)
    (call,) = provider.calls("/token")
    assert b"client_secret" not in call.body
    assert "Authorization" not in call.headers


@pytest.mark.security("C1")
@pytest.mark.parametrize("client_auth", ["client_secret_post", "client_secret_basic"])
@pytest.mark.parametrize("token_request", ["form", "json"])
def test_a_request_that_is_quoted_as_it_was_sent_tells_no_secret(
    make_provider: MakeProvider, client_auth: str, token_request: str
) -> None:
    provider = make_provider(client_secret='a:b%c d+é/="&\\')

    def quote(request: Request) -> Answer:
        headers = request.headers.get("Authorization", "")
        quoted = f"{request.body.decode()} {headers}"
        return Answer(400, {"error": "invalid_request", "error_description": quoted})

    provider.on("/token", quote)
    handler = make_handler(
        provider, redirect_uri=CALLBACK, client_auth=client_auth, token_request=token_request
    )
    with pytest.raises(TokenError) as caught:
        handler.get_token("4/0AX é", code_verifier="the-verifier")
    told = told_by(caught.value)
    assert "redirect_uri" in told
    for secret in ("0AX", "the-verifier", "a:b", "a%3Ab", "Basic dGhl"):
        assert secret not in told


@pytest.mark.security("C1")
def test_what_is_made_of_a_token_has_a_discreet_repr() -> None:
    token = Token(access_token="the-secret", refresh_token="the-secret")
    for made in (token.copy(), token | {"x": 1}, {"x": 1} | token):
        assert made["access_token"] == "the-secret"
        assert "the-secret" not in repr(made)


@pytest.mark.security("C1")
def test_a_proxys_password_is_in_no_repr(provider: Provider) -> None:
    handler = make_handler(provider, proxies={"https": "http://user:the-password@proxy"})
    assert "the-password" not in f"{handler!r} {handler.resource_server!r} {handler.http_options!r}"


@pytest.mark.security("C1")
@pytest.mark.parametrize("bearer_method", ["header", "query"])
def test_calls_that_are_tried_again_tell_no_token(
    provider: Provider, caplog: pytest.LogCaptureFixture, bearer_method: str
) -> None:
    caplog.set_level(logging.DEBUG)
    api = make_session(provider, bearer_method=bearer_method)
    retry = Retry(2, status_forcelist=[503], backoff_factor=0)
    api.mount("http://", HTTPAdapter(max_retries=retry))
    provider.on("/api/x", Answer(503))
    with pytest.raises(ProviderError) as caught:
        api.get("x")
    calls = provider.calls("/api/x")
    assert len(calls) == 3
    assert "Incremented Retry" in caplog.text
    assert str(calls[0].access_token()) not in told_by(caught.value) + caplog.text


def prepare(api: OAuth2Session, url: str) -> requests.PreparedRequest:
    return api.prepare_request(requests.Request("GET", url))


def test_a_prepared_request_has_the_providers_timeout(provider: Provider) -> None:
    api = make_session(provider, timeout=(1, 1))
    with pytest.raises(ProviderError):
        api.send(prepare(api, f"{provider.api_url}/slow?seconds=8"))


@pytest.mark.security("C1")
@pytest.mark.parametrize("bearer_method", ["header", "query"])
def test_a_prepared_request_that_fails_tells_no_token(
    provider: Provider, bearer_method: str
) -> None:
    api = make_session(provider, bearer_method=bearer_method)
    token = str(api.get("x").json()["token"])
    prepared = prepare(api, f"{provider.api_url}/x")
    provider.down()
    with pytest.raises(ProviderError) as caught:
        api.send(prepared)
    assert token not in told_by(caught.value)


@pytest.mark.security("C3")
@pytest.mark.parametrize("bearer_method", ["header", "query", "header:X-Token"])
def test_a_signed_request_is_not_sent_elsewhere(
    provider: Provider, make_provider: MakeProvider, bearer_method: str
) -> None:
    other = make_provider()
    api = make_session(provider, bearer_method=bearer_method)
    prepared = prepare(api, f"{provider.api_url}/x")
    prepared.url = str(prepared.url).replace(provider.url, other.url)
    with pytest.raises(ConfigurationError, match="api_origins"):
        api.send(prepared)
    assert not other.requests


@pytest.mark.security("C5")
def test_a_request_that_visitors_share_remembers_none_of_them(provider: Provider) -> None:
    shared = requests.Request("GET", f"{provider.api_url}/x")
    ada, bob = make_session(provider), make_session(provider)
    sent = [api.send(api.prepare_request(shared)).json()["token"] for api in (ada, bob, ada)]
    assert sent[0] == sent[2] != sent[1]
    assert shared.auth is None
    assert "Authorization" not in shared.prepare().headers


@pytest.mark.parametrize(
    "path", ["/x?url=http://example.com/", "x?url=http://example.com/", "x#http://example.com/"]
)
def test_a_url_in_a_relative_urls_query_makes_it_no_other(provider: Provider, path: str) -> None:
    assert make_session(provider).get(path).json()["path"] == "/api/x"


def test_a_url_in_an_endpoints_query_makes_it_no_other() -> None:
    endpoint = "authorize?audience=https://api.example/"
    handler = OAuth2("id", "secret", "https://provider.example", authorization_url=endpoint)
    assert handler.authorize_url().startswith(f"https://provider.example/{endpoint}&")


class Link:
    """What an app may use for a URL: requests takes anything that has a string."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __str__(self) -> str:
        return self._url


def test_a_url_may_be_bytes_or_an_object(provider: Provider) -> None:
    api = make_session(provider)
    assert api.get(b"x").json()["path"] == "/api/x"
    assert api.get(t.cast(str, Link("x"))).json()["path"] == "/api/x"
    # No text, and so nothing that exists there; but no traceback either.
    assert api.get(b"\xff").json()["path"] == "/api/%EF%BF%BD"


@pytest.mark.security("C3")
@pytest.mark.parametrize(
    "url", ["http://[", "http://", "http://127.0.0.1:99999/", "http://*/", Link("http://[")]
)
def test_what_is_no_url_is_refused(provider: Provider, url: t.Any) -> None:
    api = make_session(provider)
    before = len(provider.requests)
    with pytest.raises(ConfigurationError, match="api_origins"):
        api.get(url)
    assert len(provider.requests) == before


@pytest.mark.parametrize(
    "location",
    [
        "http://[",
        "http://",
        "https://\x80/",
        "https://\xff\xfe/",
        "http://*.x/",
        "http://127.0.0.1:99999/",
        f"http://{'a' * 70}.example/",
        "ftp://127.0.0.1/x",
        "mailto:x",
    ],
)
@pytest.mark.parametrize("bearer_method", ["header", "query"])
def test_a_redirect_to_nowhere_is_the_providers_error(
    provider: Provider, location: str, bearer_method: str
) -> None:
    api = make_session(provider, bearer_method=bearer_method)
    provider.on("/api/x", Answer(302, headers={"Location": location}))
    with pytest.raises(ProviderError) as caught:
        api.get("x")
    assert caught.value.code in {502, 503}
    assert str(provider.calls("/api/x")[0].access_token()) not in told_by(caught.value)


@pytest.mark.security("C7")
@pytest.mark.parametrize(
    ("challenge", "renewed"),
    [
        ('Bearer Error="invalid_token"', 1),
        ("bearer ERROR=invalid_token", 1),
        ('Basic realm="x", Bearer error="invalid_token"', 1),
        ('Bearer scope="error=x" , error = "invalid_token"', 1),
        ('Bearer error_description="not error=invalid_request", error="invalid_token"', 1),
        (r'Bearer error_description="say \"error=\"x\"", error="invalid_token"', 1),
        ('Bearer error_description="error=invalid_token", error="invalid_request"', 0),
        ('Bearer realm="error=insufficient_user_authentication"', 0),
        ('Bearer error="insufficient_scope"', 0),
        ('Bearer realm="x", Basic error="invalid_token"', 0),
        ('Bearer error="request_unauthorized", error_description="The token expired."', 1),
        ('Bearer error="token_expired"', 1),
        ('Basic error="invalid_token"', 1),
        ('OAuth realm="https://api.example"', 1),
        ("", 1),
    ],
)
def test_a_challenge_is_read_as_it_is_meant(
    provider: Provider, make_app: MakeApp, challenge: str, renewed: int
) -> None:
    browser = Browser(make_app(OAuth2Login(make_handler(provider))), provider)
    browser.sign_in()
    provider.on("/api/x", Answer(401, {}, headers={"WWW-Authenticate": challenge}), times=1)
    assert browser.fetch("/call/x").status_code == (200 if renewed else 401)
    assert len(provider.calls("/token", grant_type="refresh_token")) == renewed


@pytest.mark.security("C1")
@pytest.mark.parametrize(
    "options",
    [
        {"bearer_method": "header"},
        {"bearer_method": "query"},
        {"userinfo_params": {"access_token": "token:access_token"}},
    ],
)
def test_no_secret_reaches_a_log_or_an_exception(
    make_app: MakeApp,
    provider: Provider,
    caplog: pytest.LogCaptureFixture,
    options: dict[str, t.Any],
) -> None:
    caplog.set_level(logging.DEBUG)
    app = make_app(OAuth2Login(make_handler(provider, **options)))
    browser = Browser(app, provider)
    browser.sign_in()
    browser.fetch("/call/x")
    provider.grants.expire_access()
    browser.fetch("/call/x")
    provider.on("/api/*", CUT_IN_HEADERS)
    with pytest.raises(ValueError, match="line 1"):
        browser.fetch("/call/x")
    provider.off()
    provider.down()
    assert browser.fetch("/call/x").status_code == 503
    browser.sign_in(code="a-code-that-nobody-knows", provider=provider)
    form = provider.calls("/token")[0].form
    used = {str(call.access_token()) for call in provider.calls("/userinfo")}
    told = "\n".join(f"{record.getMessage()} {record.exc_text}" for record in caplog.records)
    sent = {form["code"], form["code_verifier"], form["client_secret"]}
    for secret in sent | used | {"a-code-that-nobody-knows"}:
        assert secret not in told
    assert "access_token=" not in told


@pytest.mark.security("C3")
@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "http://evil.example/",
        "//evil.example/x://",
        "https://evil.example\\@{host}/",
        "http://{host}@evil.example/",
        "http://127.0.0.1.evil.example/",
        "http://127.0.0.1:1/",
        "https://{host}/",
        "ftp://{host}/",
    ],
)
def test_the_token_goes_to_the_provider_only(provider: Provider, url: str) -> None:
    api = make_session(provider)
    before = len(provider.requests)
    with pytest.raises(ConfigurationError, match=r"api_origins|http_hosts"):
        api.get(url.replace("{host}", provider.url.partition("://")[2]))
    assert len(provider.requests) == before


@pytest.mark.security("C3")
def test_another_origin_can_be_allowed(provider: Provider, make_provider: MakeProvider) -> None:
    other = make_provider()
    api = make_session(provider, api_origins=[other.url])
    api.get(f"{other.url}/api/x")
    assert other.calls("/api/x")[0].access_token() is not None


@pytest.mark.security("C3")
@pytest.mark.parametrize("bearer_method", ["header", "query", "header:X-Token"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_elsewhere_does_not_take_the_token_along(
    provider: Provider, make_provider: MakeProvider, status: int, bearer_method: str
) -> None:
    other = make_provider()
    api = make_session(provider, bearer_method=bearer_method, headers={"X-Key": "key"})
    provider.on("/api/redirect", REDIRECT(f"{other.url}/elsewhere", status))
    api.get("redirect")
    (call,) = other.calls("/elsewhere")
    headers = {name.lower() for name in call.headers}
    assert headers.isdisjoint({"authorization", "x-token", "x-key", "cookie"})
    assert "access_token" not in call.query


@pytest.mark.security("C3")
def test_a_redirect_at_the_provider_is_signed_again(provider: Provider) -> None:
    api = make_session(provider)
    answer = api.get("redirect", params={"to": f"{provider.api_url}/x"})
    assert answer.json()["sub"] == "ada"


@pytest.mark.security("C3")
@pytest.mark.parametrize("bearer_method", ["header", "query", "header:X-Token"])
@pytest.mark.parametrize("hops", [1, 2])
def test_a_redirect_that_was_elsewhere_comes_back_without_the_token(
    provider: Provider, make_provider: MakeProvider, bearer_method: str, hops: int
) -> None:
    other = make_provider()
    api = make_session(provider, bearer_method=bearer_method, headers={"X-Key": "key"})
    provider.on("/api/redirect", REDIRECT(f"{other.url}/elsewhere"))
    other.on("/elsewhere", REDIRECT(f"{provider.api_url}/delete-everything"))
    if hops == 2:
        provider.on("/api/delete-everything", REDIRECT(f"{provider.api_url}/once-more"))
    api.get("redirect")
    for call in [*provider.calls("/api/delete-everything"), *provider.calls("/api/once-more")]:
        headers = {name.lower() for name in call.headers}
        assert headers.isdisjoint({"authorization", "x-token", "x-key"})
        assert "access_token" not in call.query
    assert len(provider.calls("/api/*")) == 1 + hops
    # The session itself goes on.
    api.get("x")
    (call,) = provider.calls("/api/x")
    sent = {name.lower() for name in call.headers} | set(call.query)
    assert sent & {"authorization", "x-token", "access_token"}


@pytest.mark.security("C3")
@pytest.mark.parametrize(
    "header", ["Host", "host", "X-Forwarded-Host", "Forwarded", "X-Original-URL", "X-Rewrite-URL"]
)
@pytest.mark.parametrize("where", ["request", "session", "prepared"])
def test_no_header_of_the_caller_leads_the_token_to_another_host(
    provider: Provider, header: str, where: str
) -> None:
    api = make_session(provider)
    named = {header: "evil.example"}
    if where == "session":
        api.headers.update(named)
    request = requests.Request("GET", f"{provider.api_url}/x")
    prepared = api.prepare_request(request)
    if where == "prepared":
        prepared.headers.update(named)
        api.send(prepared)
    else:
        api.get("x", headers=named if where == "request" else None)
    (call,) = provider.calls("/api/x")
    assert call.access_token()
    assert "evil.example" not in str(call.headers)
    # The developer's own handler may know of a gateway.
    api = make_session(provider, headers=named)
    api.get("gateway")
    (call,) = provider.calls("/api/gateway")
    assert "evil.example" in str(call.headers)


@pytest.mark.security("C3")
def test_nothing_replaces_the_token(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, tmp_path: t.Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login mallory password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    api = make_session(provider)
    host = provider.api_url.partition("://")[2]
    answers = [
        api.get("x"),
        api.get("x", headers={"Authorization": "Bearer other"}),
        api.get("x", auth=("mallory", "secret")),
        api.get(f"http://mallory:secret@{host}/x"),
    ]
    assert [answer.json()["sub"] for answer in answers] == ["ada"] * 4
    api.get("redirect", params={"to": f"{provider.api_url}/x"})
    assert all("Basic" not in str(call.headers) for call in provider.calls("/api/x"))


@pytest.mark.slow
@pytest.mark.security("C5")
def test_every_call_carries_its_own_visitors_token(app: Flask, provider: Provider) -> None:
    wrong: list[t.Any] = []

    @app.get("/many")
    @login_required
    def many() -> list[str]:
        return [current_oauth_session.get("x").json()["sub"] for _ in range(100)]

    def visit(name: str) -> None:
        browser = Browser(app, provider)
        browser.sign_in(person={"sub": name})
        for _ in range(10):
            called = browser.get("/many").get_json()
            wrong.extend(sub for sub in t.cast("list[str]", called) if sub != name)

    visitors = [threading.Thread(target=visit, args=(f"visitor-{n}",)) for n in range(8)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert wrong == []
    assert len(provider.calls("/api/x")) == 8000


@pytest.mark.security("C5")
def test_no_cookie_of_an_api_reaches_another_visitor(app: Flask, provider: Provider) -> None:
    provider.on("/api/*", Answer(body={}, headers={"Set-Cookie": "whose=adas; Path=/"}))
    ada, bob = Browser(app, provider), Browser(app, provider)
    ada.sign_in()
    bob.sign_in(person={"sub": "bob"})
    ada.fetch("/call/x")
    bob.fetch("/call/y")
    assert "Cookie" not in provider.calls("/api/y")[0].headers


def test_an_api_call_opens_no_new_connection(
    app: Flask, browser: Browser, provider: Provider
) -> None:
    browser.sign_in()
    for _ in range(5):
        browser.fetch("/call/x")
    assert len({call.connection for call in provider.calls("/api/x")}) == 1


@pytest.mark.security("C7")
def test_a_token_that_the_api_rejects_is_renewed_once_and_the_call_sent_once_more(
    browser: Browser, provider: Provider
) -> None:
    browser.sign_in()
    provider.grants.expire_access()
    assert browser.fetch("/call/x").status_code == 200
    assert len(provider.calls("/token", grant_type="refresh_token")) == 1
    assert len(provider.calls("/api/x")) == 2


@pytest.mark.security("C7")
@pytest.mark.parametrize("challenge", ["", 'OAuth realm="x"', 'Bearer error="expired"'])
def test_a_401_that_is_not_about_the_token_costs_one_renewal(
    browser: Browser, provider: Provider, challenge: str
) -> None:
    headers = {"WWW-Authenticate": challenge} if challenge else {}
    body = {"success": False, "errors": [{"errorType": "insufficient_permissions"}]}
    provider.on("/api/x", Answer(status=401, body=body, headers=headers))
    browser.sign_in()
    for calls in (2, 3, 4):
        response = browser.fetch("/call/x")
        assert (response.status_code, response.get_json()) == (401, body)
        assert len(provider.calls("/api/x")) == calls
    assert len(provider.calls("/token", grant_type="refresh_token")) == 1
    assert browser.fetch("/call/y").status_code == 200


@pytest.mark.security("C7")
def test_there_is_no_loop(browser: Browser, provider: Provider) -> None:
    challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    provider.on("/api/x", Answer(status=401, body={}, headers=challenge))
    provider.on("/api/y", Answer(status=401, body={}))
    browser.sign_in()
    assert browser.fetch("/call/x").status_code == 401
    assert len(provider.calls("/api/x")) == 2
    assert browser.fetch("/call/y").status_code == 401
    assert len(provider.calls("/token", grant_type="refresh_token")) == 1


@pytest.mark.security("C7")
@pytest.mark.parametrize(("data", "times"), [(b"bytes", 2), ("generator", 1)])
def test_a_body_that_cannot_be_replayed_is_not_sent_again(
    app: Flask, browser: Browser, provider: Provider, data: t.Any, times: int
) -> None:
    @app.get("/send")
    @login_required
    def send() -> tuple[str, int]:
        body = (part for part in [b"a", b"b"]) if data == "generator" else data
        return "", current_oauth_session.post("x", data=body).status_code

    browser.sign_in()
    provider.grants.expire_access()
    assert browser.fetch("/send").status_code == (200 if times == 2 else 401)
    assert len(provider.calls("/api/x")) == times


def test_a_session_of_the_handler_alone(provider: Provider) -> None:
    assert make_session(provider).get("x").json()["sub"] == "ada"
    assert isinstance(make_session(provider), OAuth2Session)
    assert isinstance(make_handler(provider), OAuth2)


@pytest.mark.security("C1")
@pytest.mark.parametrize("redirected", [False, True])
def test_an_answers_url_has_no_token_in_it(provider: Provider, redirected: bool) -> None:
    api = make_session(provider, bearer_method="query")
    if redirected:
        provider.on("/api/moved", Answer(status=302, headers={"Location": "/api/x?page=2"}))
    provider.on("/api/x", Answer(status=500))
    answer = api.get("moved" if redirected else "x?page=2")
    assert answer.url == f"{provider.url}/api/x?page=2"
    assert [len(call.query["access_token"]) > 0 for call in provider.calls("/api/x")] == [True]
    assert all("access_token" not in former.url for former in answer.history)
    with pytest.raises(requests.HTTPError) as caught:
        answer.raise_for_status()
    assert "access_token" not in str(caught.value)


@pytest.mark.parametrize("cut", [CUT_BEFORE, CUT_AFTER])
def test_an_idle_connection_that_the_api_has_closed_costs_no_call(
    browser: Browser, provider: Provider, cut: Misbehaviour
) -> None:
    browser.sign_in()
    assert browser.fetch("/call/x").status_code == 200
    provider.on("/api/x", cut, times=1)
    assert browser.fetch("/call/x").status_code == 200
    calls = provider.calls("/api/x")
    assert [call.connection for call in calls[:2]] == [calls[0].connection] * 2
    assert len(calls) == 3
    provider.on("/api/x", cut)
    assert browser.fetch("/call/x").status_code == 503
    assert len(provider.calls("/api/x")) == 5, "once more, not again and again"
    assert browser.fetch("/call/x").status_code == 503
    assert len(provider.calls("/api/x")) == 6, "a new connection that is closed is a failure"


@pytest.mark.parametrize(
    ("method", "data", "times"),
    [
        ("POST", b"x", 1),
        ("PATCH", b"x", 1),
        ("PUT", b"x", 2),
        ("PUT", "generator", 1),
        ("DELETE", None, 2),
    ],
)
def test_only_an_idempotent_request_is_sent_once_more(
    provider: Provider, method: str, data: t.Any, times: int
) -> None:
    api = make_session(provider)
    api.get("x")
    provider.on("/api/y", CUT_BEFORE)
    with pytest.raises(ProviderError):
        api.request(method, "y", data=iter([b"x"]) if data == "generator" else data)
    assert len(provider.calls("/api/y")) == times


def test_a_call_that_takes_too_long_is_not_sent_again(provider: Provider) -> None:
    api = make_session(provider, timeout=(0.5, 0.5))
    api.get("x")
    provider.on("/api/x", HANG)
    with pytest.raises(ProviderError):
        api.get("x")
    assert len(provider.calls("/api/x")) == 2
