"""Hold an authorization response that came by a cross-site request, until a same-site one.

Browsers withhold a `SameSite=Strict` session cookie from requests that another site causes, and a
Lax one from another site's POST. Writing the session then would overwrite the visitor's. So the
response is kept, sealed, in a Strict cookie, and a page of ours goes on to the same path; that
request carries all cookies. The URL only names the cookie, so a link to it from another site has no
effect. Each response has a cookie of its own, named after its `state`, so that none replaces
another.
"""

from __future__ import annotations

import logging
import re
import typing as t

from flask import Response, after_this_request, request

from ..config import app_name
from ..protocol.errors import AuthorizationError, see
from ..session.context import this_app, this_request
from ..session.cookies import SealedCookie, cookie_name, fits, send_cookie
from ..session.registration import Registration
from ..session.request_scope import request_scope
from ..stores.sealing import hashed_name
from ..web.pages import redirect_page, translate
from ..web.view_urls import url_of
from .attempt import attempts_come_by_post, find_attempt
from .response import further_params
from .signed_response import find_state

log = logging.getLogger("flask_oauth2_login")

#: How long (s) a response is held.
LIFETIME = 60

# The first 132 bits of the hash of a `state`.
_WAITING = re.compile(r"[A-Za-z0-9_-]{22}")


def crosses_sites() -> bool:
    """Return True if the browser may have withheld the session cookie from this request."""
    app = this_app()
    samesite = app.session_interface.get_cookie_samesite(app) or ""
    return request.method == "POST" or samesite.lower() == "strict"


def hold_response(registration: Registration, params: t.Mapping[str, str]) -> Response:
    """Store a response in a cookie, and return a page that comes back for it.

    :raises AuthorizationError: the response belongs to no attempt of this browser, or is too long.
    """
    state = find_state(registration, params) or ""
    if request.method != "POST" or attempts_come_by_post():
        # Hold only responses to an attempt of this browser, or another site could set any number of
        # cookies. If the attempt's cookie can't come along, flow.finish() checks this later.
        find_attempt(registration, state)
    waiting = hashed_name("held", state)[:22]
    # The code is a secret, so it is an element of its own, packed apart from the rest.
    signed = {"response"} if registration.handler.has_signed_responses else set()
    further = {n: v for n, v in further_params(params).items() if n not in signed}
    rest = {name: value for name, value in params.items() if name not in {"code", *further}}
    cookie = _cookie(registration, waiting).make([params.get("code"), rest, further])
    if further and not fits(cookie):
        # A sign-in works without them.
        log.warning(
            "%s: further parameters of the answer are dropped, because a cookie has no room for"
            " them. %s",
            registration.log_name,
            see("too-large"),
        )
        cookie = _cookie(registration, waiting).make([params.get("code"), rest])
    if not fits(cookie):
        raise AuthorizationError("invalid_request", "the answer is too long to be kept")
    app = app_name()
    title = translate("Taking you back to %(app)s …", app=app) if app else translate("One moment …")
    response = redirect_page(url_of(registration, "callback", waiting=waiting), title)
    send_cookie(response, cookie)
    return response


def was_held() -> bool:
    """Return True if this request comes for a held response."""
    request = this_request()
    given = request.args if request.method == "GET" else {}
    return "waiting" in given and bool(_WAITING.fullmatch(given["waiting"]))


def take_response(registration: Registration) -> dict[str, str] | None:
    """Return the response held for this request; None if there is none.

    Its cookie is deleted, unless the response can be used again.
    """
    if not was_held():
        return None
    cookie = _cookie(registration, request.args["waiting"])
    held = cookie.read()
    if held is None:
        return None

    @after_this_request
    def delete(response: Response) -> Response:
        if not request_scope().is_code_unused:
            cookie.delete(response)
        return response

    code, rest, *further = held
    response: dict[str, str] = {**rest, **(further[0] if further else {})}
    return {**response, "code": code} if code is not None else response


def _cookie(registration: Registration, waiting: str) -> SealedCookie:
    return SealedCookie(
        sealer=registration.sealer,
        purpose="answer",
        context=registration.context,
        name=f"{cookie_name(registration.name)}__held_{waiting}",
        path=url_of(registration, "callback"),
        lifetime=LIFETIME,
        samesite="Strict",
    )
