"""Records in a browser: what opens them, and how large they may be."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask

from flask_oauth2_login import Identity, OAuth2Login, current_identity, require_login
from tests.conftest import MakeApp, MakeProvider
from tests.support.apps import keep_sessions_on_the_server
from tests.support.assertions import is_signed_in
from tests.support.handlers import make_handler
from tests.support.provider import Answer, Browser, Provider

RECORD = "oauth2_login_oauth2"


@pytest.mark.security("C1")
def test_cookies_tell_nothing(browser: Browser, provider: Provider) -> None:
    browser.sign_in()
    token = provider.calls("/userinfo")[-1].access_token()
    assert token
    for cookie in browser.cookies:
        assert token not in cookie.value
        assert "Ada" not in cookie.value
        assert cookie.httponly


@pytest.mark.security("C5")
def test_what_an_app_changes_of_a_login_ends_with_its_request(
    provider: Provider, make_app: MakeApp
) -> None:
    """Requests with the same cookie share the record that was opened from it."""
    login = OAuth2Login(make_handler(provider), claims=["groups"], roles="groups")
    app = make_app(login)
    seen: list[object] = []

    def change(identity: Identity) -> bool:
        seen.append((identity.to_dict(), dict(login.token or {})))
        identity.name = identity.owner = "Eve"
        identity.roles.append("admin")
        identity.claims["groups"].append("admin")
        assert login.token is not None
        login.token["access_token"] = "another"
        login.token.update({"refresh_token": "another"})
        return True

    @app.get("/changing")
    def changing() -> str:
        require_login(check=change)
        return f"{current_identity.name} {current_identity.roles}"

    browser = Browser(app, provider)
    browser.sign_in(person={"groups": ["staff"]})
    first, second = (browser.get("/changing").text for _ in range(2))
    # Within a request, the app's change counts.
    assert first == second == "Eve ['staff', 'admin']"
    assert seen[0] == seen[1]
    assert browser.get("/call/me").status_code == 200


def changed(value: str) -> list[str]:
    return [
        "", "x", "." * 50, value[:-1], value[1:], value + "A", value[:20] + "A" + value[21:],
        value.swapcase(), value * 50, "é" * 20, "A" * 5000, "-_-_" * 30,
    ]  # fmt: skip


@pytest.mark.security("C2")
@pytest.mark.parametrize("number", range(12))
def test_a_changed_record_is_as_good_as_none(browser: Browser, number: int) -> None:
    import dataclasses

    browser.sign_in()
    cookie = browser.cookie(RECORD)
    assert cookie is not None
    browser.jar.put(dataclasses.replace(cookie, value=changed(cookie.value)[number]))
    assert browser.fetch("/me").status_code == 401


@pytest.mark.security("C2")
def test_another_apps_or_logins_record_opens_nothing(provider: Provider, make_app: MakeApp) -> None:
    import dataclasses

    one = OAuth2Login(make_handler(provider), name="one")
    two = OAuth2Login(make_handler(provider), name="two")
    browser = Browser(make_app(one, two), provider)
    browser.sign_in("/one/login")
    browser.sign_in("/two/login")
    cookie = browser.cookie("oauth2_login_one")
    assert cookie is not None
    browser.jar.put(dataclasses.replace(cookie, name="oauth2_login_two"))
    assert (browser.get("/me").get_json() or {})["provider"] == "one"


@pytest.mark.security("C2")
def test_the_record_counts_with_its_mark_only(app: Flask, provider: Provider) -> None:
    ada, bob = Browser(app, provider), Browser(app, provider)
    ada.sign_in()
    bob.sign_in(person={"sub": "bob"})
    record = ada.cookie(RECORD)
    assert record is not None
    bob.jar.put(record)
    assert not is_signed_in(bob)


@pytest.mark.security("C2")
def test_older_secrets_open_and_foreign_ones_do_not(app: Flask, browser: Browser) -> None:
    browser.sign_in()
    older, app.config["SECRET_KEY"] = app.config["SECRET_KEY"], "newer"
    assert not is_signed_in(browser)
    app.config["SECRET_KEY_FALLBACKS"] = [older]
    browser.sign_in()
    assert is_signed_in(browser)


@pytest.mark.security("C4")
def test_a_record_too_large_for_a_cookie_names_the_stores(
    make_provider: MakeProvider, make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    provider = make_provider(access_token_size=9000)
    browser = Browser(make_app(OAuth2Login(make_handler(provider))), provider)
    assert browser.sign_in().status_code == 502
    assert "sqlite:///" in caplog.text
    assert not browser.jar.refused
    assert not is_signed_in(browser)


def test_a_typical_login_has_small_cookies(make_provider: MakeProvider, make_app: MakeApp) -> None:
    provider = make_provider(access_token_size=1200, refresh_token_size=64)
    browser = Browser(make_app(OAuth2Login(make_handler(provider))), provider)
    browser.sign_in()
    assert sum(len(f"{cookie.name}={cookie.value}") for cookie in browser.cookies) <= 1700


@pytest.mark.security("C4")
def test_a_record_too_large_for_the_sessions_cookie_names_the_stores(
    make_provider: MakeProvider,
    make_app: MakeApp,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    provider = make_provider(access_token_size=9000)
    browser = Browser(make_app(OAuth2Login(make_handler(provider), store="session")), provider)
    assert browser.sign_in().status_code == 502
    assert "sqlite:///" in caplog.text
    assert not browser.jar.refused
    assert not is_signed_in(browser)
    # On the server there is room for it.
    app = make_app(OAuth2Login(make_handler(provider), store="session"))
    keep_sessions_on_the_server(app, tmp_path)
    browser = Browser(app, provider)
    browser.sign_in()
    assert is_signed_in(browser)


@pytest.mark.security("C4")
def test_the_largest_token_is_no_traceback(
    make_provider: MakeProvider,
    make_app: MakeApp,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    provider = make_provider(access_token_size=1_045_000)
    handler = make_handler(provider, userinfo_url=None)
    in_a_cookie = Browser(make_app(OAuth2Login(handler)), provider)
    assert in_a_cookie.sign_in().status_code == 502
    assert "sqlite:///" in caplog.text
    store = f"sqlite:///{tmp_path}/logins.db"
    on_the_server = Browser(make_app(OAuth2Login(handler, store=store)), provider)
    assert on_the_server.sign_in().status_code == 302
    assert is_signed_in(on_the_server)


@pytest.mark.security("C4")
def test_more_than_can_be_sealed_is_the_providers_error(
    provider: Provider, make_app: MakeApp, tmp_path: Path
) -> None:
    store, claims = f"sqlite:///{tmp_path}/logins.db", ["name", "nickname"]
    app = make_app(OAuth2Login(make_handler(provider), store=store, claims=claims))
    person = {"sub": "ada", "name": "x" * 500_000, "nickname": "x" * 500_000}
    provider.token_overrides = {"more": "x" * 1_000_000}
    provider.on("/userinfo", Answer(body=person))
    browser = Browser(app, provider)
    assert browser.sign_in().status_code == 502
    assert not is_signed_in(browser)
