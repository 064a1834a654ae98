"""The session that calls a provider's API with a stored token."""

from __future__ import annotations

from ..client.session import OAuth2Session
from ..client.token_source import TokenSource
from ..protocol.token import Token
from .extension import current_extension
from .registration import Registration


def make_session(registration: Registration, source: TokenSource) -> OAuth2Session:
    """Return a session that uses the app's connections and refreshes the token when it is due.

    The session can be handed to a thread: it needs no active context.
    """
    extension = current_extension()

    def valid_token(rejected: Token | None, again: bool) -> Token | None:
        with extension.context():
            return extension.refresher.valid_token(source, rejected, again)

    return OAuth2Session(registration.handler.resource_server, valid_token, extension.pool)
