"""Coming home: an answer that arrives across sites waits until our own page asks for it.

A `SameSite=Strict` session cookie does not come along with a request that another site caused, and
with a POST from there no Lax cookie does. To write the session then would overwrite the visitor's.
So the answer waits, sealed, in a Strict cookie, while a page of ours goes on to the same path; that
request carries everything. The cookie, not the URL, tells it: a link to it does nothing.
"""

from __future__ import annotations

import time
import typing as t

from flask import Response
from flask import current_app
from flask import request

from ..protocol.errors import AuthorizationError
from ..stores.cookie import brief_cookie
from ..stores.cookie import cookie_name
from ..stores.cookie import fits
from .extension import Login
from .extension import current_extension
from .pages import render_page
from .urls import url_of

#: Seconds in which the page must have gone on.
LIFETIME = 60


def must_wait() -> bool:
    """Whether this request can't have brought the visitor's session cookie along."""
    samesite = current_app.session_interface.get_cookie_samesite(current_app) or ""
    return request.method == "POST" or samesite.lower() == "strict"


def wait_for_home(login: Login, answer: t.Mapping[str, str]) -> Response:
    """Keep the provider's answer, and send the page that comes back for it."""
    sealed = current_extension().sealer.seal(
        [int(time.time()), dict(answer)], "answer", *login.context
    )
    cookie = {"key": _name(login), "value": sealed, "max_age": LIFETIME, **_attributes(login)}
    if not fits(cookie):
        raise AuthorizationError("invalid_request", "the answer is too long to be kept")
    response = go_on_page(url_of(login, "callback"))
    response.set_cookie(**cookie)
    return response


def take_waiting(login: Login) -> dict[str, str] | None:
    """The answer that waited for this request, or None."""
    sealed = request.cookies.get(_name(login))
    opened = current_extension().sealer.open(sealed, "answer", *login.context)
    if opened is None or not 0 <= time.time() + 1 - opened[0] <= LIFETIME + 1:
        return None
    return t.cast("dict[str, str]", opened[1])


def forget_waiting(login: Login, response: Response) -> None:
    """Take the answer's cookie away."""
    if _name(login) in request.cookies:
        response.delete_cookie(_name(login), **_attributes(login))


def go_on_page(url: str) -> Response:
    """A page that goes on to ``url`` at once, as a request from our own origin.

    Where a redirect would not do: after a request from another site, and after a POST, for
    ``form-action 'self'`` blocks a redirect to another host.
    """
    return render_page("continue.html", 200, url=url)


def _name(login: Login) -> str:
    return f"{cookie_name(login.name)}__answer"


def _attributes(login: Login) -> dict[str, t.Any]:
    return brief_cookie(url_of(login, "callback"), "Strict")
