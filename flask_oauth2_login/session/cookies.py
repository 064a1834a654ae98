"""Cookies: their names, their sizes, and the sealed ones that one sign-in or sign-out needs."""

from __future__ import annotations

import dataclasses
import functools
import re
import time
import typing as t
from urllib.parse import quote

from flask import Response, current_app, request
from werkzeug.http import dump_cookie

from ..stores.sealing import Sealer

#: The most that browsers take (RFC 6265, section 6.1), less a little for how they count.
MAX_COOKIE = 4093
#: More than name and attributes of any of our cookies have.
LONGEST_ATTRIBUTES = 1000
#: Seconds by which the clocks of two machines may differ.
SKEW = 60

# A name has no "__", so that what follows the first one in a cookie's name is not the login's.
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9_.-]|(?<=_)_")


@dataclasses.dataclass(frozen=True)
class SealedCookie:
    """A sealed value that a browser keeps for one sign-in or sign-out, and sends to no other page.

    :param sealer: seals and opens the value.
    :param purpose: what the value is for.
    :param context: what else the seal is bound to: the login.
    :param name: the cookie's name.
    :param path: the path below which the browser sends it.
    :param lifetime: seconds after which it counts no more.
    :param samesite: ``"Strict"``, ``"Lax"`` or ``"None"``.
    """

    sealer: Sealer
    purpose: str
    context: tuple[str, ...]
    name: str
    path: str
    lifetime: int
    samesite: str = "Lax"

    def make(self, value: list[t.Any]) -> dict[str, t.Any]:
        """Return a cookie with a value, as arguments of `Response.set_cookie`."""
        sealed = self.sealer.seal([int(time.time()), *value], self.purpose, *self.context)
        return {"value": sealed, "max_age": self.lifetime, **self._attributes()}

    def read(self) -> list[t.Any] | None:
        """Return the value that came with this request; None where there is none that counts."""
        opened = self.sealer.open(request.cookies.get(self.name), self.purpose, *self.context)
        if not isinstance(opened, list) or not opened or type(opened[0]) is not int:
            return None
        made_at, *value = opened
        return value if -SKEW <= time.time() - made_at <= self.lifetime else None

    def delete(self, response: Response) -> None:
        """Take the cookie away from the browser."""
        response.delete_cookie(**self._attributes())

    def _attributes(self) -> dict[str, t.Any]:
        secure = request.is_secure or bool(current_app.config["SESSION_COOKIE_SECURE"])
        return {
            "key": self.name,
            "path": self.path,
            "secure": secure or self.samesite == "None",
            "httponly": True,
            "samesite": self.samesite,
        }


def fits(cookie: t.Mapping[str, t.Any]) -> bool:
    """Whether browsers take a cookie, given as the arguments of `Response.set_cookie`."""
    if len(cookie["value"]) < MAX_COOKIE - LONGEST_ATTRIBUTES:
        return True
    # max_size=0 keeps Werkzeug from warning; the caller acts on what is returned.
    return len(dump_cookie(**cookie, max_size=0)) <= MAX_COOKIE


def cookie_name(login: str) -> str:
    """What a login's cookies begin with: they are as much this app's own as its session's is.

    Two logins never share it, and it never has a ``__``: what follows that says which cookie of
    the login's it is.
    """
    return _cookie_name(login, current_app.session_interface.get_cookie_name(current_app))


@functools.lru_cache(maxsize=64)
def _cookie_name(login: str, session_name: str) -> str:
    own = "" if session_name == "session" else re.sub(r"^__(Host|Secure)-", "", session_name) + "_"
    return own + "oauth2_login_" + _NOT_IN_NAME.sub(_escape, login)


def _escape(match: re.Match[str]) -> str:
    # RFC 6265, section 4.1.1: a name may have a percent sign. `quote` leaves "_" and "~" alone.
    return quote(match[0], safe="").replace("_", "%5F").replace("~", "%7E")
