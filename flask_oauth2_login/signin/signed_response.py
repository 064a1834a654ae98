"""Authorization responses that the provider signs: JARM, section 2.

A browser's attempt is found by the ``state`` of a response that is not checked yet. Only a response
whose signature is right uses the attempt up.
"""

from __future__ import annotations

import logging
import typing as t
from urllib.parse import urlencode

from werkzeug.datastructures import MultiDict

from ..protocol.errors import AuthorizationError, ProviderError
from ..session.registration import Registration
from ..session.request_scope import request_scope
from .response import PROTOCOL_PARAMS, read_params, read_response, sent_params

log = logging.getLogger("flask_oauth2_login")

#: The most characters of a signed response.
MAX_RESPONSE = 16 * 1024
#: The claims that are no parameters of the response: RFC 7519, section 4.1.
_OF_JWT = frozenset({"aud", "exp", "iat", "nbf", "jti", "sub"})

T = t.TypeVar("T")
Response = t.Mapping[str, str]


def read_any_response(registration: Registration) -> dict[str, str]:
    """Return the response's parameters: if it must be signed, ``response`` only.

    :raises AuthorizationError: a parameter is not well-formed, or the response is not signed.
    """
    if not registration.handler.has_signed_responses:
        return read_response()
    _, given = sent_params()
    values = given.getlist("response")
    if len(values) > 1 or any(not 0 < len(value) <= MAX_RESPONSE for value in values):
        raise AuthorizationError("invalid_request", "a parameter is not well-formed")
    if values:
        return {"response": values[0]}
    if any(name in given for name in PROTOCOL_PARAMS):
        raise AuthorizationError(
            "invalid_response",
            "the answer is not signed; start again",
            detail=f"response_mode={registration.handler.response_mode!r} asks the provider to sign"
            " it, and only what is signed is read.",
        )
    return {}


def find_state(registration: Registration, response: Response) -> str | None:
    """Return the ``state`` of a response, which is not checked yet.

    :raises AuthorizationError: the response is not a JWT.
    :raises ProviderError: the metadata can't be fetched.
    """
    if "response" not in response or not registration.handler.has_signed_responses:
        return response.get("state")
    return _or_again(registration, registration.handler.response_state, response["response"])


def open_response(registration: Registration, response: Response) -> Response:
    """Return the parameters in a response, once its signature is found right.

    :raises AuthorizationError: a check of the response failed.
    :raises ProviderError: the provider's keys can't be fetched.
    """
    if not registration.handler.has_signed_responses:
        return response
    validate = registration.handler.validate_response
    claims = _or_again(registration, validate, response["response"])
    params = {n: v for n, v in claims.items() if isinstance(v, str) and n not in _OF_JWT}
    return read_params(urlencode(params, errors="replace").encode(), MultiDict(params))


def _or_again(registration: Registration, check: t.Callable[[str], T], jwt: str) -> T:
    """Return what a check returns. If the provider fails it, the response can be sent again."""
    try:
        return check(jwt)
    except ProviderError:
        request_scope().is_code_unused = True
        log.info(
            "%s: an answer could not be checked. A reload tries it again.", registration.log_name
        )
        raise
