"""Handlers for the provider of the tests: the client that is registered there."""

from __future__ import annotations

import time
import typing as t

from flask_oauth2_login import OAuth2, OAuth2Login, OAuth2Session, OpenIDConnect, Token

from .provider import Provider

#: Where a client that is used without an app has its code sent.
CALLBACK = "http://localhost/callback"

Options = dict[str, t.Any]


def make_handler(provider: Provider, **options: t.Any) -> OAuth2:
    """A handler for an app, by the provider's endpoints.

    :param options: those of `OAuth2`, as well or instead.
    """
    return OAuth2(
        provider.client_id,
        provider.client_secret,
        provider.url,
        authorization_url="authorize",
        **{
            "token_url": "token",
            "userinfo_url": "userinfo",
            "api_url": provider.api_url,
            **options,
        },
    )


def make_openid(provider: Provider, **options: t.Any) -> OpenIDConnect:
    """A handler for an app, by the provider's issuer.

    :param options: those of `OpenIDConnect`, as well or instead.
    """
    return OpenIDConnect(
        provider.client_id,
        provider.client_secret,
        **{"issuer": provider.issuer, "api_url": provider.api_url, **options},
    )


def make_openid_login(provider: Provider, name: str = "sso", **options: t.Any) -> OAuth2Login:
    """A login by the provider's issuer.

    :param options: those of `OAuth2Login`.
    """
    return OAuth2Login(make_openid(provider), name=name, **{"scope": "email", **options})


def make_client(provider: Provider, **options: t.Any) -> OAuth2:
    """A handler that is used without an app, and waits for a second at most."""
    return OAuth2(
        provider.client_id,
        provider.client_secret,
        provider.url,
        authorization_url="authorize",
        **{
            "redirect_uri": CALLBACK,
            "token_url": "token",
            "revoke_url": "revoke",
            "timeout": (1, 1),
            **options,
        },
    )


def make_openid_client(provider: Provider, **options: t.Any) -> OpenIDConnect:
    """A handler by the provider's issuer that is used without an app."""
    return OpenIDConnect(
        provider.client_id,
        provider.client_secret,
        **{
            "issuer": provider.issuer,
            "redirect_uri": CALLBACK,
            "timeout": (2, 2),
            **options,
        },
    )


def redeem(handler: OAuth2, provider: Provider) -> Token:
    """Have somebody consent, and get their token."""
    code = provider.answer(handler.authorize_url("read", state="s")).params["code"]
    token = handler.get_token(code)
    assert token is not None
    return token


def redeem_code(provider: Provider, **options: t.Any) -> Token | None:
    """Get a token with a handler that is made with these options."""
    handler = make_client(provider, **options)
    code = provider.answer(handler.authorize_url("read", state="s")).params["code"]
    return handler.get_token(code)


def redeem_openid(
    provider: Provider,
    sso: OpenIDConnect | None = None,
    asked: Options | None = None,
    **checks: t.Any,
) -> Token:
    """Get a token and its ID token, as a sign-in does.

    :param asked: further parameters of the authorization request.
    :param checks: what `OpenIDConnect.get_token` is to check.
    """
    sso = sso or make_openid_client(provider)
    url = sso.authorize_url("openid email profile", state="s", nonce="n-1", **(asked or {}))
    token = sso.get_token(provider.answer(url).params["code"], **{"nonce": "n-1", **checks})
    assert token is not None
    return token


def make_session(provider: Provider, **options: t.Any) -> OAuth2Session:
    """A session for the provider's API without an app."""
    handler = make_handler(provider, redirect_uri=CALLBACK, **options)
    code = provider.answer(handler.authorize_url("read", state="s")).params["code"]
    return handler.session(handler.get_token(code) or {})


def issue(provider: Provider, **options: t.Any) -> None:
    """Have the provider issue ID tokens that are like that."""
    provider.id_token_options = options


def at(seconds: int) -> t.Callable[[object], int]:
    """A time so many seconds from when it is asked for, as a claim of `issue`."""
    return lambda _: int(time.time()) + seconds


def each(name: str, *values: t.Any) -> list[Options]:
    """Overrides of one claim."""
    return [{name: value} for value in values]
