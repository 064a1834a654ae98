"""`CookieStore`: the default. Each login's record rests in the browser, in a cookie of its own."""

from __future__ import annotations

import logging
import typing as t

from flask import Response, current_app, request, session

from ..protocol.errors import ConfigurationError
from .cookies import cookie_name, fits

log = logging.getLogger("flask_oauth2_login")

#: As long as browsers keep a cookie, in seconds. Without the mark in the session it is nothing.
LONG = 400 * 24 * 3600


class CookieStore:
    """Keeps records in cookies beside the session's: nothing to set up, nothing on the server.

    What the workers of one machine must know of each other goes through a small file there. An
    app on several machines takes a server-side store.
    """

    server_side: t.ClassVar[bool] = False

    def get(self, login: str) -> str | None:
        """The sealed record that the browser sent for a login."""
        return request.cookies.get(cookie_name(login))

    def check(self, login: str, sealed: str) -> None:
        """See that browsers will take a new record.

        :raises ConfigurationError: it is too large for them.
        """
        if not fits(self._cookie(login, sealed)):
            raise too_large(login, sealed)

    def write(self, response: Response, login: str, sealed: str | None) -> None:
        """Send a record with an answer, or take the browser's away."""
        if sealed is None:
            response.delete_cookie(**self._attributes(login))
        elif not fits(self._cookie(login, sealed)):
            # A renewal's: there is no way back from that, and this machine has the record.
            log.error("%s: a renewed record is too large for a cookie.", login)
        else:
            response.set_cookie(**self._cookie(login, sealed))

    def _cookie(self, login: str, sealed: str) -> dict[str, t.Any]:
        max_age = LONG if session.permanent else None
        return {**self._attributes(login), "value": sealed, "max_age": max_age}

    def _attributes(self, login: str) -> dict[str, t.Any]:
        """Those of the session's cookie, for the two count only together."""
        app, interface = current_app, current_app.session_interface
        return {
            "key": cookie_name(login),
            "path": interface.get_cookie_path(app),
            "domain": interface.get_cookie_domain(app),
            "secure": interface.get_cookie_secure(app) or request.is_secure,
            "httponly": True,
            "samesite": interface.get_cookie_samesite(app) or "Lax",
            "partitioned": interface.get_cookie_partitioned(app),
        }


def too_large(login: str, sealed: str) -> ConfigurationError:
    """What to raise for a record that does not fit."""
    return ConfigurationError(
        f"The login {login!r} has a record of {len(sealed)} bytes, too large for a cookie."
        " Keep records on the server: OAuth2Login(…, store='sqlite:///logins.db'), or"
        " 'postgresql+psycopg://…', or 'redis://…'; or ask for fewer scopes and claims."
    )
