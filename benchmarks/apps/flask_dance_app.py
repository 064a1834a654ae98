"""Flask-Dance, with PKCE and automatic refreshes. UserInfo is asked when the token comes."""

from __future__ import annotations

import typing as t

from flask import Flask, redirect, session, url_for
from flask.typing import ResponseReturnValue
from flask_dance.consumer import OAuth2ConsumerBlueprint, oauth_authorized

from ..provider import Provider


def add_login(app: Flask, provider: Provider) -> None:
    blueprint = OAuth2ConsumerBlueprint(
        "provider",
        __name__,
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        base_url=provider.api_url,
        authorization_url=provider.endpoint("authorize"),
        token_url=provider.endpoint("token"),
        auto_refresh_url=provider.endpoint("token"),
        auto_refresh_kwargs={
            "client_id": provider.client_id,
            "client_secret": provider.client_secret,
        },
        scope=provider.scope,
        use_pkce=True,
        login_url="/login",
        authorized_url="/callback",
    )
    app.register_blueprint(blueprint)

    def keep_identity(blueprint: OAuth2ConsumerBlueprint, token: dict[str, t.Any]) -> None:
        blueprint.token = token
        response = blueprint.session.get(provider.endpoint("userinfo"))
        response.raise_for_status()
        claims = response.json()
        session["identity"] = {
            "id": claims["sub"],
            "name": claims["name"],
            "email": claims["email"],
        }

    oauth_authorized.connect(keep_identity, sender=blueprint, weak=False)

    @app.get("/guarded")
    def guarded() -> ResponseReturnValue:
        if not blueprint.session.authorized:
            return redirect(url_for("provider.login"))
        return "For people who have signed in."

    @app.get("/call")
    def call() -> ResponseReturnValue:
        if not blueprint.session.authorized:
            return redirect(url_for("provider.login"))
        response = blueprint.session.get("me")
        response.raise_for_status()
        return t.cast(dict[str, t.Any], response.json())
