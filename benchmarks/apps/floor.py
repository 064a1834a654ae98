"""By hand: only what a developer writes with Flask and one pooled `requests.Session`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
import typing as t
from urllib.parse import urlencode

import requests
from flask import Flask, abort, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from joserfc import jwt
from joserfc.jwk import KeySet

from ..provider import Provider

#: Seconds to connect, and between two bytes.
TIMEOUT = (5, 15)


def add_login(app: Flask, provider: Provider) -> None:
    http = requests.Session()
    keys: list[KeySet] = []

    @app.get("/login")
    def login() -> ResponseReturnValue:
        state, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(48)
        digest = hashlib.sha256(verifier.encode()).digest()
        attempt = {"state": state, "verifier": verifier}
        params = {
            "response_type": "code",
            "client_id": provider.client_id,
            "redirect_uri": url_for("callback", _external=True),
            "scope": provider.scope,
            "state": state,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        if provider.is_openid:
            params["nonce"] = attempt["nonce"] = secrets.token_urlsafe(24)
        session["attempt"] = attempt
        return redirect(f"{provider.endpoint('authorize')}?{urlencode(params)}")

    @app.get("/callback")
    def callback() -> ResponseReturnValue:
        attempt = session.pop("attempt", None)
        if attempt is None or not hmac.compare_digest(
            attempt["state"], request.args.get("state", "")
        ):
            abort(400)
        response = http.post(
            provider.endpoint("token"),
            data={
                "grant_type": "authorization_code",
                "code": request.args["code"],
                "redirect_uri": url_for("callback", _external=True),
                "client_id": provider.client_id,
                "client_secret": provider.client_secret,
                "code_verifier": attempt["verifier"],
            },
            timeout=TIMEOUT,
        )
        response.raise_for_status()
        token = response.json()
        if provider.is_openid:
            claims = validate_id_token(token["id_token"], attempt["nonce"])
        else:
            claims = fetch_userinfo(token["access_token"])
        session["token"] = {
            "access_token": token["access_token"],
            "refresh_token": token["refresh_token"],
            "expires_at": int(time.time()) + token["expires_in"],
        }
        session["identity"] = {
            "id": claims["sub"],
            "name": claims["name"],
            "email": claims["email"],
        }
        return redirect("/")

    def fetch_userinfo(access_token: str) -> dict[str, t.Any]:
        response = http.get(
            provider.endpoint("userinfo"),
            headers={"Authorization": f"Bearer {access_token}"},
            timeout=TIMEOUT,
        )
        response.raise_for_status()
        return t.cast(dict[str, t.Any], response.json())

    def validate_id_token(id_token: str, nonce: str) -> dict[str, t.Any]:
        if not keys:
            answer = http.get(provider.endpoint("jwks"), timeout=TIMEOUT)
            keys.append(KeySet.import_key_set(answer.json()))
        claims = jwt.decode(id_token, keys[0], algorithms=["RS256"]).claims
        jwt.JWTClaimsRegistry(
            leeway=60,
            iss={"essential": True, "value": provider.url},
            aud={"essential": True, "value": provider.client_id},
            exp={"essential": True},
            nonce={"essential": True, "value": nonce},
        ).validate(claims)
        return claims

    @app.get("/guarded")
    def guarded() -> ResponseReturnValue:
        if "token" not in session:
            return redirect(url_for("login"))
        return "For people who have signed in."

    @app.get("/call")
    def call() -> ResponseReturnValue:
        if "token" not in session:
            return redirect(url_for("login"))
        response = http.get(
            f"{provider.api_url}me",
            headers={"Authorization": f"Bearer {session['token']['access_token']}"},
            timeout=TIMEOUT,
        )
        response.raise_for_status()
        return t.cast(dict[str, t.Any], response.json())
