"""The names and sizes of cookies, and sealed cookies for a sign-in or sign-out under way."""

from __future__ import annotations

import functools
import re
import time
import typing as t
from urllib.parse import quote

from flask import Response, request
from werkzeug.http import dump_cookie

from ..config import cookies_are_secure
from ..stores.sealing import Sealer
from .context import this_app, this_request

T = t.TypeVar("T")

#: A little less than the 4,096 bytes of RFC 6265, section 6.1, because browsers count differently.
MAX_COOKIE = 4093
#: An upper bound for the bytes of the name and the attributes of our cookies.
LONGEST_ATTRIBUTES = 1000
#: The most bytes of all cookies together. gunicorn refuses a header of more than 8,190.
MAX_COOKIES = 8000
#: How many of these bytes stay free for an attempt if a record takes several cookies.
ROOM_FOR_SIGN_IN = 1500
#: How many of these bytes stay free for an attempt in any case.
LEAST_ROOM = 700
#: The prefix of a cookie that only this host can set: RFC 6265bis, section 4.1.3.2.
HOST_PREFIX = "__Host-"
#: How far (s) the clocks of two machines of the app may differ.
CLOCK_SKEW = 60

# The login's part has no "__", so the first "__" in a cookie's name ends that part.
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9_.-]|(?<=_)_")


class SealedCookie(t.NamedTuple):
    """A sealed value that a browser keeps for one sign-in or sign-out.

    :param sealer: seals and opens the value.
    :param purpose: what the value is for.
    :param context: what else the seal is bound to, see `Login.context`.
    :param name: the cookie's name.
    :param path: the path below which the browser sends it.
    :param lifetime: how long (s) the value is valid.
    :param samesite: ``"Strict"``, ``"Lax"`` or ``"None"``.
    """

    sealer: Sealer
    purpose: str
    context: tuple[str, ...]
    name: str
    path: str
    lifetime: int
    samesite: str = "Lax"

    def make(self, value: list[t.Any], made_at: int | None = None) -> dict[str, t.Any]:
        """Return the arguments of `send_cookie` for a value.

        :param made_at: when the value was made, in Unix seconds; None for now.
        """
        now = int(time.time())
        made_at = now if made_at is None else made_at
        sealed = self.sealer.seal([made_at, *value], self.purpose, *self.context)
        max_age = max(0, self.lifetime - (now - made_at))
        return {"value": sealed, "max_age": max_age, **self._attributes()}

    def read(self) -> list[t.Any] | None:
        """Return the value that came with this request, or None if there is no valid one."""
        dated = self.read_dated()
        return dated[1] if dated is not None and self.is_valid(dated[0]) else None

    def is_valid(self, made_at: int) -> bool:
        """Return True if a value that was made then is not too old."""
        return -CLOCK_SKEW <= time.time() - made_at <= self.lifetime

    def read_dated(self) -> tuple[int, list[t.Any]] | None:
        """Return when the value that came was made (Unix seconds), and the value, however old.

        :returns: None if no cookie came, or if it can't be opened.
        """
        sealed = this_request().cookies.get(self.name)
        if not sealed:
            return None
        return _split_date(self.sealer.open(sealed, self.purpose, *self.context))

    def read_cached(self, read: t.Callable[[int, list[t.Any]], T | None]) -> T | None:
        """Return what ``read`` makes of the value that came, cached for when it comes again.

        :param read: called with what :meth:`read_dated` returns. It must not depend on the request.
        :returns: the cached object, which callers must not change; None if no cookie came, if it
            can't be opened, or if ``read`` returns None.
        """

        def read_opened(opened: t.Any) -> T | None:
            dated = _split_date(opened)
            return None if dated is None else read(*dated)

        sealed = request.cookies.get(self.name, "")
        return self.sealer.open_cached(sealed, read_opened, self.purpose, *self.context)

    def delete(self, response: Response) -> None:
        """Delete the cookie in the browser."""
        send_cookie(response, {"value": "", "max_age": 0, **self._attributes()})

    def _attributes(self) -> dict[str, t.Any]:
        secure = this_request().is_secure or cookies_are_secure()
        return {
            "key": self.name,
            "path": self.path,
            "secure": secure or self.samesite == "None",
            "httponly": True,
            "samesite": self.samesite,
        }


def _split_date(opened: t.Any) -> tuple[int, list[t.Any]] | None:
    """Return when an opened value was made, and the value; None if it has another form."""
    if not isinstance(opened, list) or not opened or type(opened[0]) is not int:
        return None
    made_at, *value = opened
    return made_at, value


def send_cookie(response: Response, cookie: t.Mapping[str, t.Any]) -> None:
    """Set a cookie by the arguments of `Response.set_cookie`, without ``Expires``.

    Browsers ignore it if there is ``Max-Age``: RFC 6265, section 5.3. A cookie without either ends
    with the browser's session.
    """
    response.headers.add("Set-Cookie", dump_cookie(**cookie, sync_expires=False, max_size=0))


def fits(cookie: t.Mapping[str, t.Any]) -> bool:
    """Return True if browsers accept a cookie with these arguments of `Response.set_cookie`."""
    if len(cookie["value"]) < MAX_COOKIE - LONGEST_ATTRIBUTES:
        return True
    # max_size=0 keeps Werkzeug from warning; the caller acts on what is returned.
    return len(dump_cookie(**cookie, max_size=0)) <= MAX_COOKIE


def sent_bytes(names: t.Iterable[str]) -> int:
    """Return the bytes that these cookies took in the Cookie header of this request."""
    cookies = request.cookies
    return sum(len(name) + len(cookies[name]) + 3 for name in names if name in cookies)


def cookie_name(login: str) -> str:
    """Return the beginning of the names of a login's cookies.

    It contains the name of the session's cookie if the app has changed that, so that apps on one
    host can differ. Two logins never share it. It never contains ``__``, which separates it from
    the rest of a cookie's name.
    """
    app = this_app()
    return _cookie_name(login, app.session_interface.get_cookie_name(app))


@functools.lru_cache(maxsize=64)
def _cookie_name(login: str, session_name: str) -> str:
    own = "" if session_name == "session" else re.sub(r"^__(Host|Secure)-", "", session_name) + "_"
    return own + "oauth2_login_" + _NOT_IN_NAME.sub(_escape, login)


def _escape(match: re.Match[str]) -> str:
    # RFC 6265, section 4.1.1: a name may have a percent sign. `quote` leaves "_" and "~" alone.
    return quote(match[0], safe="").replace("_", "%5F").replace("~", "%7E")
