"""flask-oidc, which uses Authlib. The ID token says who the person is, as in the other apps."""

from __future__ import annotations

import typing as t

from flask import Flask, g
from flask.typing import ResponseReturnValue
from flask_oidc import OpenIDConnect

from ..provider import Provider


def add_login(app: Flask, provider: Provider) -> None:
    app.config["OIDC_CLIENT_SECRETS"] = {
        "web": {
            "client_id": provider.client_id,
            "client_secret": provider.client_secret,
            "issuer": provider.url,
        }
    }
    app.config["OIDC_SCOPES"] = provider.scope
    app.config["OIDC_USER_INFO_ENABLED"] = False
    oidc = OpenIDConnect(app)
    # It has no option for PKCE.
    oidc.oauth.oidc.client_kwargs["code_challenge_method"] = "S256"

    def guarded() -> ResponseReturnValue:
        return "For people who have signed in."

    def call() -> ResponseReturnValue:
        token = {"access_token": oidc.get_access_token(), "token_type": "Bearer"}
        response = g._oidc_auth.get(f"{provider.api_url}me", token=token)
        response.raise_for_status()
        return t.cast(dict[str, t.Any], response.json())

    app.add_url_rule("/guarded", view_func=oidc.require_login(guarded))
    app.add_url_rule("/call", view_func=oidc.require_login(call))
