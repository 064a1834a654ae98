"""Authlib's Flask client, with the token and the person in Flask's session."""

from __future__ import annotations

import typing as t

from authlib.integrations.flask_client import OAuth
from flask import Flask, redirect, session, url_for
from flask.typing import ResponseReturnValue

from ..provider import Provider


def add_login(app: Flask, provider: Provider) -> None:
    def keep_token(token: dict[str, t.Any], **_kwargs: object) -> None:
        session["token"] = {
            name: token[name]
            for name in ("access_token", "token_type", "refresh_token", "expires_at")
        }

    oauth = OAuth(app, fetch_token=lambda _name: session.get("token"))
    if provider.is_openid:
        places = {"server_metadata_url": f"{provider.url}/.well-known/openid-configuration"}
    else:
        places = {
            "authorize_url": provider.endpoint("authorize"),
            "access_token_url": provider.endpoint("token"),
        }
    client = oauth.register(
        "provider",
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        api_base_url=provider.api_url,
        client_kwargs={
            "scope": provider.scope,
            "code_challenge_method": "S256",
            # By default a token that lives for less than a minute would be refreshed at once.
            "leeway": 0,
        },
        update_token=keep_token,
        **places,
    )

    @app.get("/login")
    def login() -> ResponseReturnValue:
        return t.cast(
            ResponseReturnValue, client.authorize_redirect(url_for("callback", _external=True))
        )

    @app.get("/callback")
    def callback() -> ResponseReturnValue:
        token = client.authorize_access_token()
        if provider.is_openid:
            claims = token["userinfo"]
        else:
            response = client.get(provider.endpoint("userinfo"), token=token)
            response.raise_for_status()
            claims = response.json()
        keep_token(token)
        session["identity"] = {
            "id": claims["sub"],
            "name": claims["name"],
            "email": claims["email"],
        }
        return redirect("/")

    @app.get("/guarded")
    def guarded() -> ResponseReturnValue:
        if "token" not in session:
            return redirect(url_for("login"))
        return "For people who have signed in."

    @app.get("/call")
    def call() -> ResponseReturnValue:
        if "token" not in session:
            return redirect(url_for("login"))
        response = client.get("me")
        response.raise_for_status()
        return t.cast(dict[str, t.Any], response.json())
