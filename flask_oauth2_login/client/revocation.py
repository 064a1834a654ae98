"""Revocation of tokens without a long wait for the provider: RFC 7009."""

from __future__ import annotations

import functools
import logging
import typing as t

from ..protocol.background import run_briefly
from ..protocol.errors import OAuth2Error
from ..protocol.token import Token

log = logging.getLogger("flask_oauth2_login")


class Revoking(t.Protocol):
    """A handler, as far as a revocation needs it."""

    #: The option: False if the provider is never asked.
    @property
    def revoke(self) -> bool: ...
    def has_endpoint(self, name: str) -> bool: ...
    def revoke_token(self, /, token: Token) -> None: ...


def revoke(*tokens: tuple[Revoking, Token]) -> None:
    """Revoke tokens whose provider has a revocation endpoint, unless ``revoke=False`` is set.

    A provider that is down delays the caller by half a second only. Errors are logged, not raised.
    """
    run_briefly(*(functools.partial(_revoke, *pair) for pair in tokens))


def _revoke(handler: Revoking, token: Token) -> None:
    try:
        if token and handler.revoke and handler.has_endpoint("revoke_url"):
            handler.revoke_token(token)
    except OAuth2Error as error:
        log.warning("A token was not revoked: %s", error)
