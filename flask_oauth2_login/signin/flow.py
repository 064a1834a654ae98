"""A login, as it flows: each step is a line of :func:`begin` or :func:`finish`."""

from __future__ import annotations

import secrets
import time
import typing as t
from urllib.parse import unquote_to_bytes

from flask import Response, redirect, request

from .. import signals
from ..client.revocation import revoke
from ..config import default_next
from ..protocol.errors import AuthorizationError, ProviderAnswerError
from ..protocol.identity import Identity
from ..protocol.pkce import code_challenge
from ..protocol.scope import split_scope
from ..protocol.token import Token
from ..session.record import Record
from ..session.registration import Registration
from ..session.request_scope import request_scope
from ..session.signed_in import find_login
from ..web.demands import authorization_params, login_demands
from ..web.next_url import safe_next
from ..web.urls import redirect_uri
from .attempt import Attempt, begin_attempt, find_attempt, use_attempt
from .session_setup import linking_owner, sign_in

#: The answer's parameters (RFC 6749, section 4.1.2; RFC 9207), and how long one may be.
ANSWER_PARAMS = ("code", "state", "iss", "error", "error_description", "error_uri")
MAX_PARAM = 8192
#: Bytes of an answer that comes as a form.
MAX_FORM = 64 * 1024
#: Claims of an ID token that renewal, signing out and the guard need.
KEPT_CLAIMS = ("iss", "sub", "aud", "sid", "iat", "auth_time", "nonce", "acr")


def begin(
    registration: Registration,
    *,
    next: str | None = None,
    link: bool = False,
    params: t.Mapping[str, t.Any] | None = None,
) -> Response:
    """Send a person to the provider.

    :param next: a checked path to come back to.
    :param link: add the account to whoever is signed in.
    :param params: parameters for the provider, in addition to those that the developer sets for
        every sign-in and to the scopes that are already granted.
    :raises ConfigurationError: the login has no ID tokens to prove what is demanded.
    """
    login = find_login(registration)
    granted = login.record.scopes if login is not None else []
    requested = dict(params or {})
    scopes, request_params = authorization_params(registration, requested)
    scopes = split_scope([*scopes, *granted])
    requested.pop("scope", None)
    login_demands(registration, requested)
    owner = linking_owner() if link else None
    attempt = begin_attempt(
        registration, next, scopes, requested, owner, redirect_uri(registration)
    )
    url = registration.handler.authorize_url(
        scopes,
        state=attempt.state,
        redirect_uri=attempt.redirect_uri,
        **binding_params(registration, attempt),
        **request_params,
    )
    return t.cast(Response, redirect(url))


def finish(registration: Registration, answer: t.Mapping[str, str]) -> Response:
    """Take the provider's answer: sign in whoever it is about.

    :raises AuthorizationError: the answer is a refusal, or belongs to no attempt of this browser.
    :raises OAuth2Error: what else can be wrong with it.
    """
    attempt = find_attempt(registration, answer.get("state"))
    request_scope().take_up_attempt(
        safe_next(attempt.next), is_linking=attempt.link_owner is not None
    )
    use_attempt(registration, attempt)
    check_answer(registration, answer)
    token = redeem(registration, attempt, answer["code"])
    try:
        identity = identify(registration, attempt, token)
        record = make_record(registration, attempt, token, identity)
    except BaseException:
        revoke((registration.handler, token))
        raise
    response = sign_in(registration, attempt, record)
    signals.send(signals.logged_in, login=registration.name, identity=identity, token=token)
    return response or t.cast(Response, redirect(safe_next(attempt.next) or default_next()))


def read_answer() -> dict[str, str]:
    """The parameters of the provider's answer, in the query or in a form.

    :raises AuthorizationError: they are not what a provider sends.
    """
    posted = request.method == "POST"
    # Werkzeug bounds a form, but not what is looked at before it is one.
    request.max_content_length = MAX_FORM
    if not _is_utf8(request.get_data() if posted else request.query_string):
        raise AuthorizationError("invalid_request", "a parameter is not well-formed")
    given = request.form if posted else request.args
    answer = {}
    for name in ANSWER_PARAMS:
        values = given.getlist(name)
        if not values:
            continue
        # RFC 6749, section 3.1, forbids repeated parameters and treats empty ones as omitted. Empty
        # ones are refused: no provider sends them, and an empty `iss` must not pass as omitted.
        if len(values) > 1:
            raise AuthorizationError("invalid_request", "a parameter was sent twice")
        if not values[0] or len(values[0]) > MAX_PARAM or not _is_clean(values[0]):
            raise AuthorizationError("invalid_request", "a parameter is not well-formed")
        answer[name] = values[0]
    return answer


def check_answer(registration: Registration, answer: t.Mapping[str, str]) -> None:
    """Check an answer whose ``state`` is right."""
    # RFC 9207, section 2.4.
    registration.handler.check_issuer(answer.get("iss"))
    # RFC 6749, section 4.1.2.1.
    if "error" in answer and "code" in answer:
        raise AuthorizationError("invalid_request", "the answer has a code and an error")
    if "error" in answer:
        raise AuthorizationError(answer["error"][:100], answer.get("error_description", "")[:500])
    # RFC 6749, section 4.1.2.
    if "code" not in answer:
        raise AuthorizationError("invalid_request", "the answer has no code")


def redeem(registration: Registration, attempt: Attempt, code: str) -> Token:
    """Trade the code for a token."""
    params: dict[str, t.Any] = {"redirect_uri": attempt.redirect_uri}
    if registration.handler.pkce:
        params["code_verifier"] = attempt.code_verifier
    if registration.handler.openid:
        # What the ID token must answer to.
        params["nonce"] = attempt.nonce
        demands = login_demands(registration, attempt.requested)
        params |= {"max_age": demands.max_age, "acr_values": demands.acr_values}
    token = registration.handler.get_token(code, **params)
    if token is None:
        raise ProviderAnswerError("The token endpoint answered with no content.")
    return token


def identify(registration: Registration, attempt: Attempt, token: Token) -> Identity:
    """Find out who it is."""
    identity = registration.handler.fetch_identity(
        token, registration.options.claims, attempt.scopes
    )
    identity = identity or Identity(registration.name, None)
    identity.provider = registration.name
    return identity


def make_record(
    registration: Registration, attempt: Attempt, token: Token, identity: Identity
) -> Record:
    """What will rest of this login."""
    # RFC 6749, section 5.1: without a scope in the answer, what was asked for was granted.
    granted = token.get("scope")
    claims = token.id_claims or {}
    keeps_id_token = registration.options.keep_id_token or registration.store is not None
    return Record(
        id=secrets.token_urlsafe(16),
        token=token,
        identity=identity,
        signed_in_at=int(time.time()),
        scopes=attempt.scopes if granted is None else registration.handler.split_granted(granted),
        requested=attempt.requested | {"scope": attempt.scopes},
        id_claims={name: claims[name] for name in KEPT_CLAIMS if name in claims},
        id_token=token.get("id_token") if keeps_id_token else None,
    )


def binding_params(registration: Registration, attempt: Attempt) -> dict[str, str]:
    """What binds the provider's answer to this attempt: PKCE (RFC 7636), and a nonce."""
    params = {}
    if registration.handler.pkce:
        params["code_challenge"] = code_challenge(attempt.code_verifier)
        params["code_challenge_method"] = "S256"
    if registration.handler.openid:
        params["nonce"] = attempt.nonce
    return params


def _is_clean(value: str) -> bool:
    """No control characters."""
    return not any(ord(char) < 32 or ord(char) == 127 for char in value)


def _is_utf8(encoded: bytes) -> bool:
    """Whether a query or a form is text; parsed, it looks as if it had been encoded twice."""
    try:
        unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError:
        return False
    return True
