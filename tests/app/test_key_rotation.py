"""What rests in a store after the app's secret has changed."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from flask_oauth2_login import OAuth2, OAuth2Login
from tests.conftest import MakeApp
from tests.support.assertions import is_signed_in
from tests.support.handlers import make_handler
from tests.support.provider import Browser, Provider


def make_login(provider: Provider, folder: Path) -> OAuth2Login:
    handler = OAuth2(
        provider.client_id,
        provider.client_secret,
        provider.url,
        authorization_url="authorize",
        token_url="token",
        userinfo_url="userinfo",
        api_url=provider.api_url,
    )
    return OAuth2Login(handler, store=f"sqlite:///{folder}/logins.db", offline=True)


def test_after_resealing_the_older_secret_is_not_needed(
    provider: Provider, make_app: MakeApp, tmp_path: Path
) -> None:
    def restart(**config: t.Any) -> tuple[OAuth2Login, t.Any]:
        login = make_login(provider, tmp_path)
        return login, make_app(login, **config)

    _, app = restart(SECRET_KEY="older")
    Browser(app, provider).sign_in()
    owner = f"oauth2::{provider.person['sub']}" if provider.person else ""

    login, app = restart(SECRET_KEY="newer", SECRET_KEY_FALLBACKS=["older"])
    with app.app_context():
        assert login.session_for(owner).get("x").ok, "an older secret still finds and opens"
        assert login.reseal() == 2
        assert login.reseal() == 0

    login, app = restart(SECRET_KEY="newer")
    with app.app_context():
        assert login.session_for(owner).get("x").ok
        assert [identity.id for identity in login.accounts(owner)] == ["ada"]


@pytest.mark.parametrize("store", ["cookie", "sqlite"])
@pytest.mark.parametrize("step", ["new key known", "new key used"])
def test_old_and_new_pods_of_a_rolling_deployment_know_each_others_logins(
    provider: Provider, make_app: MakeApp, tmp_path: Path, store: str, step: str
) -> None:
    older, both, newer = (
        {"SECRET_KEY": "older"},
        {"SECRET_KEY": "older", "SECRET_KEY_FALLBACKS": ["newer"]},
        {"SECRET_KEY": "newer", "SECRET_KEY_FALLBACKS": ["older"]},
    )
    sides = (older, both) if step == "new key known" else (both, newer)
    for first, second in (sides, sides[::-1]):
        pods = []
        for config in (first, second):
            url = f"sqlite:///{tmp_path}/logins.db" if store == "sqlite" else store
            login = OAuth2Login(make_handler(provider), store=url)
            pods.append(make_app(login, **config))
        browser, other = (Browser(pod, provider) for pod in pods)
        browser.sign_in()
        other.jar = browser.jar
        assert is_signed_in(other)
        authorize_url = browser.begin()
        assert other.finish(authorize_url).status_code == 302, "the other pod answers the callback"
        assert is_signed_in(browser)
