"""The steps of a sign-in: `begin` sends the browser away, `finish` receives it back."""

from __future__ import annotations

import logging
import secrets
import time
import typing as t

from flask import Response

from .. import signals
from ..client.revocation import revoke
from ..config import default_next
from ..protocol.errors import (
    AuthorizationError,
    OAuth2Error,
    ProviderAnswerError,
    ProviderError,
    TokenError,
    UnnamedRefusalError,
    UnusableIDTokenError,
)
from ..protocol.identity import Identity
from ..protocol.refusal import Concern, find_concern, names_code
from ..protocol.scope import split_scope
from ..protocol.token import Token
from ..session.current_login import find_login
from ..session.record import KEPT_CLAIMS, Record
from ..session.registration import Registration
from ..session.request_scope import request_scope
from ..web.demands import authorization_params, login_demands
from ..web.next_url import safe_next
from ..web.pages import redirect_to
from ..web.proxy import warn_of_unread_proxy
from ..web.redirect_uris import redirect_uri
from ..web.user_agent import browser_name
from .attempt import (
    Attempt,
    begin_attempt,
    find_attempt,
    give_back,
    use_attempt,
)
from .attempt_key import key_params, pkce_verifier
from .authorization_request import request_url
from .redirect_uri_hints import tell_once
from .reports import config_keys, report
from .response import check_response, further_params
from .session_setup import linking_owner, sign_in
from .signed_response import find_state, open_response

#: The errors with which providers answer a page of theirs that somebody left open until they were
#: signed in in another tab. Keycloak sends the first, with the second as its description.
EXPIRED_PAGES = frozenset({"temporarily_unavailable", "authentication_expired"})

log = logging.getLogger("flask_oauth2_login")


def begin(
    registration: Registration,
    *,
    next: str | None = None,
    link: bool = False,
    params: t.Mapping[str, t.Any] | None = None,
    is_own: bool = False,
) -> Response:
    """Redirect the browser to the provider: RFC 6749, section 4.1.1.

    :param next: a checked path to come back to.
    :param link: True to add the account to the person who is signed in.
    :param params: parameters for the provider, in addition to those that the developer sets for
        every sign-in and to the scopes that are already granted.
    :param is_own: True if this app has made the link with ``params``.
    :raises AuthorizationError: the request is pushed, and the provider refused what somebody else's
        link asks for.
    :raises ConfigurationError: a demand needs ID tokens, and the login has none.
    :raises ProviderError: the request is pushed, and the provider refused it or can't be reached;
        or the metadata can't be fetched.
    """
    # The session is read only if its entries came, because reading it adds `Vary: Cookie`.
    login = find_login(registration) if request_scope().received_entries else None
    granted = login.kept_scopes if login is not None else []
    requested = dict(params or {})
    scopes, request_params = authorization_params(registration, requested)
    scopes = split_scope([*scopes, *granted]) if granted else scopes
    requested.pop("scope", None)
    login_demands(registration, requested)
    owner = linking_owner() if link else None
    uri = redirect_uri(registration)
    warn_of_unread_proxy(registration, uri)
    tell_once(registration, uri)
    attempt = begin_attempt(registration, next, scopes, requested, owner, uri)
    return redirect_to(request_url(registration, attempt, scopes, request_params, is_own=is_own))


def finish(registration: Registration, response: t.Mapping[str, str]) -> Response:
    """Sign in the person whom the provider's authorization response is about.

    :param response: the parameters of the response.
    :returns: a redirect to the page that the sign-in was begun for, or what ``on_login`` returned.
    :raises AuthorizationError: the response is a refusal, or belongs to no attempt of this browser.
    :raises OAuth2Error: the token, the identity or the store has failed.
    """
    attempt = find_attempt(registration, find_state(registration, response))
    response = open_response(registration, response)
    use_attempt(registration, attempt)
    try:
        code = check_response(registration, response)
    except AuthorizationError as error:
        if error.error not in EXPIRED_PAGES or not _has_signed_in(registration, attempt):
            raise
        log.info("%s: somebody who is signed in goes on. %s", registration.log_name, error)
        return _go_on(attempt)
    except ProviderError:
        # The metadata, which say whether `iss` is promised, can't be fetched.
        _let_try_again(registration, attempt)
        raise
    try:
        token = redeem_code(registration, attempt, code, response)
    except ProviderError as error:
        if error.is_grant_unused:
            _let_try_again(registration, attempt)
        raise
    try:
        identity = identify(registration, attempt, token)
        identity.answer = further_params(response)
        record = make_record(registration, attempt, token, identity)
    except BaseException as error:
        revoke((registration.handler, token))
        if isinstance(error, UnusableIDTokenError):
            raise report(registration, error) from None
        raise
    return complete(registration, attempt, record)


def complete(registration: Registration, attempt: Attempt, record: Record) -> Response:
    """Sign in the person of a record that is not stored yet, and go on to the page.

    :returns: a redirect to the page that the sign-in was begun for, or what ``on_login`` returned.
    :raises StoreError: the store failed. The person who was signed in before still is.
    """
    identity, token = record.identity, record.token
    own_response = sign_in(registration, attempt, record)
    signals.send(signals.logged_in, login=registration.name, identity=identity, token=token)
    return own_response or _go_on(attempt)


def _let_try_again(registration: Registration, attempt: Attempt) -> None:
    give_back(attempt)
    log.info("%s: the code was not sent. A reload tries it again.", registration.log_name)


def _go_on(attempt: Attempt) -> Response:
    return redirect_to(safe_next(attempt.next) or default_next())


def _has_signed_in(registration: Registration, attempt: Attempt) -> bool:
    """Return True if the visitor has a login already that gives all that an attempt asks for."""
    login = find_login(registration)
    if login is None or attempt.link_owner is not None or attempt.requested:
        return False
    return set(attempt.scopes) <= {*login.record.requested.get("scope", ()), *login.record.scopes}


def redeem_code(
    registration: Registration, attempt: Attempt, code: str, response: t.Mapping[str, str]
) -> Token:
    """Exchange the code for a token: RFC 6749, section 4.1.3.

    :param response: the authorization response, whose further parameters some providers need.
    :raises AuthorizationError: it lacks such a parameter.
    :raises ProviderAnswerError: the provider sent no token, refused the client, or sent an ID token
        that the handler's options don't accept.
    """
    params = {"redirect_uri": attempt.redirect_uri, **key_params(registration, attempt)}
    if registration.handler.repeat_scope:
        params["scope"] = registration.handler.join_scope(attempt.scopes) or None
    if registration.handler.reads_callback:
        params["answer"] = {name: value for name, value in response.items() if name != "code"}
    if registration.handler.pkce:
        params["code_verifier"] = pkce_verifier(registration, attempt)
    if registration.handler.openid:
        # What the ID token must contain.
        params["nonce"] = attempt.nonce if registration.handler.uses_nonce else None
        demands = login_demands(registration, attempt.requested)
        params |= {"max_age": demands.max_age, "acr_values": demands.acr_values}
        if demands.max_age is not None:
            params["since_request"] = max(0.0, time.time() - attempt.begun_at)
    try:
        token = registration.handler.get_token(code, **params)
    except UnusableIDTokenError as error:
        raise report(registration, error) from None
    except (TokenError, UnnamedRefusalError) as refusal:
        if find_concern(refusal) is Concern.CLIENT:
            raise report(registration, refusal, config_keys(registration)) from None
        if isinstance(refusal, UnnamedRefusalError) and names_code(refusal):
            # The visitor can mend it by a new attempt.
            raise TokenError("invalid_grant", refusal.reason, refusal.status_code) from None
        raise
    if token is None:
        raise ProviderAnswerError("The token endpoint answered with no content.")
    return token


def identify(registration: Registration, attempt: Attempt, token: Token) -> Identity:
    """Return whose token it is; an identity without id if the provider can't say."""
    identity = registration.handler.fetch_identity(
        token, registration.options.claims, attempt.scopes, registration.options.roles
    )
    identity = identity or Identity(registration.name, None)
    identity.provider, identity.tenant = registration.name, registration.tenant or None
    identity.roles = registration.options.roles.name(token.found_roles or {})
    return identity


def make_record(
    registration: Registration, attempt: Attempt, token: Token, identity: Identity
) -> Record:
    """Return the record to store for this login."""
    granted = token.get("scope")
    claims = token.id_claims or {}
    return Record(
        id=secrets.token_urlsafe(16),
        token=token,
        identity=identity,
        signed_in_at=int(time.time()),
        scopes=_left_ticked(registration, attempt, identity)
        if granted is None
        else registration.handler.split_granted(granted),
        requested=attempt.requested | {"scope": attempt.scopes},
        id_claims={name: claims[name] for name in KEPT_CLAIMS if name in claims},
        id_token=token.get("id_token") if keeps_id_token(registration, token) else None,
        id_token_claims=[name for name in registration.options.claims if name in claims],
        roles=token.found_roles or {},
        user_agent=browser_name() if registration.store is not None else None,
    )


def _left_ticked(registration: Registration, attempt: Attempt, identity: Identity) -> list[str]:
    """Return what is granted by a token response that does not say it.

    It is what was requested: RFC 6749, section 5.1. Strava lets people untick scopes, and names
    those that are left in the authorization response.
    """
    left = registration.handler.split_granted(identity.answer.get("scope", ""))
    return left if left and set(left) < set(attempt.scopes) else attempt.scopes


def keeps_id_token(registration: Registration, token: Token) -> bool:
    """Return True if the ID token is to be kept for signing out at the provider."""
    if token.id_claims is None:
        return False
    keep, handler = registration.options.keep_id_token, registration.handler
    try:
        return handler.has_endpoint("end_session_url") if keep is None else keep
    except OAuth2Error:
        return False
