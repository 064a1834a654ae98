"""Giving tokens back to the provider: RFC 7009."""

from __future__ import annotations

import logging
import threading

from ..protocol.errors import OAuth2Error
from ..protocol.oauth2 import OAuth2
from ..protocol.token import Token

log = logging.getLogger("flask_oauth2_login")

#: Seconds that a visitor waits for the provider's answer; it goes on without him after that.
PATIENCE = 0.5


def revoke(handler: OAuth2, token: Token) -> None:
    """Revoke a token where the provider can. A provider that is down delays nobody."""

    def send() -> None:
        try:
            if handler.has_endpoint("revoke_url"):
                handler.revoke_token(token)
        except OAuth2Error as error:
            log.warning("A token was not revoked: %s", error)

    thread = threading.Thread(target=send, daemon=True, name="oauth2-revoke")
    thread.start()
    thread.join(PATIENCE)
