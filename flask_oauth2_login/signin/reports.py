"""What the log says of failures that a new attempt does not mend."""

from __future__ import annotations

import logging

from ..protocol.errors import OAuth2Error, ProviderAnswerError
from ..session.registration import Registration

log = logging.getLogger("flask_oauth2_login")


def report(registration: Registration, error: OAuth2Error, hint: str = "") -> ProviderAnswerError:
    """Log what only the developer or the provider can mend, and return the visitor's error."""
    log.error(
        "%s: a sign-in failed, and a new attempt does not help. %s",
        registration.log_name,
        error.with_hint(hint),
    )
    return ProviderAnswerError(error.message, row=error.row)


def config_keys(registration: Registration) -> str:
    """Return where a login has its credentials from, for the log; ``""`` if a handler has them."""
    keys = registration.options.config_keys
    return f" They are app.config[{keys[0]!r}] and app.config[{keys[1]!r}]." if keys else ""
