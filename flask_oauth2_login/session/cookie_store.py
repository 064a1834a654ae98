"""`CookieStore`, the default: each login's record is a cookie in the browser."""

from __future__ import annotations

import logging
import typing as t

from flask import Response, current_app, has_request_context, request, session

from ..protocol.errors import ConfigurationError
from .cookies import LONGEST_ATTRIBUTES, MAX_COOKIE, cookie_name, fits

log = logging.getLogger("flask_oauth2_login")

#: How long (s) browsers keep a cookie at most. It is ignored unless the session names its id.
LONG = 400 * 24 * 3600


class CookieStore:
    """Keeps records in cookies beside the session's. It needs no setup and no server.

    The processes of one machine share a small file. An app on several machines should use a
    server-side store.

    .. code-block:: python

        OAuth2Login("github", store="cookie")    # the default
    """

    server_side: t.ClassVar[bool] = False

    def get(self, login: str) -> str | None:
        """Return the sealed record that the browser sent for a login."""
        return request.cookies.get(cookie_name(login))

    def check(self, login: str, sealed: str) -> None:
        """Check that browsers will accept a new record.

        :raises ConfigurationError: it is too large for a cookie.
        """
        if not fits(self._cookie(login, sealed)):
            raise too_large(login, sealed)

    def has_room(self, login: str, sealed: str) -> bool:
        """Return True if a record takes one cookie at most."""
        if not has_request_context():
            return len(sealed) < MAX_COOKIE - LONGEST_ATTRIBUTES
        return fits(self._cookie(login, sealed))

    def write(self, response: Response, login: str, sealed: str | None) -> None:
        """Send a record with a response, or delete the browser's if it is None."""
        if sealed is None:
            response.delete_cookie(**self._attributes(login))
        elif not fits(self._cookie(login, sealed)):
            # The token is already refreshed, so don't fail: the local store still has the record.
            log.error("%s: a refreshed record is too large for a cookie.", login)
        else:
            response.set_cookie(**self._cookie(login, sealed))

    def _cookie(self, login: str, sealed: str) -> dict[str, t.Any]:
        max_age = LONG if session.permanent else None
        return {**self._attributes(login), "value": sealed, "max_age": max_age}

    def _attributes(self, login: str) -> dict[str, t.Any]:
        """Return the attributes of the session's cookie, because each needs the other."""
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
    """Return the error for a record that is too large for a cookie."""
    return ConfigurationError(
        f"The login {login!r} has a record of {len(sealed)} bytes, too large for a cookie."
        " Keep records on the server: OAuth2Login(…, store='sqlite:///logins.db'), or"
        " 'postgresql+psycopg://…', or 'redis://…'; or ask for fewer scopes and claims."
    )
