"""`CookieStore`: the default. Each login's record rests in the browser, in a cookie of its own."""

from __future__ import annotations

import functools
import logging
import re
import typing as t

from flask import Response
from flask import current_app
from flask import request
from flask import session
from werkzeug.http import dump_cookie

from ..protocol.errors import ConfigurationError

log = logging.getLogger("flask_oauth2_login")

#: The most that browsers take (RFC 6265, section 6.1), less a little for how they count.
MAX_COOKIE = 4093
#: More than name and attributes of any of our cookies have.
LONGEST_ATTRIBUTES = 1000
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


def fits(cookie: t.Mapping[str, t.Any]) -> bool:
    """Whether browsers take a cookie, given as the arguments of `Response.set_cookie`."""
    if len(cookie["value"]) < MAX_COOKIE - LONGEST_ATTRIBUTES:
        return True
    # 0: it need not warn, somebody asks.
    return len(dump_cookie(**cookie, max_size=0)) <= MAX_COOKIE


def too_large(login: str, sealed: str) -> ConfigurationError:
    """What to raise for a record that does not fit."""
    return ConfigurationError(
        f"The login {login!r} has a record of {len(sealed)} bytes, too large for a cookie."
        " Keep records on the server: OAuth2Login(…, store='sqlite:///logins.db'), or"
        " 'postgresql+psycopg://…', or 'redis://…'; or ask for fewer scopes and claims."
    )


def cookie_name(login: str) -> str:
    """What a login's cookies begin with: they are as much this app's own as its session's is."""
    return _cookie_name(login, current_app.session_interface.get_cookie_name(current_app))


@functools.lru_cache(maxsize=64)
def _cookie_name(login: str, session_name: str) -> str:
    own = "" if session_name == "session" else re.sub(r"^__(Host|Secure)-", "", session_name) + "_"
    return own + "oauth2_login_" + re.sub(r"[^A-Za-z0-9_.-]", "_", login)


def brief_cookie(path: str, samesite: str = "Lax") -> dict[str, t.Any]:
    """The attributes of a cookie that one sign-in or sign-out needs, and no other page."""
    secure = request.is_secure or bool(current_app.config["SESSION_COOKIE_SECURE"])
    return {"path": path, "secure": secure, "httponly": True, "samesite": samesite}
