"""Revocation of tokens: RFC 7009."""

from __future__ import annotations

import contextlib
import typing as t

from .client_auth import ClientAuth, TokenRequest
from .errors import OAuth2Error, ProviderAnswerError, TokenError
from .http_options import HTTPOptions
from .token import Token, find_refusal, read_object
from .token_request import secrets_in, send


def revoke(
    options: HTTPOptions, request: TokenRequest, client_auth: ClientAuth, *, as_json: bool = False
) -> None:
    """Send a revocation request: RFC 7009, section 2.1.

    :param request: as for :func:`request_token`, with the parameter ``token``.
    :raises TokenError: the provider refused (section 2.2.1).
    :raises ProviderError: the provider can't be reached, or its response can't be understood.
    """
    response = send(options, request, client_auth, "json" if as_json else "form")
    secrets = secrets_in(request)
    if 200 <= response.status < 300:
        return
    if response.status < 500 and (members := read_object(response)):
        refusal = find_refusal(members, response.status, secrets)
        if refusal:
            raise refusal
    raise ProviderAnswerError(
        f"The revocation endpoint answered with {response.outcome} and no error code:"
        " is revoke_url right?"
    )


def revoke_both(token: Token, revoke: t.Callable[[str, str], object]) -> None:
    """Revoke a token's refresh token and its access token.

    They are sent in a request each, because RFC 7009, section 2.1 only requires the provider to
    end the token that is sent.

    :param revoke: revokes one token, called with it and with its ``token_type_hint``.
    :raises TokenError: the provider refused. If it refuses the refresh token, the access token is
        sent nevertheless. If it refuses only the access token, that is not an error.
    :raises ProviderError: the provider can't be reached, or its response can't be understood.
    """
    if token.refresh_token is None or not token.access_token:
        if token.refresh_token:
            revoke(token.refresh_token, "refresh_token")
        elif token.access_token:
            revoke(token.access_token, "access_token")
        return
    try:
        revoke(token.refresh_token, "refresh_token")
    except (TokenError, ProviderAnswerError):
        with contextlib.suppress(OAuth2Error):
            revoke(token.access_token, "access_token")
        raise
    # Most providers have already ended the access token with the refresh token. Some then call it
    # unknown, and some never revoke access tokens.
    with contextlib.suppress(TokenError):
        revoke(token.access_token, "access_token")
