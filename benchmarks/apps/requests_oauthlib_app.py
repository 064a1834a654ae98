"""requests-oauthlib, as its documentation's example for Flask uses it, with PKCE and refreshes."""

from __future__ import annotations

import typing as t

from flask import Flask, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from requests_oauthlib import OAuth2Session

from ..provider import Provider


def add_login(app: Flask, provider: Provider) -> None:
    def keep_token(token: dict[str, t.Any]) -> None:
        names = ("access_token", "token_type", "refresh_token", "expires_at")
        session["token"] = {name: token[name] for name in names}

    @app.get("/login")
    def login() -> ResponseReturnValue:
        oauth = OAuth2Session(
            provider.client_id,
            scope=provider.scope,
            redirect_uri=url_for("callback", _external=True),
            pkce="S256",
        )
        url, session["state"] = oauth.authorization_url(provider.endpoint("authorize"))
        session["verifier"] = oauth._code_verifier
        return redirect(url)

    @app.get("/callback")
    def callback() -> ResponseReturnValue:
        oauth = OAuth2Session(
            provider.client_id,
            state=session.pop("state"),
            redirect_uri=url_for("callback", _external=True),
        )
        token = oauth.fetch_token(
            provider.endpoint("token"),
            client_secret=provider.client_secret,
            authorization_response=request.url,
            code_verifier=session.pop("verifier"),
        )
        response = oauth.get(provider.endpoint("userinfo"))
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
        oauth = OAuth2Session(
            provider.client_id,
            token=session["token"],
            auto_refresh_url=provider.endpoint("token"),
            auto_refresh_kwargs={
                "client_id": provider.client_id,
                "client_secret": provider.client_secret,
            },
            token_updater=keep_token,
        )
        response = oauth.get(f"{provider.api_url}me")
        response.raise_for_status()
        return t.cast(dict[str, t.Any], response.json())
