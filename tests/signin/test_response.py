"""The authorization response: refusals, malformed ones, `iss`, and responses by a form."""

from __future__ import annotations

import io
import logging
import typing as t

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_oauth2_login import AuthorizationError, OAuth2Login, login_failed
from tests.conftest import MakeApp
from tests.support.assertions import assert_rejected, query_of
from tests.support.handlers import make_handler, make_openid_client
from tests.support.provider import REMOVED, Answer, Browser, Provider


class Flood(io.RawIOBase):
    """A body of any length, which counts what was read of it."""

    def __init__(self, size: int) -> None:
        self.left = self.size = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int:
        taken = min(len(buffer), self.left)
        buffer[:taken] = b"x" * taken
        self.left -= taken
        return taken


@pytest.mark.security("A6")
@pytest.mark.parametrize(
    "length",
    [
        {"CONTENT_LENGTH": "100000000"},
        {"CONTENT_LENGTH": ""},
        {"HTTP_TRANSFER_ENCODING": "chunked"},
    ],
)
def test_a_form_of_any_length_is_not_read(
    provider: Provider, make_app: MakeApp, length: dict[str, str]
) -> None:
    app = make_app(OAuth2Login(make_handler(provider, response_mode="form_post")))
    body = Flood(100_000_000)
    request = {
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        **length,
    }
    response = app.test_client().post("/callback", environ_overrides=request)
    assert 400 <= response.status_code < 500
    assert body.size - body.left < 1_000_000


@pytest.mark.security("A6")
@pytest.mark.parametrize("name", ["iss", "error", "code", "error_description", "error_uri"])
def test_an_empty_parameter_is_rejected(app: Flask, provider: Provider, name: str) -> None:
    browser = Browser(app, provider)
    empty: dict[str, t.Any] = {name: ""}
    assert_rejected(browser, provider, browser.sign_in(**empty))


@pytest.mark.security("A4")
@pytest.mark.parametrize("iss", ["https://evil.example", REMOVED])
def test_iss_must_be_right_and_there_where_it_is_promised(
    provider: Provider, make_app: MakeApp, iss: t.Any
) -> None:
    browser = Browser(make_app(OAuth2Login(make_openid_client(provider), scope="email")), provider)
    assert browser.sign_in(iss=iss).status_code == 400
    assert not provider.calls("/token")
    assert browser.fetch("/me").status_code == 401


@pytest.mark.security("A4")
def test_iss_may_be_missing_where_nothing_promises_it(provider: Provider) -> None:
    provider.send_iss = False
    sso = make_openid_client(provider)
    sso.check_issuer(None)
    with pytest.raises(AuthorizationError):
        sso.check_issuer("https://evil.example")


def test_a_sign_in_by_form_post(provider: Provider, make_app: MakeApp) -> None:
    sso = make_openid_client(provider, response_mode="form_post")
    browser = Browser(make_app(OAuth2Login(sso, scope="email")), provider)
    assert browser.sign_in().status_code == 302
    who = browser.get("/me").get_json() or {}
    assert (who["id"], who["email"]) == ("ada", "ada@example.com")


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


@pytest.mark.security("A9")
@pytest.mark.parametrize("path", ["/login", "/callback", "/logout", "/backchannel-logout"])
@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH"])
def test_another_methods_answer_is_nobody_elses_either(app: Flask, path: str, method: str) -> None:
    response = app.test_client().open(path, method=method)
    assert response.status_code == 405
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert "Cache-Control" not in app.test_client().put("/me").headers


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


#: What a provider may say of a refusal, percent-encoded.
ODD_TEXTS = {
    "line breaks": "AADSTS65004%3A+declined.%0D%0ATrace+ID%3A+1",
    "no UTF-8": "acc%E8s+refus%E9",
    "control characters": "no%00%1B%5B2J%7F",
    "empty": "",
    "long": "x" * 20_000,
}


@pytest.mark.security("A5", "A6")
@pytest.mark.parametrize("name", ["error_description", "error_uri", "trace_id"])
@pytest.mark.parametrize("text", ODD_TEXTS.values(), ids=ODD_TEXTS)
@pytest.mark.parametrize("mode", [None, "form_post"])
def test_a_text_for_people_does_not_hide_the_refusal(
    provider: Provider,
    make_app: MakeApp,
    caplog: pytest.LogCaptureFixture,
    name: str,
    text: str,
    mode: t.Any,
) -> None:
    login = OAuth2Login(make_handler(provider, response_mode=mode))
    browser = Browser(make_app(login), provider)
    state = query_of(browser.begin())["state"]
    answer = f"error=access_denied&{name}={text}&state={state}"
    if mode is None:
        response = browser.get(f"/callback?{answer}", site="cross-site")
    else:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        response = browser.send(
            "POST", "/callback", answer.encode(), site="cross-site", headers=form
        )
        response = browser.follow(response)
    assert_rejected(browser, provider, response)
    assert "cancelled" in response.text
    assert len(response.text) < 5000
    assert all(record.getMessage().isprintable() for record in caplog.records)


@pytest.mark.security("A6")
@pytest.mark.parametrize("part", ["error=a%0D%0Ab", "error=%FF", "error=a&iss=%FF", "error="])
def test_what_decides_stays_strict_in_a_refusal(
    browser: Browser, provider: Provider, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    state = query_of(browser.begin())["state"]
    query = f"{part}&error_description=%FF&state={state}"
    response = browser.get(f"/callback?{query}", site="cross-site")
    assert_rejected(browser, provider, response)
    assert "not well-formed" in caplog.text
    assert "sent no answer that we could use" in response.text


@pytest.mark.parametrize("samesite", ["Lax", "Strict"])
@pytest.mark.parametrize(
    ("params", "error", "description"),
    [
        (
            {"error_code": "1349048", "error_message": "App\nnot active"},
            "1349048",
            "App not active",
        ),
        ({"errorMessage": "no <b>way</b>"}, "invalid_request", "no <b>way</b>"),
        ({"error_reason": "user_denied"}, "user_denied", "user_denied"),
        ({"error_code": "7" * 9000, "error_message": "x" * 9000}, "7" * 100, "x" * 500),
    ],
)
def test_a_refusal_in_other_words_is_in_the_log_and_the_signal(
    provider: Provider,
    make_app: MakeApp,
    caplog: pytest.LogCaptureFixture,
    samesite: str,
    params: dict[str, str],
    error: str,
    description: str,
) -> None:
    login = OAuth2Login(make_handler(provider))
    app = make_app(login, SESSION_COOKIE_SAMESITE=samesite)
    browser = Browser(app, provider)
    told: list[t.Any] = []

    def note(_sender: t.Any, error: t.Any, **_: t.Any) -> None:
        told.append(error)

    with login_failed.connected_to(note, app):
        overrides: dict[str, t.Any] = {"code": REMOVED, **params}
        response = browser.sign_in(**overrides)
    assert_rejected(browser, provider, response)
    assert "<b>" not in response.text
    assert (told[0].error, told[0].error_description) == (error, description)
    (line,) = (record.getMessage() for record in caplog.records)
    assert error in line
    assert description in line


@pytest.mark.security("A4", "A5")
@pytest.mark.parametrize(
    ("overrides", "cancelled"),
    [
        ({"iss": REMOVED}, True),
        ({}, True),
        ({"iss": "https://evil.example"}, False),
        ({"iss": REMOVED, "code": "a-code"}, False),
    ],
)
def test_a_refusal_without_iss_is_the_providers_own(
    provider: Provider, make_app: MakeApp, overrides: dict[str, t.Any], cancelled: bool
) -> None:
    browser = Browser(make_app(OAuth2Login(make_openid_client(provider), scope="email")), provider)
    refusal = {"code": REMOVED, "error": "access_denied", **overrides}
    response = browser.sign_in(**refusal)
    assert_rejected(browser, provider, response)
    assert ("cancelled" in response.text) is cancelled


def test_another_issuer_is_named_in_the_log_beside_ours(
    provider: Provider, make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    browser = Browser(make_app(OAuth2Login(make_openid_client(provider), scope="email")), provider)
    assert browser.sign_in(iss=f"{provider.issuer}/").status_code == 400
    assert f"{provider.issuer}/'" in caplog.text
    assert f"issuer={provider.issuer!r}" in caplog.text
    assert "slash" in caplog.text
