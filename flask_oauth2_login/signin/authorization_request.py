"""The authorization request of a sign-in: RFC 6749, section 4.1.1; RFC 9126."""

from __future__ import annotations

import logging
import typing as t

from ..look.explanations import REFUSED
from ..protocol.errors import AuthorizationError, ProviderUnavailableError, TokenError
from ..protocol.pkce import code_challenge
from ..protocol.refusal import Concern, find_concern
from ..session.registration import Registration
from ..session.request_scope import request_scope
from ..web.next_url import current_page
from ..web.view_urls import login_url_of
from .attempt import Attempt
from .attempt_key import key_params, pkce_verifier
from .redirect_uri_hints import name_redirect_uri
from .reports import config_keys, report

log = logging.getLogger("flask_oauth2_login")


def request_url(
    registration: Registration,
    attempt: Attempt,
    scopes: list[str],
    params: t.Mapping[str, t.Any],
    *,
    is_own: bool,
) -> str:
    """Return the URL that begins an attempt at the provider. The request may be pushed before.

    :param params: further parameters of the request.
    :param is_own: True if what the attempt asks for is not from somebody else's link.
    :raises AuthorizationError: the provider refused what somebody else's link asks for.
    :raises ProviderUnavailableError: the provider can't answer now, or can't be reached.
    :raises ProviderAnswerError: the provider refused the request, or its metadata can't be read.
    """
    try:
        return registration.handler.authorize_url(
            scopes,
            state=attempt.state,
            redirect_uri=attempt.redirect_uri,
            **binding_params(registration, attempt),
            **key_params(registration, attempt),
            **params,
        )
    except TokenError as refusal:
        # The page offers another try, without the parameters of a link that may be to blame. Where
        # this URL is set, the error's handler does not log the error a second time.
        plain = login_url_of(registration, attempt.next)
        request_scope().again_url = plain if attempt.requested else current_page()
        concern = find_concern(refusal)
        if concern is Concern.MOMENT:
            raise ProviderUnavailableError(refusal.message) from None
        if concern is Concern.CLIENT:
            hint = config_keys(registration)
        elif attempt.requested and not is_own:
            log.warning(
                "%s: a link asks for what the provider refuses. %s", registration.log_name, refusal
            )
            raise AuthorizationError(
                refusal.error, refusal.error_description, sentence=REFUSED
            ) from None
        else:
            hint = name_redirect_uri(attempt.redirect_uri, is_refused="redirect" in refusal.message)
        raise report(registration, refusal, hint) from None


def binding_params(registration: Registration, attempt: Attempt) -> dict[str, str]:
    """Return the parameters that bind the response to this attempt: PKCE (RFC 7636), nonce."""
    params = {}
    if registration.handler.pkce:
        params["code_challenge"] = code_challenge(pkce_verifier(registration, attempt))
        params["code_challenge_method"] = "S256"
    if registration.handler.uses_nonce:
        params["nonce"] = attempt.nonce
    return params
