"""Signing in at an OpenID Provider: what its ID tokens, keys and metadata must be."""

from __future__ import annotations

import typing as t

from flask_oauth2_login import OAuth2Login
from flask_oauth2_login import OpenIDConnect

from .conftest import MakeApp
from .provider import Browser
from .provider import Provider


def handler(provider: Provider, **options: t.Any) -> OpenIDConnect:
    return OpenIDConnect(
        provider.client_id, provider.client_secret, provider.issuer, "http://localhost/callback",
        timeout=(2, 2), **options,
    )  # fmt: skip


def redeem(
    provider: Provider, sso: OpenIDConnect, nonce: str | None = "n-1", **params: t.Any
) -> t.Any:
    url = sso.authorize_url("openid email profile", state="s", nonce="n-1")
    answer = provider.answer(url)
    return sso.get_token(answer.params["code"], nonce=nonce, **params)


def test_signs_in_and_knows_who(provider: Provider, make_app: MakeApp) -> None:
    app = make_app(OAuth2Login(handler(provider), scope="openid email"))
    browser = Browser(app, provider)
    assert browser.sign_in().status_code == 302
    who = browser.get("/me").get_json()
    assert who["id"] == provider.person["sub"]
    assert who["email"] == provider.person["email"]
