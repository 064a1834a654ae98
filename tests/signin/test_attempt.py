"""Part A once more: how attempts end, what they are worth then, and how often one counts."""

from __future__ import annotations

import dataclasses
import logging
import threading
import typing as t
from base64 import urlsafe_b64encode
from hashlib import sha256
from urllib.parse import urlsplit

import pytest
from flask import Flask, session

from flask_oauth2_login import OAuth2Login
from tests.conftest import MakeApp
from tests.support.assertions import assert_rejected, is_signed_in, query_of
from tests.support.handlers import make_handler
from tests.support.provider import CUT_AFTER, REMOVED, Answer, Browser, Provider

# -- A1


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
def test_of_simultaneous_answers_with_one_state_one_counts(
    app: Flask, browser: Browser, provider: Provider
) -> None:
    url = browser.begin()
    statuses: list[int] = []
    together = threading.Barrier(8)

    def finish() -> None:
        copy = Browser(app, provider)
        copy.jar = browser.jar.copy()
        together.wait()
        statuses.append(copy.finish(url).status_code)

    threads = [threading.Thread(target=finish) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [302] + [400] * 7
    assert len(provider.calls("/token")) == 1


# -- A2


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


# -- A3


@pytest.mark.security("A3")
def test_the_newest_eight_attempts_succeed(browser: Browser) -> None:
    urls = [browser.begin() for _ in range(20)]
    assert [browser.finish(url).status_code for url in urls] == [400] * 12 + [302] * 8


# -- A9


@pytest.mark.security("A9")
@pytest.mark.parametrize("path", ["/login", "/callback", "/logout", "/backchannel-logout"])
@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH"])
def test_another_methods_answer_is_nobody_elses_either(app: Flask, path: str, method: str) -> None:
    response = app.test_client().open(path, method=method)
    assert response.status_code == 405
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert "Cache-Control" not in app.test_client().put("/me").headers


# -- A5


@pytest.mark.security("A5")
@pytest.mark.parametrize("state", [REMOVED, "0" * 32])
def test_a_refusal_without_an_attempt_is_no_cancellation(
    browser: Browser, provider: Provider, state: t.Any
) -> None:
    response = browser.sign_in(code=REMOVED, error="access_denied", state=state)
    assert_rejected(browser, provider, response)
    assert "cancelled" not in response.text


@pytest.mark.security("A5")
@pytest.mark.parametrize(
    "description", ["<img src=x onerror=alert(1)>", '"><b>', "x" * 8000, "{{ 7 * 7 }}"]
)
def test_a_description_is_text(browser: Browser, provider: Provider, description: str) -> None:
    response = browser.sign_in(code=REMOVED, error="server_error", error_description=description)
    assert_rejected(browser, provider, response)
    assert "<img" not in response.text
    assert "<b>" not in response.text
    assert ">49<" not in response.text
    assert len(response.text) < 8000


@pytest.mark.security("A5")
def test_an_api_client_gets_json(app: Flask) -> None:
    response = app.test_client().get("/callback?error=access_denied&state=x")
    assert response.status_code == 400
    assert response.is_json


@pytest.mark.parametrize(
    "description", ["two\nlines", "carriage\rreturn", "\x1b[2J", "next\x85line", "line\u2028end"]
)
def test_the_log_says_why_in_one_line(
    browser: Browser, provider: Provider, caplog: pytest.LogCaptureFixture, description: str
) -> None:
    caplog.set_level(logging.WARNING, "flask_oauth2_login")
    refusal = {"error": "invalid_grant", "error_description": description}
    provider.on("/token", Answer(status=400, body=refusal))
    assert browser.sign_in().status_code == 400
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.isprintable()


# -- A6


@pytest.mark.security("A6")
@pytest.mark.parametrize(
    "query",
    [
        "code=a&state={state}&iss=x&iss=x",
        "error=a&error=b&state={state}",
        "code=a&state={STATE}",
        "code=a&state={state}%00",
        "code=a&state=%20{state}",
        "code=a&state={state}&x=%FF",
        "code=%C3%28&state={state}",
        "code=%7F&state={state}",
        "state={state}",
        "state={state}&code=&error=",
        "code[]=a&state={state}",
        "&&&=&state={state}",
    ],
)
def test_further_malformed_answers_are_rejected(
    browser: Browser, provider: Provider, query: str
) -> None:
    state = query_of(browser.begin())["state"]
    # A digit has no upper case; with a letter at its end the two differ for certain.
    query = query.replace("{state}", state).replace("{STATE}", state[:-1] + "G")
    assert_rejected(browser, provider, browser.get(f"/callback?{query}", site="cross-site"))


# -- A8


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


# -- C2


@pytest.mark.security("C2")
def test_no_spelling_of_a_cookie_but_its_own_counts(browser: Browser) -> None:
    browser.sign_in()
    (cookie,) = (cookie for cookie in browser.cookies if cookie.name == "oauth2_login_oauth2")
    value = cookie.value
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    others = {f"{value}=", f"{value}.", f"{value[:9]}.{value[9:]}", f"{value[:-1]}"}
    others |= {value[:-1] + last for last in alphabet if last != value[-1]}
    for other in others:
        browser.jar.put(dataclasses.replace(cookie, value=other))
        assert not is_signed_in(browser), other[-4:]
    browser.jar.put(cookie)
    assert is_signed_in(browser)


# -- what a provider may say


HALF_A_PAIR = "\ud83d"


def test_a_name_that_was_cut_in_half_keeps_nobody_out(browser: Browser, provider: Provider) -> None:
    person = {"sub": "ada", "name": f"Ada {HALF_A_PAIR}", "picture": HALF_A_PAIR}
    provider.on("/userinfo", Answer(body=person))
    assert browser.sign_in().status_code == 302
    assert (browser.get("/me").get_json() or {})["name"] == "Ada \N{REPLACEMENT CHARACTER}"


def test_an_account_whose_id_is_no_text_is_nobody(browser: Browser, provider: Provider) -> None:
    provider.on("/userinfo", Answer(body={"sub": HALF_A_PAIR}))
    assert browser.sign_in().status_code == 502
    assert not is_signed_in(browser)


@pytest.mark.security("B3")
@pytest.mark.parametrize("digits", [1, 20, 400, 5000])
def test_a_lifetime_beyond_all_measure_is_unknown(
    browser: Browser, provider: Provider, digits: int
) -> None:
    body = f'{{"access_token": "x", "expires_in": {"9" * digits}}}'
    provider.on("/token", Answer(body=body.encode()))
    token = make_handler(provider, redirect_uri="http://localhost/callback").get_token("code")
    assert token is not None
    assert (token.expires_at is None) == (digits > 1)


def test_a_login_lasts_as_long_as_a_session_that_becomes_permanent_later(
    app: Flask, browser: Browser
) -> None:
    @app.get("/remember-me")
    def remember_me() -> str:
        session.permanent = True
        return "for a month"

    browser.sign_in()
    assert {cookie.max_age for cookie in browser.cookies} == {None}
    browser.get("/remember-me")
    assert all(cookie.max_age or cookie.expires_at for cookie in browser.cookies)
    assert is_signed_in(browser)
