"""Sealed cookies: attempts, answers that are held, their names and sizes, and what these tell."""

from __future__ import annotations

import dataclasses
import secrets
import time
import tracemalloc
import typing as t

import pytest
from flask import Flask, Response
from werkzeug.test import TestResponse

from flask_oauth2_login import OAuth2Login, OpenIDConnect, ProviderError, login_required
from flask_oauth2_login.stores.sealing import Sealer
from tests.conftest import MakeApp
from tests.signin.test_samesite import SlowRequest, make_sessions_permanent
from tests.support.apps import add_cart
from tests.support.assertions import assert_rejected, is_signed_in, query_of
from tests.support.handlers import make_handler
from tests.support.provider import Browser, Hold, Provider
from tests.support.provider.browser import next_step

HTTP, HTTPS = "http://localhost", "https://localhost"


@pytest.fixture
def app(provider: Provider, make_app: MakeApp) -> Flask:
    return make_app(OAuth2Login(make_handler(provider)))


def cookie_bytes(browser: Browser, path: str) -> int:
    """Bytes of the Cookie header that the app's own page sends to a path."""
    url = browser.origin + path
    return len(browser.jar.header(url, "same-origin", safe=True, top_level=True))


def go_home(browser: Browser, provider: Provider, url: str, **overrides: t.Any) -> TestResponse:
    """Take the provider's answer home, and do not go on from there."""
    answer = provider.answer(url, **overrides)
    if answer.mode == "form_post":
        return browser.post(
            answer.redirect_uri, answer.params, site="cross-site", origin=provider.url
        )
    return browser.get(answer.url, site="cross-site")


def go_on(browser: Browser, page: TestResponse) -> TestResponse:
    """Follow a page of the app that goes on by itself."""
    target, by_page = next_step(page)
    assert by_page, page.text
    return browser.get(str(target), site="same-origin")


# -- A1


@pytest.mark.security("A1")
@pytest.mark.parametrize(("seconds", "status"), [(590, 302), (601, 400)])
def test_an_attempt_that_the_browser_kept_too_long_is_rejected(
    app: Flask,
    provider: Provider,
    monkeypatch: pytest.MonkeyPatch,
    seconds: int,
    status: int,
) -> None:
    browser = Browser(app, provider)
    url, now = browser.begin(), time.time()
    (cookie,) = browser.cookies
    browser.jar.put(dataclasses.replace(cookie, expires_at=None))
    monkeypatch.setattr(time, "time", lambda: now + seconds)
    assert browser.finish(url).status_code == status


@pytest.mark.security("A1")
def test_an_attempt_under_another_name_is_rejected(app: Flask, provider: Provider) -> None:
    browser = Browser(app, provider)
    url = browser.begin()
    (cookie,) = browser.cookies
    state = "0" * 32
    name = cookie.name.replace(query_of(url)["state"], state)
    browser.jar.put(dataclasses.replace(cookie, name=name))
    assert_rejected(browser, provider, browser.finish(url, state=state))


# -- A3: many attempts


@pytest.mark.security("A3")
@pytest.mark.parametrize("base_url", [HTTP, HTTPS])
def test_links_with_long_parameters_shut_nobody_out(
    app: Flask, provider: Provider, base_url: str
) -> None:
    browser = Browser(app, provider, base_url=base_url)
    url = ""
    for _ in range(8):
        long = secrets.token_urlsafe(750)
        url = browser.begin(f"/login?next=/{long}&login_hint={long[:500]}")
        assert 1000 < cookie_bytes(browser, "/callback") <= 3000
    assert browser.finish(url).status_code == 302
    assert is_signed_in(browser)


@pytest.mark.security("A3")
def test_attempts_at_several_logins_have_one_bound_where_they_travel_together(
    provider: Provider, make_app: MakeApp
) -> None:
    names = ["one", "two", "three"]
    app = make_app(*(OAuth2Login(make_handler(provider), name=name) for name in names))
    browser = Browser(app, provider, base_url=HTTPS)
    urls = [browser.begin(f"/{name}/login?next=/{'x' * 300}") for name in names * 4]
    assert len(browser.cookies) <= 8
    assert cookie_bytes(browser, "/") <= 3000
    assert browser.finish(urls[-1]).status_code == 302
    assert browser.finish(urls[-2]).status_code == 302


@pytest.mark.security("A3")
def test_eight_everyday_attempts_have_room(provider: Provider, make_app: MakeApp) -> None:
    handler = OpenIDConnect(provider.client_id, provider.client_secret, provider.url)
    login = OAuth2Login(handler, name="company_sso", scope="openid email profile")
    browser = Browser(make_app(login), provider, base_url="https://intranet.example.com")
    urls = [browser.begin(f"/login?next=/reports/2026/{page}?sort=name") for page in range(8)]
    assert [browser.finish(url).status_code for url in urls] == [302] * 8


@pytest.mark.security("A3")
def test_the_newest_attempts_are_kept_however_fast_they_are_begun(
    app: Flask, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    browser = Browser(app, provider)
    states = [query_of(browser.begin())["state"] for _ in range(20)]
    kept = {state for state in states if any(state in cookie.name for cookie in browser.cookies)}
    assert kept == set(states[-8:])


# -- A3: answers that are held


@pytest.fixture(params=["Strict", "form_post"])
def strict_site(request: pytest.FixtureRequest, provider: Provider, make_app: MakeApp) -> Flask:
    """An app to which answers come without the session's cookie, for one reason or the other."""
    options = {"response_mode": "form_post"} if request.param == "form_post" else {}
    samesite = "Strict" if request.param == "Strict" else "Lax"
    login = OAuth2Login(make_handler(provider, **options))
    return make_app(login, SESSION_COOKIE_SAMESITE=samesite)


@pytest.mark.security("A3")
@pytest.mark.parametrize("base_url", [HTTP, HTTPS])
@pytest.mark.parametrize("order", [1, -1])
def test_tabs_that_come_home_across_sites_each_succeed_in_any_order(
    strict_site: Flask, provider: Provider, base_url: str, order: int
) -> None:
    browser = Browser(strict_site, provider, base_url=base_url)
    urls = [browser.begin(f"/login?next=/tab/{number}") for number in range(3)]
    pages = [go_home(browser, provider, url) for url in urls]
    answers = [go_on(browser, page).location for page in pages[::order]]
    assert answers == [f"/tab/{number}" for number in range(3)][::order]
    assert is_signed_in(browser)
    assert not [cookie.name for cookie in browser.cookies if "held" in cookie.name]


@pytest.mark.security("A3")
def test_another_sites_post_takes_nobodys_place(strict_site: Flask, provider: Provider) -> None:
    browser = Browser(strict_site, provider)
    page = go_home(browser, provider, browser.begin("/login?next=/mine"))
    for state in ("x", secrets.token_hex(16)):
        forged = {"code": "evil", "state": state}
        browser.post("/callback", forged, site="cross-site")
        browser.get(f"/callback?code=evil&state={state}", site="cross-site")
    assert go_on(browser, page).location == "/mine"


@pytest.mark.security("A3")
def test_another_sites_posts_leave_nothing_behind(strict_site: Flask) -> None:
    browser = Browser(strict_site)
    for _ in range(20):
        forged = {"code": secrets.token_urlsafe(1500), "state": secrets.token_hex(16)}
        browser.post("/callback", forged, site="cross-site")
        query = f"code={forged['code']}&state={forged['state']}"
        browser.get(f"/callback?{query}", site="cross-site")
    assert browser.cookies == []


@pytest.mark.security("A3")
def test_an_answer_is_held_for_a_minute_in_a_strict_cookie(
    strict_site: Flask, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Browser(strict_site, provider)
    url = browser.begin()
    state = query_of(url)["state"]
    page = go_home(browser, provider, url)
    (held,) = (cookie for cookie in browser.cookies if "held" in cookie.name)
    assert (held.samesite, held.httponly, held.max_age) == ("Strict", True, 60)
    assert held.path == "/callback"
    assert state not in held.name
    assert state not in page.text
    jar, now = browser.jar.copy(), time.time()
    monkeypatch.setattr(time, "time", lambda: now + 61)
    browser.jar.put(dataclasses.replace(held, expires_at=None))
    assert go_on(browser, page).status_code == 400
    monkeypatch.setattr(time, "time", lambda: now + 50)
    browser.jar = jar
    assert go_on(browser, page).status_code == 302


@pytest.mark.security("A3")
def test_a_form_comes_home_over_http_from_another_machine_too(
    provider: Provider, make_app: MakeApp
) -> None:
    login = OAuth2Login(make_handler(provider, response_mode="form_post"))
    browser = Browser(make_app(login), provider, base_url="http://intranet.example")
    assert browser.sign_in().status_code == 302
    assert is_signed_in(browser) or browser.get("/me").status_code == 200


# -- A10: the second leg, asked for by another site


@pytest.mark.security("A10")
def test_a_link_to_the_second_leg_does_nothing(provider: Provider, make_app: MakeApp) -> None:
    app = make_app(OAuth2Login(make_handler(provider)), SESSION_COOKIE_SAMESITE="Strict")
    make_sessions_permanent(app)
    add_cart(app)
    browser = Browser(app, provider)
    browser.get("/cart/book")
    page = go_home(browser, provider, browser.begin("/login?next=/mine"))
    target, _ = next_step(page)
    before = [(cookie.name, cookie.value) for cookie in browser.cookies]
    for path in (str(target), "/callback", f"/callback?waiting={'x' * 22}"):
        response = browser.get(path, site="cross-site")
        assert response.status_code == 400
        assert [(cookie.name, cookie.value) for cookie in browser.cookies] == before
    assert go_on(browser, page).location == "/mine"
    assert browser.get("/cart/pen").get_json() == ["book", "pen"]


# -- A13: planted attempts


@pytest.mark.security("A13")
def test_an_attempts_cookie_can_be_set_by_this_host_alone(app: Flask, provider: Provider) -> None:
    browser = Browser(app, provider, base_url=HTTPS)
    state = query_of(browser.begin())["state"]
    (cookie,) = browser.cookies
    assert cookie.name == f"__Host-oauth2_login_oauth2__{state}"
    assert (cookie.path, cookie.secure, cookie.host_only) == ("/", True, True)
    assert (cookie.httponly, cookie.samesite, cookie.max_age) == (True, "Lax", 600)
    assert not browser.jar.refused


@pytest.mark.security("A13")
@pytest.mark.parametrize("options", [{}, {"response_mode": "form_post"}])
def test_a_planted_attempt_signs_nobody_in(
    provider: Provider, make_app: MakeApp, options: dict[str, t.Any]
) -> None:
    app = make_app(OAuth2Login(make_handler(provider, **options)))
    attacker = Browser(app, provider, base_url="https://app.example.com")
    victim = Browser(app, provider, base_url="https://app.example.com")
    url = attacker.begin()
    for cookie in attacker.cookies:
        # What a sibling host may set: for the whole domain, and so without the prefix.
        name = cookie.name.removeprefix("__Host-")
        for path in ("/", "/callback"):
            victim.jar.put(
                dataclasses.replace(
                    cookie, name=name, domain="example.com", host_only=False, path=path
                )
            )
    assert_rejected(victim, provider, victim.finish(url, person={"sub": "mallory"}))


# -- A6


@pytest.mark.security("A6")
@pytest.mark.parametrize("name", ["iss", "error", "code", "error_description", "error_uri"])
def test_an_empty_parameter_is_rejected(app: Flask, provider: Provider, name: str) -> None:
    browser = Browser(app, provider)
    empty: dict[str, t.Any] = {name: ""}
    assert_rejected(browser, provider, browser.sign_in(**empty))


# -- A9, D1: caches between the app and its visitors


@pytest.mark.security("D1")
def test_an_answer_behind_a_guard_says_that_it_is_private(app: Flask, provider: Provider) -> None:
    @app.get("/said/<path:said>")
    @login_required
    def say(said: str) -> Response:
        return Response("", headers={"Cache-Control": said})

    browser = Browser(app, provider)
    browser.sign_in()
    assert browser.get("/me").headers["Cache-Control"] == "private"
    for said in ("public, max-age=60", "no-store", "private, max-age=60", "s-maxage=9"):
        assert browser.get(f"/said/{said}").headers["Cache-Control"] == said
    assert browser.get("/said/no-cache").cache_control.private
    assert "Cache-Control" not in browser.get("/").headers


@pytest.mark.security("D1")
def test_an_answer_whose_session_was_not_written_varies_by_cookie(
    app: Flask, provider: Provider
) -> None:
    make_sessions_permanent(app)
    browser = Browser(app, provider)
    browser.sign_in()
    hold = Hold()
    provider.on("/api/hold", hold, times=1)
    slow = SlowRequest(browser, app, lambda visitor: visitor.fetch("/call/hold"))
    hold.wait()
    browser.sign_in(person={"sub": "bob"})
    hold.release()
    answer = slow.finish()
    assert "session=" not in str(answer.headers.getlist("Set-Cookie"))
    assert "Cookie" in answer.headers.get("Vary", "")
    assert answer.cache_control.private


# -- C2, C4: names


@pytest.mark.security("C2")
@pytest.mark.parametrize(
    ("one", "two"),
    [("a b", "a_b"), ("x", "x__logout"), ("ä", "å"), ("a_", "a"), ("a%5F_", "a__"), ("A", "a")],
)
def test_no_two_logins_share_a_cookie(
    provider: Provider, make_app: MakeApp, one: str, two: str
) -> None:
    logins = [OAuth2Login(make_handler(provider), name=name) for name in (one, two)]
    app = make_app()
    for number, login in enumerate(logins):
        app.register_blueprint(login, url_prefix=f"/{number}")
    app.add_url_rule("/both", view_func=lambda: [bool(login.identity) for login in logins])
    browser = Browser(app, provider)
    browser.sign_in("/0/login")
    browser.sign_in("/1/login")
    assert browser.get("/both").get_json() == [True, True]
    names = [cookie.name for cookie in browser.cookies]
    assert all(name.isascii() for name in names)
    # Nor is one named as what the other keeps while it signs out at its provider.
    assert f"oauth2_login_{one}__logout" not in names
    browser.post("/1/logout")
    assert browser.get("/1/logout?state=x").status_code == 200
    assert browser.get("/both").get_json() == [True, False]


# -- C11: what the length of a cookie tells


def record_length(browser: Browser) -> int:
    cookie = browser.cookie("oauth2_login_oauth2")
    assert cookie is not None
    return len(cookie.value)


@pytest.mark.security("C11")
def test_the_length_of_a_cookie_does_not_tell_what_a_token_is(
    provider: Provider, make_app: MakeApp
) -> None:
    app = make_app(OAuth2Login(make_handler(provider, userinfo_url=None)))
    lengths = set()
    for token in ("A" * 800, secrets.token_urlsafe(600), "abcdefgh" * 100, "-_" * 400):
        provider.token_overrides = {"access_token": token, "refresh_token": token[::-1]}
        browser = Browser(app, provider)
        browser.sign_in()
        lengths.add(record_length(browser))
    assert len(lengths) == 1


@pytest.mark.security("C11")
def test_nothing_that_a_person_or_a_link_chooses_is_compressed_with_a_token(
    provider: Provider, make_app: MakeApp
) -> None:
    app = make_app(OAuth2Login(make_handler(provider), scope="read", claims=["nickname"]))
    token = secrets.token_urlsafe(48)
    provider.token_overrides = {"refresh_token": token}
    lengths = set()
    for guess in (token, secrets.token_urlsafe(48), secrets.token_urlsafe(48)):
        # A person's own word of the provider, and a link that a page made.
        person = {"sub": "ada", "name": guess, "nickname": guess}
        browser = Browser(app, provider)
        browser.sign_in(f"/login?login_hint={guess}", person=person)
        lengths.add(record_length(browser) // 8)
    # Deflate itself may make a few bytes more or less of another name.
    assert max(lengths) - min(lengths) <= 2


@pytest.mark.security("C11")
def test_an_attempts_verifier_is_compressed_with_nothing() -> None:
    sealer = Sealer(lambda: ["a secret"])
    verifier = secrets.token_urlsafe(32)

    def length(next: str) -> int:
        return len(sealer.seal([verifier, next, ["openid"], {"login_hint": "x"}], "attempt"))

    assert length(f"/{verifier}") == length(f"/{secrets.token_urlsafe(32)}")


@pytest.mark.parametrize(
    "value",
    [
        None, 0, "", "a", "ab", "abc", "abcd", "abcde", ".", "a.", ".a", "a..b", "-_9.Zz", "ü",
        "a b", [], [None], ["", None, [], {}], ["a.b.c", 1, {"x": ["y"]}], {"x": "y"},
        [["a"], "a" * 500],
    ],
)  # fmt: skip
def test_what_was_sealed_is_opened_as_it_was(value: t.Any) -> None:
    sealer = Sealer(lambda: ["a secret"])
    assert sealer.open(sealer.seal(value, "record", "github"), "record", "github") == value


@pytest.mark.security("C2")
def test_what_is_sealed_is_bounded_before_and_after() -> None:
    sealer = Sealer(lambda: ["a secret"])
    with pytest.raises(ProviderError, match="too large"):
        sealer.seal([{"x": "x" * 1_500_000}, {"x": "x" * 1_500_000}], "record")


@pytest.mark.security("C5")
def test_what_was_opened_is_remembered_by_its_bytes() -> None:
    sealer = Sealer(lambda: ["a secret"])
    sealed = [sealer.seal(secrets.token_urlsafe(6000), "record") for _ in range(1500)]
    sealed += [sealer.seal({"x": "x" * 1_000_000, "y": number}, "record") for number in range(60)]
    tracemalloc.start()
    try:
        for each in sealed:
            assert sealer.open(each, "record") is not None
        remembered, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert remembered < 12_000_000


@pytest.mark.security("C2")
def test_a_planted_round_trip_leads_nowhere(provider: Provider, make_app: MakeApp) -> None:
    sso = OpenIDConnect(provider.client_id, provider.client_secret, provider.url)
    app = make_app(OAuth2Login(sso, name="sso"))
    browser = Browser(app, provider)
    browser.sign_in()
    away = browser.post("/logout?next=/bye")
    target, by_page = next_step(away)
    assert by_page
    state = query_of(str(target))["state"]
    (kept,) = (cookie for cookie in browser.cookies if cookie.name.endswith("__logout"))
    now = time.time()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: now + 601)
        browser.jar.put(dataclasses.replace(kept, expires_at=None))
        assert browser.get(f"/logout?state={state}").location is None
