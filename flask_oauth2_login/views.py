"""The views behind a login's URLs."""

from __future__ import annotations

import logging
import typing as t

from flask import Response, current_app, redirect, request
from werkzeug.exceptions import BadRequest, HTTPException, MethodNotAllowed

from . import signals
from .client.openid import OpenIDConnect
from .hooks import require_own_urls
from .protocol.errors import (
    AuthorizationError,
    ConfigurationError,
    LoginRequired,
    OAuth2Error,
    StoreError,
)
from .protocol.tracebacks import without_locals
from .session.extension import current_extension
from .session.registration import Registration
from .session.request_scope import current_visit, find_home
from .signin import flow, samesite
from .signin.attempt import answers_by_form
from .signin.session_setup import linking_owner
from .signout import provider_logout
from .signout.logout import ask, sign_out
from .web.links import ask_to_link, read_link
from .web.pages import keep_private, render_error
from .web.urls import login_url_of, url_of
from .web.user_agent import default_next, only_looks_ahead, own_path, safe_next

log = logging.getLogger("flask_oauth2_login")


def _serving() -> Registration:
    """The login whose view is being served: one blueprint may serve several apps and names."""
    return current_extension().get(str(request.blueprint))


@without_locals
def login(**_variables: object) -> Response:
    """``/login``: begin a sign-in."""
    serving = _serving()
    extension = current_extension()
    if extension.once(f"urls:{serving.name}"):
        # Once more than at registration: views may have come later.
        require_own_urls(current_app, serving.name)
    refuse_aside()
    if request.method == "POST" or "iss" in request.values:
        return _login_for_provider(serving)
    next = safe_next(request.args.get("next"))
    asked = read_link(serving)
    if not asked.link:
        return flow.begin(serving, next=next, params=asked.params)
    try:
        if asked.is_signed:
            return flow.begin(serving, next=next, link=True, params=asked.params)
        linking_owner()
        return ask_to_link(serving, next)
    except ConfigurationError as error:
        # Developers get this error from `login_url(link=True)`. A visitor may follow any link.
        log.warning("%s: an account can't be added. %s", serving.name, error)
        raise refuse("Accounts can't be added here.") from None


def _login_for_provider(login: Registration) -> Response:
    """A sign-in that another site begins: OpenID Connect Core 1.0, section 4."""
    if not isinstance(login.handler, OpenIDConnect):
        raise MethodNotAllowed(["GET"])
    given = request.values
    if given.getlist("iss") != [login.handler.issuer]:
        raise refuse("This sign-in is for another provider.")
    hint = given.get("login_hint")
    target = given.get("target_link_uri")
    if request.method == "POST":
        # Another site's POST brings no Lax cookies along, so nobody could tell how many sign-ins
        # are under way already. They come with the GET that this leads to.
        asked = {"iss": login.handler.issuer, "login_hint": hint, "target_link_uri": target}
        return t.cast(Response, redirect(url_of(login, "login", **asked), 303))
    return flow.begin(
        login,
        next=own_path(target) or safe_next(target),
        params={"login_hint": hint} if hint else {},
    )


def refuse_aside() -> None:
    """Begin no attempt for a frame, a subresource, or a browser that looks ahead."""
    if only_looks_ahead(request):
        error = HTTPException("Not fetched ahead.", None)
        error.code = 503
        error.response = keep_private(Response(status=503))
        raise error
    dest = request.headers.get("Sec-Fetch-Dest", "document")
    mode = request.headers.get("Sec-Fetch-Mode", "navigate")
    if dest != "document" or mode != "navigate":
        raise refuse("A sign-in is begun by going to it, in a window.")


def refuse(text: str) -> BadRequest:
    """A 400 of ours to raise."""
    error = BadRequest(text)
    error.response = render_error(error)
    return error


@without_locals
def callback(**_variables: object) -> Response:
    """``/callback``: take the provider's answer."""
    if request.method == "HEAD":
        raise MethodNotAllowed(["GET"])
    serving = _serving()
    try:
        return _come_home(serving)
    except LoginRequired as error:
        # To sign in is what was tried just now: sent there again, a browser would go in circles.
        raise _gone_wrong(serving, AuthorizationError("invalid_state", str(error))) from None
    except OAuth2Error as error:
        if _is_needless(serving, error):
            target = safe_next(current_visit().attempted_next) or default_next()
            return keep_private(t.cast(Response, redirect(target)))
        raise _gone_wrong(serving, error) from error.__cause__
    except HTTPException as refusal:
        if refusal.response is None and (refusal.code or 500) >= 400:
            refusal.response = render_error(refusal)
        raise


def _is_needless(login: Registration, error: OAuth2Error) -> bool:
    """Return True if the answer belongs to no sign-in under way, of somebody who is signed in.

    It is not used: the Back button, or a reload, has sent it once more.
    """
    stale = isinstance(error, AuthorizationError) and error.error == "invalid_state"
    visit = current_visit()
    if not stale or request.method != "GET" or visit.came_without_session or visit.is_linking:
        return False
    try:
        return find_home(login) is not None
    except StoreError:
        return False


def _gone_wrong(login: Registration, error: OAuth2Error) -> OAuth2Error:
    """Tell of a sign-in that came to nothing."""
    current_visit().again_url = login_url_of(login, current_visit().attempted_next)
    log.warning("%s: a sign-in came to nothing. %s", login.name, error)
    signals.send(signals.login_failed, login=login.name, error=error)
    return error


@without_locals
def _come_home(login: Registration) -> Response:
    held = samesite.take_response(login)
    if held is not None:
        return flow.finish(login, held)
    # Only the cookie of a held answer shows that the session's cookie was sent too.
    crosses = current_visit().came_without_session = samesite.crosses_sites()
    if request.method == "POST" and not answers_by_form(login):
        raise MethodNotAllowed(["GET"])
    answer = flow.read_answer()
    if not answer:
        raise AuthorizationError("invalid_request", "there is no answer; start again")
    return samesite.hold_response(login, answer) if crosses else flow.finish(login, answer)


@without_locals
def logout(**_variables: object) -> Response:
    """``/logout``: ask, or end the login."""
    serving = _serving()
    return sign_out(serving) if request.method == "POST" else ask(serving)


@without_locals
def backchannel_logout(**_variables: object) -> Response:
    """``/backchannel-logout``: the provider says who has signed out."""
    return provider_logout.back_channel(_serving())


@without_locals
def frontchannel_logout(**_variables: object) -> Response:
    """``/frontchannel-logout``: likewise, by a frame in somebody's browser."""
    return provider_logout.front_channel(_serving())


def keep_all_private(response: Response) -> Response:
    """Whatever was answered here, by a handler of the app too, is nobody else's."""
    policy = response.headers.get("Referrer-Policy")
    keep_private(response)
    if policy is not None:
        response.headers["Referrer-Policy"] = policy
    return response
