"""What rests in a store after the app's secret has changed."""

from __future__ import annotations

import typing as t
from pathlib import Path

from flask_oauth2_login import OAuth2, OAuth2Login
from tests.conftest import MakeApp
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
