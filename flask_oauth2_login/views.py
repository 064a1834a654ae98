"""The views behind a login's URLs."""

from __future__ import annotations

import logging
import typing as t

from flask import Request, Response, abort, current_app, jsonify, redirect, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

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
from .protocol.texts import gettext_noop as N_  # noqa: N812  (GNU gettext's own name)
from .protocol.tracebacks import without_locals
from .session.context import this_request
from .session.current_login import find_login
from .session.extension import current_extension
from .session.registration import Registration
from .session.request_scope import request_scope
from .session.tenants import require_here
from .signin import flow, samesite
from .signin.attempt import answers_by_form
from .signin.redirect_uri_hints import explain_refusal
from .signin.session_setup import linking_owner
from .signin.signed_response import read_any_response
from .signin.unknown_attempt import NOT_AS_BEFORE, USED_BEFORE, UnknownAttemptError
from .signout import provider_logout
from .signout.logout import ask, sign_out
from .web.links import ask_to_link, read_link
from .web.next_url import own_path, safe_next
from .web.pages import error_page, render_error, set_no_store
from .web.user_agent import is_navigation, is_prefetch, read_header
from .web.view_urls import login_url_of, url_of

#: How long (s) the provider, and caches on the way, may keep the client's public keys.
KEYS_SECONDS = 300

log = logging.getLogger("flask_oauth2_login")


def _current_registration() -> Registration:
    """Return the login whose view answers. A blueprint can have several names in several apps.

    :raises werkzeug.exceptions.NotFound: the request is for no tenant that exists.
    """
    return require_here(str(request.blueprint))


@without_locals
def login(**_variables: object) -> Response:
    """``/login``: begin a sign-in."""
    extension, request = current_extension(), this_request()
    registration = require_here(str(request.blueprint))
    if extension.once(f"urls:{registration.name}"):
        # Checked again, because views may have been added after the registration.
        check_urls(current_app, registration)
    require_navigation(request)
    given = request.args
    if request.method == "POST" or "iss" in given:
        return _login_for_provider(registration)
    next = safe_next(given["next"]) if "next" in given else None
    link_request = read_link(registration)
    params, is_own = link_request.params, link_request.is_signed
    if not link_request.link:
        return flow.begin(registration, next=next, params=params, is_own=is_own)
    try:
        if is_own:
            return flow.begin(registration, next=next, link=True, params=params, is_own=True)
        linking_owner()
        return ask_to_link(registration, next)
    except ConfigurationError as error:
        # Developers get this error from `login_url(link=True)`. A visitor may follow any link.
        log.warning("%s: an account can't be added. %s", registration.log_name, error)
        raise error_page(400, N_("Accounts can't be added here.")) from None


def _login_for_provider(registration: Registration) -> Response:
    """Begin a sign-in for another site: OpenID Connect Core 1.0, section 4."""
    if not isinstance(registration.handler, OpenIDConnect):
        raise MethodNotAllowed(["GET"])
    given = request.values
    if given.getlist("iss") != [registration.handler.issuer]:
        raise error_page(400, N_("This sign-in is for another provider."))
    hint = given.get("login_hint")
    target = given.get("target_link_uri")
    if request.method == "POST":
        # Browsers send no Lax cookies with another site's POST, so the attempts under way could
        # not be counted. They come with the GET of this redirect.
        params = {
            "iss": registration.handler.issuer,
            "login_hint": hint,
            "target_link_uri": target,
        }
        return t.cast(Response, redirect(url_of(registration, "login", **params), 303))
    return flow.begin(
        registration,
        next=own_path(target) or safe_next(target),
        params={"login_hint": hint} if hint else {},
    )


def require_navigation(request: Request) -> None:
    """Check that a browser's window goes to this URL: not a frame, a subresource or a prefetch."""
    if is_prefetch(request):
        abort(set_no_store(Response(status=503)))
    mode = read_header(request.environ, "Sec-Fetch-Mode")
    if mode not in {None, "navigate"} or not is_navigation(request):
        raise error_page(400, N_("A sign-in is begun by going to it, in a window."))


@without_locals
def callback(**_variables: object) -> Response:
    """``/callback``: take the authorization response."""
    if request.method == "HEAD":
        raise MethodNotAllowed(["GET"])
    return finish_sign_in(_take_response)


@without_locals
def finish_sign_in(take: t.Callable[[Registration], Response]) -> Response:
    """Return the response that ends a sign-in, and tell of a failure in the log and by the signal.

    :param take: a function that signs the person in and returns the response.
    """
    registration = _current_registration()
    try:
        return take(registration)
    except LoginRequired as error:
        # The sign-in that needs a login has just been tried. Another redirect would go in circles.
        refusal = AuthorizationError("invalid_state", error.message, sentence=NOT_AS_BEFORE)
        raise _login_failed(registration, refusal) from None
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
    """Return True if somebody who is signed in has sent an old response again.

    The Back button and a reload do that. The response is not used.
    """
    unknown = isinstance(error, UnknownAttemptError)
    if not unknown or request.method != "GET" or request_scope().is_linking:
        return False
    try:
        return find_login(registration) is not None
    except StoreError:
        return False


def _login_failed(registration: Registration, error: OAuth2Error) -> OAuth2Error:
    """Log a failed sign-in, send the signal, and return the error to raise."""
    request_scope().again_url = login_url_of(registration, request_scope().attempted_next)
    hint = explain_refusal(registration, error)
    log.warning("%s: sign-in failed. %s", registration.log_name, error.with_hint(hint))
    of_tenant = {"tenant": registration.tenant} if registration.tenant else {}
    signals.send(signals.login_failed, login=registration.name, error=error, **of_tenant)
    return error


@without_locals
def _take_response(registration: Registration) -> Response:
    held = samesite.take_response(registration)
    if held is not None:
        return flow.finish(registration, held)
    # Only the cookie of a held response shows that the session's cookie was sent too.
    is_cross_site = request_scope().without_session_cookie = samesite.crosses_sites()
    if request.method == "POST" and not answers_by_form(registration):
        raise MethodNotAllowed(["GET"])
    response = read_any_response(registration)
    if not response and samesite.was_held():
        raise UnknownAttemptError(
            "it was answered before, or more than a minute ago; start again",
            "no cookie of a held response came",
            USED_BEFORE,
        )
    if not response:
        raise AuthorizationError("invalid_request", "there is no answer; start again")
    if is_cross_site:
        return samesite.hold_response(registration, response)
    return flow.finish(registration, response)


@without_locals
def logout(**_variables: object) -> Response:
    """``/logout``: ask, or end the login."""
    registration = _current_registration()
    return sign_out(registration) if request.method == "POST" else ask(registration)


@without_locals
def backchannel_logout(**_variables: object) -> Response:
    """``/backchannel-logout``: the provider's server says who has signed out."""
    return provider_logout.back_channel(_current_registration())


@without_locals
def frontchannel_logout(**_variables: object) -> Response:
    """``/frontchannel-logout``: the provider says so by a frame in the person's browser."""
    return provider_logout.front_channel(_current_registration())


def jwks(**_variables: object) -> Response:
    """``/jwks.json``: the client's public keys, for the provider. RFC 7517, section 5."""
    keys = _current_registration().handler.public_keys()
    if not keys:
        raise NotFound
    response = jsonify({"keys": keys})
    response.cache_control.public = True
    response.cache_control.max_age = KEYS_SECONDS
    return response
