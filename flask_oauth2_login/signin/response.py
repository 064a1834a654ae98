"""The authorization response: what the provider sends the browser back with. RFC 6749, 4.1.2."""

from __future__ import annotations

import typing as t
from urllib.parse import unquote_to_bytes

from flask import request

from ..protocol.errors import AuthorizationError
from ..session.registration import Registration

#: The parameters of a response (RFC 6749, section 4.1.2; RFC 9207).
RESPONSE_PARAMS = ("code", "state", "iss", "error", "error_description", "error_uri")
#: The most characters of a parameter.
MAX_PARAM = 8192
#: The most bytes of a response that comes as a form.
MAX_FORM = 64 * 1024


def read_response() -> dict[str, str]:
    """Return the response's parameters, which come in the query or in a form.

    :raises AuthorizationError: they are not well-formed.
    """
    posted = request.method == "POST"
    # Werkzeug limits a parsed form, but not the bytes that are checked here before.
    request.max_content_length = MAX_FORM
    if not _is_utf8(request.get_data() if posted else request.query_string):
        raise AuthorizationError("invalid_request", "a parameter is not well-formed")
    given = request.form if posted else request.args
    response = {}
    for name in RESPONSE_PARAMS:
        values = given.getlist(name)
        if not values:
            continue
        # RFC 6749, section 3.1, forbids repeated parameters and treats empty ones as omitted. Empty
        # ones are refused: no provider sends them, and an empty `iss` must not pass as omitted.
        if len(values) > 1:
            raise AuthorizationError("invalid_request", "a parameter was sent twice")
        if not values[0] or len(values[0]) > MAX_PARAM or not _is_clean(values[0]):
            raise AuthorizationError("invalid_request", "a parameter is not well-formed")
        response[name] = values[0]
    return response


def check_response(registration: Registration, response: t.Mapping[str, str]) -> str:
    """Check a response whose ``state`` is right, and return its code.

    :raises AuthorizationError: the response is another provider's, a refusal, or has no code.
    """
    # RFC 9207, section 2.4.
    registration.handler.check_issuer(response.get("iss"))
    # RFC 6749, section 4.1.2.1.
    if "error" in response and "code" in response:
        raise AuthorizationError("invalid_request", "the answer has a code and an error")
    if "error" in response:
        description = response.get("error_description", "")
        raise AuthorizationError(response["error"][:100], description[:500])
    # RFC 6749, section 4.1.2.
    if "code" not in response:
        raise AuthorizationError("invalid_request", "the answer has no code")
    return response["code"]


def _is_clean(value: str) -> bool:
    """Return True if a value has no control characters."""
    return not any(ord(char) < 32 or ord(char) == 127 for char in value)


def _is_utf8(encoded: bytes) -> bool:
    """Return True if a query or a form is valid UTF-8 once its escapes are decoded."""
    try:
        unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError:
        return False
    return True
