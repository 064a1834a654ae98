"""The views behind a login's URLs."""

from __future__ import annotations

import logging
import typing as t

from flask import Response, current_app, redirect, request
from werkzeug.exceptions import BadRequest, HTTPException, MethodNotAllowed

from . import signals
from .checks import check_urls
from .client.openid import OpenIDConnect
from .config import default_next
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
from .session.request_scope import request_scope
from .session.signed_in import find_login
from .signin import flow, samesite
from .signin.attempt import answers_by_form
from .signin.session_setup import linking_owner
from .signout import provider_logout
from .signout.logout import ask, sign_out
from .web.links import ask_to_link, read_link
from .web.next_url import own_path, safe_next
from .web.pages import render_error, set_no_store
from .web.urls import login_url_of, url_of
from .web.user_agent import is_prefetch

log = logging.getLogger("flask_oauth2_login")


def _current_registration() -> Registration:
    """The login whose view is being served: one blueprint may serve several apps and names."""
    return current_extension().get(str(request.blueprint))


@without_locals
def login(**_variables: object) -> Response:
    """``/login``: begin a sign-in."""
    registration = _current_registration()
    extension = current_extension()
    if extension.once(f"urls:{registration.name}"):
        # Once more than at registration: views may have come later.
        check_urls(current_app, registration)
    require_navigation()
    if request.method == "POST" or "iss" in request.values:
        return _login_for_provider(registration)
    next = safe_next(request.args.get("next"))
    link_request = read_link(registration)
    if not link_request.link:
        return flow.begin(registration, next=next, params=link_request.params)
    try:
        if link_request.is_signed:
            return flow.begin(registration, next=next, link=True, params=link_request.params)
        linking_owner()
        return ask_to_link(registration, next)
    except ConfigurationError as error:
        # Developers get this error from `login_url(link=True)`. A visitor may follow any link.
        log.warning("%s: an account can't be added. %s", registration.name, error)
        raise refuse("Accounts can't be added here.") from None


def _login_for_provider(registration: Registration) -> Response:
    """A sign-in that another site begins: OpenID Connect Core 1.0, section 4."""
    if not isinstance(registration.handler, OpenIDConnect):
        raise MethodNotAllowed(["GET"])
    given = request.values
    if given.getlist("iss") != [registration.handler.issuer]:
        raise refuse("This sign-in is for another provider.")
    hint = given.get("login_hint")
    target = given.get("target_link_uri")
    if request.method == "POST":
        # Another site's POST brings no Lax cookies along, so nobody could tell how many sign-ins
        # are under way already. They come with the GET that this leads to.
        link_request = {
            "iss": registration.handler.issuer,
            "login_hint": hint,
            "target_link_uri": target,
        }
        return t.cast(Response, redirect(url_of(registration, "login", **link_request), 303))
    return flow.begin(
        registration,
        next=own_path(target) or safe_next(target),
        params={"login_hint": hint} if hint else {},
    )


def require_navigation() -> None:
    """Begin no attempt for a frame, a subresource, or a browser that looks ahead."""
    if is_prefetch(request):
        error = HTTPException("Not fetched ahead.", None)
        error.code = 503
        error.response = set_no_store(Response(status=503))
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
    registration = _current_registration()
    try:
        return _take_response(registration)
    except LoginRequired as error:
        # To sign in is what was tried just now: sent there again, a browser would go in circles.
        raise _login_failed(registration, AuthorizationError("invalid_state", str(error))) from None
    except OAuth2Error as error:
        if _is_repeated(registration, error):
            target = safe_next(request_scope().attempted_next) or default_next()
            return set_no_store(t.cast(Response, redirect(target)))
        raise _login_failed(registration, error) from error.__cause__
    except HTTPException as refusal:
        if refusal.response is None and (refusal.code or 500) >= 400:
            refusal.response = render_error(refusal)
        raise


def _is_repeated(registration: Registration, error: OAuth2Error) -> bool:
    """Return True if the answer belongs to no sign-in under way, of somebody who is signed in.

    It is not used: the Back button, or a reload, has sent it once more.
    """
    repeated = isinstance(error, AuthorizationError) and error.error == "invalid_state"
    scope = request_scope()
    if not repeated or request.method != "GET" or scope.without_session_cookie or scope.is_linking:
        return False
    try:
        return find_login(registration) is not None
    except StoreError:
        return False


def _login_failed(registration: Registration, error: OAuth2Error) -> OAuth2Error:
    """Tell of a sign-in that came to nothing."""
    request_scope().again_url = login_url_of(registration, request_scope().attempted_next)
    log.warning("%s: a sign-in came to nothing. %s", registration.name, error)
    signals.send(signals.login_failed, login=registration.name, error=error)
    return error


@without_locals
def _take_response(registration: Registration) -> Response:
    held = samesite.take_response(registration)
    if held is not None:
        return flow.finish(registration, held)
    # Only the cookie of a held answer shows that the session's cookie was sent too.
    crosses = request_scope().without_session_cookie = samesite.crosses_sites()
    if request.method == "POST" and not answers_by_form(registration):
        raise MethodNotAllowed(["GET"])
    answer = flow.read_answer()
    if not answer:
        raise AuthorizationError("invalid_request", "there is no answer; start again")
    return (
        samesite.hold_response(registration, answer)
        if crosses
        else flow.finish(registration, answer)
    )


@without_locals
def logout(**_variables: object) -> Response:
    """``/logout``: ask, or end the login."""
    registration = _current_registration()
    return sign_out(registration) if request.method == "POST" else ask(registration)


@without_locals
def backchannel_logout(**_variables: object) -> Response:
    """``/backchannel-logout``: the provider says who has signed out."""
    return provider_logout.back_channel(_current_registration())


@without_locals
def frontchannel_logout(**_variables: object) -> Response:
    """``/frontchannel-logout``: likewise, by a frame in somebody's browser."""
    return provider_logout.front_channel(_current_registration())


def after_view(response: Response) -> Response:
    """Whatever was answered here, by a handler of the app too, is nobody else's."""
    policy = response.headers.get("Referrer-Policy")
    set_no_store(response)
    if policy is not None:
        response.headers["Referrer-Policy"] = policy
    return response
