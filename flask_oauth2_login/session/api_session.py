"""The session that calls a provider's API with a stored token."""

from __future__ import annotations

from ..client.refresh import Home
from ..client.session import OAuth2Session
from ..protocol.token import Token
from .extension import current_extension
from .registration import Registration


def make_session(login: Registration, home: Home) -> OAuth2Session:
    """Return a session that uses the app's connections and renews the record's token when due.

    The session can be handed to a thread: it needs no active context.
    """
    extension = current_extension()

    def usable(rejected: Token | None, again: bool) -> Token | None:
        with extension.context():
            return extension.renewals.usable(home, rejected, again)

    return OAuth2Session(login.handler.api, usable, extension.pool)
