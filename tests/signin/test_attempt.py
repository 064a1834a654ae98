"""An attempt: its state, verifier and cookie, how long it is good, and how many there are."""

from __future__ import annotations

import dataclasses
import re
import secrets
import threading
import time
import typing as t
from base64 import urlsafe_b64encode
from hashlib import sha256
from urllib.parse import urlencode, urlsplit

import pytest
from flask import Flask

from flask_oauth2_login import OAuth2Login, OpenIDConnect
from flask_oauth2_login.stores.sealing import Sealer
from tests.conftest import MakeApp, MakeProvider, MakeSSO
from tests.support.assertions import assert_rejected, is_signed_in, query_of
from tests.support.clock import Clock
from tests.support.handlers import make_handler, make_openid_login
from tests.support.provider import CUT_AFTER, REMOVED, Answer, Browser, Provider
from tests.support.visitors import in_wsgi, keep_forever

HTTP, HTTPS = "http://localhost", "https://localhost"


@pytest.mark.security("A1")
def test_an_attempts_cookie_under_another_state_is_rejected(
    browser: Browser, provider: Provider
) -> None:
    first, second = browser.begin(), browser.begin()
    one, two = query_of(first)["state"], query_of(second)["state"]
    (cookie,) = (cookie for cookie in browser.cookies if cookie.name.endswith(one))
    browser.jar.put(dataclasses.replace(cookie, name=cookie.name.replace(one, two)))
    assert_rejected(browser, provider, browser.finish(second))


@pytest.mark.security("A1")
@pytest.mark.parametrize(
    "failure",
    [Answer(status=500), Answer(status=400, body={"error": "invalid_grant"}), CUT_AFTER],
)
def test_an_attempt_that_failed_is_used_up(
    browser: Browser, provider: Provider, failure: t.Any
) -> None:
    url = browser.begin()
    copy = browser.jar.copy()
    provider.on("/token", failure, times=1)
    assert browser.finish(url).status_code >= 400
    browser.jar = copy
    assert browser.finish(url).status_code == 400
    assert len(provider.calls("/token")) == 1
    assert not is_signed_in(browser)


@pytest.mark.security("A1")
@pytest.mark.parametrize("kind", ["Lax", "Strict", "form_post"])
def test_an_attempt_can_be_tried_again_until_its_code_was_sent(
    provider: Provider, make_app: MakeApp, kind: str
) -> None:
    options = {"response_mode": "form_post"} if kind == "form_post" else {}
    samesite = "Strict" if kind == "Strict" else "Lax"
    app = make_app(OAuth2Login(make_handler(provider, **options)), SESSION_COOKIE_SAMESITE=samesite)
    browser = Browser(app, provider)
    answer = provider.answer(browser.begin("/login?next=/me"))
    provider.down()
    former = browser.jar.copy()

    def come_home() -> t.Any:
        if answer.mode == "form_post":
            page = browser.post(answer.redirect_uri, answer.params, site="cross-site")
        else:
            page = browser.get(answer.url, site="cross-site")
        return browser.follow(page) if page.status_code == 200 else page

    failed = come_home()
    assert failed.status_code == 503
    copy = browser.jar.copy()
    path = failed.request.full_path if kind != "Lax" else answer.url
    assert browser.get(path).status_code == 503
    provider.up()
    response = browser.get(path)
    assert (response.status_code, response.location) == (302, "/me")
    assert is_signed_in(browser)
    for jar in (copy, former):
        browser.jar = jar
        assert come_home().status_code == 400
    assert len(provider.calls("/token")) == 1


@pytest.mark.security("A1")
def test_an_attempt_can_be_tried_again_where_its_worker_has_no_metadata_yet(
    provider: Provider, make_sso: MakeSSO, clock: Clock
) -> None:
    first, _, browser = make_sso()
    second, _, _ = make_sso(config={"SECRET_KEY": first.config["SECRET_KEY"]})
    callback = provider.consent(browser.begin("/login?next=/me"))
    other = Browser(second, provider)
    other.jar = browser.jar
    provider.on("/.well-known/*", Answer(503))
    assert other.get(callback, site="cross-site").status_code == 503
    provider.off()
    clock.ahead = 3
    response = other.get(callback)
    assert (response.status_code, response.location) == (302, "/me")
    assert len(provider.calls("/token")) == 1


@pytest.mark.security("A1")
def test_a_try_that_sent_nothing_makes_no_attempt_live_longer(
    browser: Browser, provider: Provider, clock: Clock
) -> None:
    callback = provider.consent(browser.begin())
    clock.ahead = 500
    provider.down()
    assert browser.get(callback, site="cross-site").status_code == 503
    keep_forever(browser)
    clock.ahead = 605
    provider.up()
    assert_rejected(browser, provider, browser.get(callback, site="cross-site"))


@pytest.mark.security("A1")
def test_a_try_that_takes_long_makes_no_attempt_live_longer_either(
    provider: Provider, make_sso: MakeSSO, clock: Clock
) -> None:
    first, _, browser = make_sso()
    second, _, _ = make_sso(config={"SECRET_KEY": first.config["SECRET_KEY"]})
    callback = provider.consent(browser.begin())
    other = Browser(second, provider)
    other.jar = browser.jar

    def wait(_: object) -> Answer:
        clock.ahead += 20
        return Answer(503)

    provider.on("/.well-known/*", wait, times=1)
    assert other.get(callback, site="cross-site").status_code == 503
    keep_forever(other)
    clock.ahead = 610
    assert_rejected(other, provider, other.get(callback))


@pytest.mark.security("A1")
def test_keys_that_cannot_be_fetched_give_no_used_code_back(
    provider: Provider, make_provider: MakeProvider, make_sso: MakeSSO
) -> None:
    other = make_provider()
    other.down()
    _, _, browser = make_sso(handler={"jwks_url": f"{other.url}/jwks"})
    callback = provider.consent(browser.begin())
    copy = browser.jar.copy()
    assert browser.get(callback, site="cross-site").status_code == 503
    for jar in (browser.jar, copy):
        browser.jar = jar
        assert browser.get(callback, site="cross-site").status_code == 400
    assert len(provider.calls("/token")) == 1


@pytest.mark.security("A1")
@pytest.mark.parametrize("is_down", [False, True])
def test_of_simultaneous_answers_with_one_state_one_counts(
    app: Flask, browser: Browser, provider: Provider, is_down: bool
) -> None:
    url = browser.begin()
    statuses: list[int] = []
    callback = provider.consent(url)
    if is_down:
        provider.down()
    together = threading.Barrier(8)

    def finish() -> None:
        copy = Browser(app, provider)
        copy.jar = browser.jar.copy()
        together.wait()
        statuses.append(copy.get(callback, site="cross-site").status_code)

    threads = [threading.Thread(target=finish) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = 503 if is_down else 302
    assert sorted(statuses) == sorted([first] + [400] * 7)
    assert len(provider.calls("/token")) == (0 if is_down else 1)


@pytest.mark.security("A2")
def test_the_verifier_fits_the_challenge_and_is_never_in_a_url(
    browser: Browser, provider: Provider
) -> None:
    url = browser.begin()
    browser.finish(url)
    verifier = provider.calls("/token")[0].form["code_verifier"]
    digest = urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
    assert query_of(url)["code_challenge"] == digest
    assert 43 <= len(verifier) <= 128
    assert verifier not in url


@pytest.mark.security("A2")
@pytest.mark.parametrize("name", ["code_challenge_method", "code_challenge", "state", "client_id"])
def test_a_link_cannot_replace_what_the_flow_sets(browser: Browser, name: str) -> None:
    url = browser.begin(f"/login?{name}=plain")
    assert query_of(url)[name] != "plain"


@pytest.mark.security("A3")
def test_the_newest_eight_attempts_succeed(browser: Browser) -> None:
    urls = [browser.begin() for _ in range(20)]
    assert [browser.finish(url).status_code for url in urls] == [400] * 12 + [302] * 8


@pytest.mark.security("A2")
def test_a_link_cannot_name_another_client(provider: Provider, make_app: MakeApp) -> None:
    app = make_app(OAuth2Login(make_handler(provider, client_id_param="client_key")))
    location = app.test_client().get("/login?client_key=evil").location
    assert query_of(location)["client_key"] == provider.client_id


@pytest.mark.security("A3")
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Purpose": "prerender"},
        {"Sec-Purpose": "Prefetch"},
        {"Sec-Purpose": "prefetch;anonymous-client-ip"},
        {"Sec-Purpose": "", "Purpose": "prefetch"},
        {"X-Moz": "prefetch"},
        {"X-Purpose": "preview"},
    ],
)
def test_whatever_looks_ahead_starts_no_attempt(app: Flask, headers: dict[str, str]) -> None:
    response = app.test_client().get("/login", headers=headers)
    assert response.status_code == 503
    assert "Set-Cookie" not in response.headers


@pytest.mark.security("A3")
@pytest.mark.parametrize("name", ["日", "x", "x" * 3000, "A" * 32, "0" * 33])
def test_a_cookie_that_is_no_attempts_is_left_alone(app: Flask, name: str) -> None:
    cookie = in_wsgi(f"oauth2_login_oauth2__{name}=1")
    client = app.test_client(use_cookies=False)
    response = client.get("/login", headers={"Cookie": cookie})
    state = query_of(response.location)["state"]
    (sent,) = response.headers.getlist("Set-Cookie")
    assert sent.startswith(f"oauth2_login_oauth2__{state}=")


def test_a_link_too_long_for_a_cookie_is_refused_at_once(browser: Browser) -> None:
    response = browser.get(f"/login?login_hint={secrets.token_urlsafe(3500)}", site="same-origin")
    assert response.status_code == 400
    assert not browser.cookies
    assert not browser.jar.refused


def test_a_next_too_long_for_a_cookie_is_left_out(browser: Browser) -> None:
    letters = "".join(chr(0x4E00 + secrets.randbelow(0x5000)) for _ in range(1900))
    url = browser.begin(f"/login?next=/{letters}")
    assert not browser.jar.refused
    assert browser.finish(url).location == "/"
    assert is_signed_in(browser)


def cookie_bytes(browser: Browser, path: str) -> int:
    """Bytes of the Cookie header that the app's own page sends to a path."""
    url = browser.origin + path
    return len(browser.jar.header(url, "same-origin", safe=True, top_level=True))


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


@pytest.mark.security("C11")
def test_an_attempts_verifier_is_compressed_with_nothing() -> None:
    sealer = Sealer(lambda: ("a secret",))
    verifier = secrets.token_urlsafe(32)

    def length(next: str) -> int:
        return len(sealer.seal([verifier, next, ["openid"], {"login_hint": "x"}], "attempt"))

    assert length(f"/{verifier}") == length(f"/{secrets.token_urlsafe(32)}")


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
@pytest.mark.parametrize(("seconds", "attempts"), [(590, 8), (610, 9)])
def test_an_attempt_that_was_counted_counts_until_it_is_too_old(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, seconds: int, attempts: int
) -> None:
    clock = Clock(monkeypatch)
    for _ in range(9):
        browser.begin("/login")
    keep_forever(browser)
    clock.ahead = seconds
    browser.begin("/login")
    assert len([cookie for cookie in browser.cookies if "__" in cookie.name]) == attempts


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


@pytest.mark.security("A3")
def test_another_sites_posts_leave_no_heap_of_cookies(
    provider: Provider, make_app: MakeApp
) -> None:
    browser = Browser(
        make_app(make_openid_login(provider)), provider, base_url="https://app.example"
    )
    form = {"iss": provider.issuer, "login_hint": "x" * 1900, "target_link_uri": "/me"}
    for _ in range(12):
        response = browser.post("/login", form, site="cross-site")
        assert response.status_code == 303
        browser.follow(response, site="cross-site")
    size = sum(len(f"{cookie.name}={cookie.value}; ") for cookie in browser.cookies)
    assert size < 3000
    # It is a way to sign in all the same.
    sent = browser.begin("/login?" + urlencode({**form, "login_hint": "ada"}))
    assert query_of(sent)["login_hint"] == "ada"


@pytest.mark.security("A1")
@pytest.mark.parametrize("replay", ["used", "forgotten"])
def test_who_is_signed_in_already_goes_on_where_an_answer_comes_once_more(
    provider: Provider, make_app: MakeApp, replay: str
) -> None:
    site = make_app(OAuth2Login(make_handler(provider)))
    browser = Browser(site, provider)
    url = browser.begin("/login?next=/me")
    callback = provider.consent(url)
    copy = browser.jar.copy()
    first = browser.get(callback.replace("http://localhost", ""), site="cross-site")
    assert first.location == "/me"
    if replay == "used":
        for cookie in copy:
            if "oauth2_login_oauth2__" in cookie.name:
                browser.jar.put(cookie)
    again = browser.get(callback.replace("http://localhost", ""), site="cross-site")
    assert (again.status_code, again.location) == (302, "/me")
    assert len(provider.calls("/token")) == 1, "the answer itself is not used"
    stranger = Browser(site, provider)
    assert stranger.get(callback.replace("http://localhost", "")).status_code == 400


@pytest.mark.security("A1")
@pytest.mark.parametrize(("seconds", "counts"), [(590, True), (610, False)])
def test_an_attempts_cookie_counts_for_ten_minutes_however_long_it_is_kept(
    provider: Provider,
    make_app: MakeApp,
    monkeypatch: pytest.MonkeyPatch,
    seconds: int,
    counts: bool,
) -> None:
    browser = Browser(make_app(make_openid_login(provider)), provider)
    clock = Clock(monkeypatch)
    authorize_url = browser.begin()
    keep_forever(browser)
    clock.ahead = seconds
    assert browser.finish(authorize_url).status_code == (302 if counts else 400)
    assert is_signed_in(browser) is counts
    assert bool(provider.calls("/token")) is counts
