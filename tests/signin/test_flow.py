"""SECURITY part A: the authorization request and its answer."""

from __future__ import annotations

import dataclasses
import re
import typing as t
from urllib.parse import urlsplit

import pytest
from flask import Flask, abort, session
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_oauth2_login import Identity, OAuth2Login, Token
from tests.conftest import MakeApp, MakeProvider
from tests.support.apps import add_cart
from tests.support.assertions import assert_rejected, is_signed_in, query_of
from tests.support.handlers import make_handler
from tests.support.provider import REMOVED, Answer, Browser, Provider

# -- A1


@pytest.mark.security("A1")
def test_state_is_new_for_each_attempt_and_has_128_bits(browser: Browser) -> None:
    states = {query_of(browser.begin("/login"))["state"] for _ in range(20)}
    assert len(states) == 20
    assert all(re.fullmatch("[0-9a-f]{32}", state) for state in states)


@pytest.mark.security("A1")
@pytest.mark.parametrize("state", [REMOVED, "", "x", "0" * 32, "é", "a" * 9000])
def test_a_wrong_state_is_rejected(browser: Browser, provider: Provider, state: t.Any) -> None:
    assert_rejected(browser, provider, browser.sign_in(state=state))


@pytest.mark.security("A1")
def test_another_browsers_attempt_is_rejected(
    app: Flask, browser: Browser, provider: Provider
) -> None:
    victim = Browser(app, provider)
    victim.begin("/login")
    assert_rejected(victim, provider, victim.finish(browser.begin("/login")))


@pytest.mark.security("A1")
def test_another_logins_attempt_is_rejected(provider: Provider, make_app: MakeApp) -> None:
    one = OAuth2Login(make_handler(provider), name="one")
    two = OAuth2Login(make_handler(provider), name="two")
    browser = Browser(make_app(one, two), provider)
    callback = provider.consent(browser.begin("/one/login"))
    path = urlsplit(callback)._replace(scheme="", netloc="").geturl()
    for cookie in browser.cookies:
        # Even if the browser were made to send the cookie there.
        name = cookie.name.replace("one", "two")
        browser.jar.put(dataclasses.replace(cookie, name=name, path="/"))
    assert_rejected(browser, provider, browser.get(path.replace("one", "two"), site="cross-site"))


@pytest.mark.security("A1")
def test_an_attempt_is_good_for_ten_minutes(
    browser: Browser, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    url, now = browser.begin("/login"), time.time()
    copy = browser.jar.copy()
    monkeypatch.setattr(time, "time", lambda: now + 700)
    browser.jar = copy
    assert_rejected(browser, provider, browser.finish(url))


@pytest.mark.security("A1")
def test_a_copied_cookie_replays_nothing(browser: Browser, provider: Provider) -> None:
    url = browser.begin("/login")
    copy = browser.jar.copy()
    assert browser.finish(url).status_code == 302
    browser.jar = copy
    assert browser.finish(url).status_code == 400
    assert len(provider.calls("/token")) == 1


# -- A2


@pytest.mark.security("A2")
def test_pkce_is_s256_with_a_new_verifier_each_time(browser: Browser, provider: Provider) -> None:
    provider.require_pkce = True
    challenges = set()
    for _ in range(3):
        url = browser.begin("/login")
        assert query_of(url)["code_challenge_method"] == "S256"
        challenges.add(query_of(url)["code_challenge"])
        assert browser.finish(url).status_code == 302
    assert len(challenges) == 3


# -- A3


@pytest.mark.security("A3")
def test_parallel_attempts_succeed_in_any_order(browser: Browser) -> None:
    urls = [browser.begin("/login") for _ in range(8)]
    for url in reversed(urls):
        assert browser.finish(url).status_code == 302


@pytest.mark.security("A3")
def test_abandoned_attempts_are_forgotten(browser: Browser) -> None:
    for _ in range(20):
        browser.begin("/login")
    assert len([cookie for cookie in browser.cookies if "__" in cookie.name]) == 8


@pytest.mark.security("A3")
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Purpose": "prefetch"},
        {"Sec-Purpose": "prefetch;prerender"},
    ],
)
def test_what_only_looks_starts_no_attempt(app: Flask, headers: dict[str, str]) -> None:
    response = app.test_client().get("/login", headers=headers)
    assert response.status_code >= 400
    assert "Set-Cookie" not in response.headers


# -- A5


@pytest.mark.security("A5")
def test_a_refusal_is_a_clean_page(browser: Browser, provider: Provider) -> None:
    response = browser.sign_in(
        code=REMOVED,
        error="access_denied",
        error_description="<script>alert(1)</script>",
        error_uri="https://evil.example/",
    )
    assert_rejected(browser, provider, response)
    assert "<script" not in response.text
    assert "evil.example" not in response.text
    assert "cancelled" in response.text


@pytest.mark.security("A5")
def test_state_is_checked_before_a_refusal(browser: Browser, provider: Provider) -> None:
    response = browser.sign_in(code=REMOVED, error="access_denied", state="x")
    assert_rejected(browser, provider, response)
    assert "cancelled" not in response.text


@pytest.mark.security("A5")
def test_a_code_with_an_error_is_rejected(browser: Browser, provider: Provider) -> None:
    assert_rejected(browser, provider, browser.sign_in(error="server_error"))


# -- A6


@pytest.mark.security("A6")
@pytest.mark.parametrize(
    "query",
    [
        "",
        "code=a",
        "code=a&code=b&state={state}",
        "code=a&state={state}&state={state}",
        "code=&state={state}",
        "code={long}&state={state}",
        "code=a%0D%0AX:b&state={state}",
        "code=a%00&state={state}",
        "code=%FF%FE&state={state}",
        "code=a&state={state}%0A",
    ],
)
def test_malformed_answers_are_rejected(browser: Browser, provider: Provider, query: str) -> None:
    state = query_of(browser.begin("/login"))["state"]
    query = query.replace("{state}", state).replace("{long}", "c" * 100_000)
    assert_rejected(browser, provider, browser.get(f"/callback?{query}", site="cross-site"))


@pytest.mark.security("A6")
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
def test_other_methods_are_rejected(app: Flask, method: str) -> None:
    assert app.test_client().open("/callback?code=a&state=b", method=method).status_code == 405


@pytest.mark.security("A6")
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.dictionaries(st.sampled_from(["code", "state", "iss", "error"]) | st.text(), st.text()))
def test_any_query_is_a_clean_refusal(
    app: Flask, provider: Provider, query: dict[str, str]
) -> None:
    response = app.test_client().get(
        "/callback", query_string=query, headers={"Accept": "text/html"}
    )
    assert response.status_code == 400
    assert not provider.calls("/token")


# -- A7


@pytest.mark.security("A7")
def test_the_redirect_uri_is_the_same_in_both_requests(
    browser: Browser, provider: Provider
) -> None:
    url = browser.begin("/login")
    browser.finish(url)
    (call,) = provider.calls("/token")
    assert call.form["redirect_uri"] == query_of(url)["redirect_uri"] == "http://localhost/callback"


@pytest.mark.security("A7")
@pytest.mark.parametrize(
    ("config", "options", "expected"),
    [
        ({"SERVER_NAME": "app.example"}, {}, "http://app.example/callback"),
        (
            {"SERVER_NAME": "app.example", "PREFERRED_URL_SCHEME": "https"},
            {},
            "https://app.example/callback",
        ),
        ({}, {"redirect_uri": "https://app.example/cb"}, "https://app.example/cb"),
        ({"TRUSTED_HOSTS": ["app.example"]}, {}, None),
    ],
)
def test_a_forged_host_does_not_change_it(
    provider: Provider, make_app: MakeApp, config: t.Any, options: t.Any, expected: str | None
) -> None:
    app = make_app(OAuth2Login(make_handler(provider, **options)), **config)
    response = app.test_client().get("/login", headers={"Host": "evil.example"})
    if expected is None:
        assert response.status_code == 400
    else:
        assert query_of(response.location)["redirect_uri"] == expected


# -- A8


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


# -- A9


@pytest.mark.security("A9")
def test_answers_are_private_and_pages_cannot_be_framed(browser: Browser) -> None:
    url = browser.begin("/login")
    answers = [browser.get("/login"), browser.get("/callback"), browser.finish(url)]
    page = browser.get("/logout")
    for response in (*answers, page):
        assert response.headers["Cache-Control"] == "no-store"
    assert {response.headers["Referrer-Policy"] for response in answers} == {"no-referrer"}
    assert page.headers["Referrer-Policy"] == "same-origin"
    for response in (answers[1], page):
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy


# -- A10


@pytest.mark.security("A10")
def test_ones_own_session_is_kept_and_somebody_elses_cleared(app: Flask, browser: Browser) -> None:
    add_cart(app)
    browser.get("/cart/book")
    browser.sign_in()
    assert browser.get("/cart/pen").get_json() == ["book", "pen"]
    browser.sign_in()
    assert browser.get("/cart/cup").get_json() == ["book", "pen", "cup"]
    browser.sign_in(person={"sub": "bob"})
    assert browser.get("/cart/hat").get_json() == ["hat"]


@pytest.mark.security("A10")
def test_the_fingerprint_outlives_the_login(app: Flask, provider: Provider) -> None:
    add_cart(app)
    browser = Browser(app, provider)
    browser.sign_in()
    browser.get("/cart/book")
    provider.grants.revoke_all()
    provider.grants.expire_access()
    assert browser.fetch("/call/x").status_code == 401
    browser.sign_in(person={"sub": "bob"})
    assert browser.get("/cart/hat").get_json() == ["hat"]


@pytest.mark.security("A10")
def test_tokens_made_for_the_session_before_go(app: Flask, browser: Browser) -> None:
    add_cart(app)
    browser.get("/cart/book")
    browser.sign_in()
    assert browser.get("/session").get_json() == ["_oauth2", "cart"]


@pytest.mark.security("A10")
def test_nobody_can_say_who_clears(provider: Provider, make_app: MakeApp) -> None:
    app = make_app(OAuth2Login(make_handler(provider, userinfo_url=None)))
    add_cart(app)
    browser = Browser(app, provider)
    browser.sign_in()
    browser.get("/cart/book")
    browser.sign_in()
    assert browser.get("/cart/hat").get_json() == ["hat"]


@pytest.mark.security("A10")
def test_another_owner_clears_but_what_the_hook_wrote_stays(app: Flask, browser: Browser) -> None:
    add_cart(app)
    login = t.cast(OAuth2Login, app.blueprints["oauth2"])

    @login.on_login
    def note(identity: Identity, _token: Token) -> None:
        identity.owner = str(identity.id)
        session["user"] = identity.id

    browser.sign_in()
    browser.get("/cart/book")
    browser.sign_in(person={"sub": "bob"})
    assert browser.get("/session").get_json() == ["_oauth2", "user"]


@pytest.mark.security("A10")
def test_refused_by_on_login_nothing_has_happened(app: Flask, browser: Browser) -> None:
    add_cart(app)
    login = t.cast(OAuth2Login, app.blueprints["oauth2"])

    @login.on_login
    def refuse(identity: Identity, _token: Token) -> None:
        session["planted"] = True
        if identity.id == "mallory":
            abort(403)

    browser.sign_in()
    browser.get("/cart/book")
    before = browser.get("/session").get_json()
    assert browser.sign_in(person={"sub": "mallory"}).status_code == 403
    assert browser.get("/session").get_json() == before
    assert (browser.get("/me").get_json() or {})["id"] == "ada"


@pytest.mark.security("A10")
def test_a_strict_session_is_never_overwritten(provider: Provider, make_app: MakeApp) -> None:
    app = make_app(OAuth2Login(make_handler(provider)), SESSION_COOKIE_SAMESITE="Strict")
    add_cart(app)
    browser = Browser(app, provider)
    browser.get("/cart/book")
    assert browser.sign_in().status_code == 302
    assert browser.get("/cart/pen").get_json() == ["book", "pen"]
    assert is_signed_in(browser)
    # A link from elsewhere to the second leg does nothing.
    assert browser.get("/callback", site="cross-site").status_code == 400


def test_rejected_means_that_whoever_was_signed_in_still_is(
    browser: Browser, provider: Provider
) -> None:
    browser.sign_in()
    for answer in (
        Answer(status=500),
        Answer(body="<html>"),
        Answer(status=400, body={"error": "x"}),
    ):
        provider.on("/token", answer, times=1)
        assert browser.sign_in(person={"sub": "bob"}).status_code in {400, 502, 503}
        assert (browser.get("/me").get_json() or {})["id"] == "ada"


def test_two_logins_at_two_providers_live_side_by_side(
    make_provider: MakeProvider, make_app: MakeApp
) -> None:
    first, second = make_provider(), make_provider()
    one = OAuth2Login(make_handler(first), name="one")
    two = OAuth2Login(make_handler(second), name="two")
    browser = Browser(make_app(one, two))
    browser.sign_in("/one/login", provider=first)
    browser.sign_in("/two/login", provider=second, person={"sub": "bob"})
    assert (browser.get("/me").get_json() or {})["provider"] == "two"
    browser.post("/two/logout")
    assert (browser.get("/me").get_json() or {})["provider"] == "one"
