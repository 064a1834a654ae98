"""This extension, with its defaults."""

from __future__ import annotations

import typing as t

from flask import Flask
from flask.typing import ResponseReturnValue

from flask_oauth2_login import (
    OAuth2,
    OAuth2Login,
    OpenIDConnect,
    current_oauth_session,
    login_required,
)

from ..provider import Provider


def add_login(app: Flask, provider: Provider, **options: t.Any) -> None:
    app.register_blueprint(OAuth2Login(make_handler(provider, **options), scope=provider.scope))

    @app.get("/guarded")
    @login_required
    def guarded() -> ResponseReturnValue:
        return "For people who have signed in."

    @app.get("/call")
    @login_required
    def call() -> ResponseReturnValue:
        response = current_oauth_session.get("me")
        response.raise_for_status()
        return t.cast(dict[str, t.Any], response.json())


def make_handler(provider: Provider, **options: t.Any) -> OAuth2:
    credentials = provider.client_id, provider.client_secret
    if provider.is_openid:
        return OpenIDConnect(*credentials, provider.url, api_url=provider.api_url, **options)
    return OAuth2(
        *credentials,
        provider.url,
        authorization_url="authorize",
        token_url="token",
        userinfo_url="userinfo",
        api_url=provider.api_url,
        **options,
    )
