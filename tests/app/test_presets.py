"""SECURITY C3 and E7: presets that the app's configuration moves; whose word an address has."""

from __future__ import annotations

import typing as t

import pytest
import requests
from flask import Flask, request

from flask_oauth2_login import (
    ConfigurationError,
    OAuth2Login,
    current_identity,
    current_oauth_session,
    login_required,
)
from tests.conftest import MakeApp
from tests.support.assertions import query_of
from tests.support.handlers import make_handler
from tests.support.provider import REMOVED, Answer, Browser, Provider

GITHUB = "https://api.github.com/user"

GOOGLE = "https://www.googleapis.com/oauth2/v3/userinfo"


def make_site(name: str, overlay: dict[str, t.Any]) -> Flask:
    app = Flask("enterprise")
    app.config |= {
        "SECRET_KEY": "x" * 32,
        "TESTING": True,
        f"{name.upper()}_CLIENT_ID": "the-client",
        f"{name.upper()}_CLIENT_SECRET": "the-secret",
        "OAUTH2_LOGIN_PROVIDERS": {name: overlay},
    }
    app.register_blueprint(OAuth2Login(name))

    @app.get("/me")
    @login_required
    def me() -> dict[str, t.Any]:
        return current_identity.to_dict()

    @app.get("/call")
    @login_required
    def call() -> str:
        return current_oauth_session.get(request.args["url"]).text

    return app


def endpoints(provider: Provider, *names: str) -> dict[str, t.Any]:
    known = {
        "authorization_url": f"{provider.url}/authorize",
        "token_url": f"{provider.url}/token",
        "userinfo_url": f"{provider.url}/userinfo",
        "identity": {"id": "sub"},
    }
    return {name: known[name] for name in names}


@pytest.fixture
def sent_elsewhere(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What goes to other hosts than this machine; it gets nowhere."""
    elsewhere: list[str] = []
    send = requests.adapters.HTTPAdapter.send

    def note(self: t.Any, request: t.Any, *args: t.Any, **more: t.Any) -> t.Any:
        if not request.url.startswith("http://127.0.0.1"):
            elsewhere.append(request.url)
            raise requests.exceptions.ConnectionError("elsewhere")
        return send(self, request, *args, **more)

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", note)
    return elsewhere


@pytest.mark.security("C3", "E7")
@pytest.mark.parametrize("own", [("userinfo_url", "identity"), ()])
def test_a_moved_preset_takes_no_token_to_the_old_place(
    provider: Provider,
    sent_elsewhere: list[str],
    caplog: pytest.LogCaptureFixture,
    own: tuple[str, ...],
) -> None:
    site = make_site("github", endpoints(provider, "authorization_url", "token_url", *own))
    assert "email_url" in caplog.text
    assert "api_url" in caplog.text
    assert ("userinfo_url" in caplog.text) == (not own)
    browser = Browser(site, provider)
    assert browser.sign_in().status_code == 302
    me = browser.fetch("/me").json or {}
    assert me["id"] == ("ada" if own else None)
    assert me["email_verified"] == bool(own), "UserInfo's own word, and nobody else's"
    with pytest.raises(ConfigurationError, match=r"api\.github\.com"):
        browser.fetch(f"/call?url={GITHUB}")
    assert sent_elsewhere == []


@pytest.mark.security("C3")
@pytest.mark.parametrize(
    "names", [["authorization_url"], ["token_url"], ["token_url", "userinfo_url"], ["site"]]
)
def test_a_preset_that_is_moved_in_part_is_refused(provider: Provider, names: list[str]) -> None:
    overlay = {"site": provider.url} if names == ["site"] else endpoints(provider, *names)
    with pytest.raises(ConfigurationError, match=r"moves the preset 'github'.*_url") as caught:
        make_site("github", overlay)
    assert provider.url in str(caught.value)


@pytest.mark.security("C3")
def test_another_issuer_leaves_the_apis_of_the_old_one(
    provider: Provider, sent_elsewhere: list[str]
) -> None:
    browser = Browser(make_site("google", {"issuer": provider.issuer}), provider)
    assert browser.sign_in().status_code == 302
    assert (browser.fetch("/me").json or {})["id"] == "ada"
    with pytest.raises(ConfigurationError, match="Add it to the handler"):
        browser.fetch(f"/call?url={GOOGLE}")
    assert sent_elsewhere == []


@pytest.mark.security("C3")
def test_a_preset_of_endpoints_may_become_one_with_an_issuer(
    provider: Provider, sent_elsewhere: list[str]
) -> None:
    overlay = {"issuer": provider.issuer, "scope": "openid", "identity": {"id": "sub"}}
    browser = Browser(make_site("github", overlay), provider)
    assert browser.sign_in().status_code == 302
    assert (browser.fetch("/me").json or {})["id"] == "ada"
    assert sent_elsewhere == []


@pytest.mark.parametrize(
    "overlay",
    [
        {"scope": "repo"},
        {"label": "Work"},
        {"authorization_url": "https://github.com/login/oauth/authorize?prompt=select_account"},
        {"api_url": "https://gateway.example/github/"},
        {"token_url": "https://api.github.com/token"},
    ],
)
def test_what_does_not_move_a_preset_takes_nothing_from_it(
    overlay: dict[str, t.Any], caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site("github", overlay)
    handler = site.extensions["oauth2_login"].logins["github"].handler
    assert handler.userinfo_url == "https://api.github.com/user"
    assert handler.email_url == "https://api.github.com/user/emails"
    assert handler.api_url == overlay.get("api_url", "https://api.github.com/")
    assert caplog.text == ""


def test_what_is_named_stays_where_it_is_named(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    overlay = endpoints(provider, "authorization_url", "token_url", "userinfo_url")
    site = make_site("github", {**overlay, "email_url": None, "api_url": GITHUB})
    handler = site.extensions["oauth2_login"].logins["github"].handler
    assert handler.api_url == GITHUB
    assert handler.email_url is None
    assert caplog.text == ""


@pytest.mark.security("E7")
@pytest.mark.parametrize(
    ("path", "verified"),
    [
        ("[primary,verified].email", True),
        ("data[verified].email", True),
        ("unverified_email", False),
        ("verified_email", False),
        ("[unverified].email", False),
        ("[verified=False].email", False),
        ("verified.email", False),
    ],
)
def test_an_address_counts_only_where_it_was_picked_for_being_verified(
    provider: Provider, make_app: MakeApp, path: str, verified: bool
) -> None:
    mine = {"email": "ada@example.com", "primary": True, "verified": verified, "unverified": True}
    told = {"data": [mine], "unverified_email": mine["email"], "verified_email": mine["email"]}
    told["verified"] = {"email": mine["email"]}
    provider.on("/userinfo/emails", Answer(body=[mine] if path.startswith("[") else told))
    handler = make_handler(provider, email_url="userinfo/emails", email_path=path)
    browser = Browser(make_app(OAuth2Login(handler)), provider)
    provider.userinfo_overrides = {"email": REMOVED, "email_verified": REMOVED}
    browser.sign_in()
    me = browser.fetch("/me").json or {}
    assert (me["email"], me["email_verified"]) == ("ada@example.com", verified)


def test_presets_and_providers_of_an_apps_own(provider: Provider) -> None:
    app = Flask("presets")
    app.config |= {
        "SECRET_KEY": "x" * 32,
        "GITHUB_CLIENT_ID": "id",
        "GITHUB_CLIENT_SECRET": "secret",
        "OWN_CLIENT_ID": provider.client_id,
        "OWN_CLIENT_SECRET": provider.client_secret,
        "OAUTH2_LOGIN_PROVIDERS": {
            "own": {
                "site": provider.url,
                "authorization_url": "authorize",
                "token_url": "token",
                "userinfo_url": "userinfo",
                "scope": "read",
            }
        },
    }
    app.register_blueprint(OAuth2Login("github"), url_prefix="/github")
    app.register_blueprint(OAuth2Login("own"), url_prefix="/own")
    location = app.test_client().get("/github/login").location
    assert location.startswith("https://github.com/login/oauth/authorize?")
    assert query_of(location)["scope"] == "read:user user:email"
    assert Browser(app, provider).sign_in("/own/login").status_code == 302
    logins = app.extensions["oauth2_login"].logins
    assert [(login.name, login.label) for login in logins.values()] == [
        ("github", "GitHub"), ("own", "Own"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "said"), [("gitub", "Did you mean 'github'"), ("nobody-knows", "google")]
)
def test_a_name_that_is_not_known_gets_the_nearest_one_or_all(name: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        make_site(name, {})
