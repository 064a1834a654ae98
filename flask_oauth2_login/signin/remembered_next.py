"""The pages that a browser's latest sign-ins were begun for, which outlive the attempts.

An attempt ends after ten minutes, or when it is used. A visitor who comes back later, from a page
of the provider that was left open or by the Back button, still goes on to the page that the sign-in
was begun for. One cookie has the pages of the newest attempts, each under the beginning of its
`state`. It gives no access, and a page in it is checked again before it is used.
"""

from __future__ import annotations

import re
import typing as t
from urllib.parse import urlsplit

from flask import Response, request

from ..session.context import this_request
from ..session.cookies import SealedCookie, cookie_name, send_cookie
from ..session.registration import Login, Registration
from ..web.view_urls import url_of

#: How long (s) a page is remembered: a tab that was left open overnight comes back the next day.
LIFETIME = 24 * 3600
#: The most pages that are remembered.
MAX_PAGES = 20
#: The most characters of a page that is remembered, and the most bytes of the cookie.
MAX_PAGE, MAX_BYTES = 200, 600

# A path that is the same when it is encoded.
_PLAIN_PATH = re.compile(r"[/A-Za-z0-9_.-]+")
# Characters of a state under which its page is kept: 48 bits.
_KEY = 12


def find_next(registration: Registration, state: str) -> str | None:
    """Return the page that the attempt with a ``state`` was begun for; None if it is unknown."""
    pages = (page.partition(":") for page in _cookie(registration).read() or ())
    return next((page for key, _, page in pages if key == state[:_KEY]), None)


def remember_next(
    registration: Registration, state: str, next: str | None, room: int
) -> t.Callable[[Response], None]:
    """Add a page to those remembered, and drop the oldest ones for which there is no room.

    :param room: the bytes that the cookie may take in a request.
    :returns: a function that sends the change with a response.
    """
    if next is None and _name(registration) not in request.cookies:
        return lambda _response: None
    cookie = _cookie(registration)
    former = cookie.read() or []
    # Each page is a text of its own, which is not compressed: a link can choose a page.
    new = [f"{state[:_KEY]}:{next}"] if next is not None and len(next) <= MAX_PAGE else []
    pages = [*new, *former][:MAX_PAGES]
    while pages:
        made = cookie.make(pages)
        if len(made["key"]) + len(made["value"]) <= min(room, MAX_BYTES):
            break
        pages.pop()

    def send(response: Response) -> None:
        if pages and pages != former:
            send_cookie(response, made)
        elif former and not pages:
            cookie.delete(response)

    return send


def _name(registration: Registration) -> str:
    return f"{cookie_name(registration.name)}__next"


def _cookie(registration: Registration) -> SealedCookie:
    return SealedCookie(
        sealer=registration.sealer,
        purpose="next",
        context=registration.context,
        name=_name(registration),
        path=common_path(registration),
        lifetime=LIFETIME,
    )


def common_path(login: Login) -> str:
    """Return the path that ``/login`` and ``/callback`` have in common."""
    request = this_request()
    path = request.script_root + request.path
    if request.endpoint != f"{login.name}.login" or not _PLAIN_PATH.fullmatch(path):
        path = urlsplit(url_of(login, "login")).path
    return path.rpartition("/")[0] or "/"
