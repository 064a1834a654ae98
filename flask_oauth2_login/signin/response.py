"""The authorization response: what the provider sends the browser back with. RFC 6749, 4.1.2."""

from __future__ import annotations

import re
import typing as t
from urllib.parse import unquote_to_bytes

from werkzeug.datastructures import MultiDict

from ..protocol.authorization import check_hmac
from ..protocol.errors import AuthorizationError
from ..protocol.json_input import to_one_line
from ..session.context import this_request
from ..session.registration import Registration

#: The parameters that the protocol acts on (RFC 6749, section 4.1.2; RFC 9207).
PROTOCOL_PARAMS = ("code", "state", "iss", "error")
#: All parameters that the specifications name.
RESPONSE_PARAMS = (*PROTOCOL_PARAMS, "error_description", "error_uri")
#: Where a refusal without ``error`` has its code, and where it has its text (Facebook and others).
OTHER_CODES = ("error_code", "errorCode", "error_type", "error_reason", "err", "denied")
OTHER_TEXTS = (
    "error_message",
    "errorMessage",
    "error_msg",
    "errorDescription",
    "message",
    "msg",
    "error_reason",
)
#: The parameters of a refusal that only people read.
DISPLAY_PARAMS = ("error_description", "error_uri", *dict.fromkeys((*OTHER_CODES, *OTHER_TEXTS)))
#: Parameters that are never kept: what names a held response, and tokens, which come from the token
#: endpoint only.
NEVER_KEPT = frozenset({
    "waiting", "access_token", "refresh_token", "id_token", "token_type", "expires_in",
    "client_secret", "code_verifier",
})  # fmt: skip
#: The most further parameters that are kept, and the most bytes of their names and values.
MAX_FURTHER, MAX_FURTHER_BYTES = 16, 1200
#: The most characters of a parameter.
MAX_PARAM = 8192
#: The most characters that are kept of a parameter that only people read.
MAX_DISPLAY = 500
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

#: The most bytes of a response that comes as a form.
MAX_FORM = 64 * 1024


def read_response() -> dict[str, str]:
    """Return the response's parameters, which come in the query or in a form.

    In a response without a code, characters that can't be shown are replaced in the parameters that
    only people read. Neither these parameters nor those that no specification has decide which
    refusal it is.

    :raises AuthorizationError: another parameter is not well-formed.
    """
    return read_params(*sent_params())


def sent_params() -> tuple[bytes, MultiDict[str, str]]:
    """Return the parameters of this request, as they came and parsed, from its query or form."""
    request = this_request()
    posted = request.method == "POST"
    # Werkzeug limits a parsed form, but not the bytes that are checked here before.
    request.max_content_length = MAX_FORM
    encoded = request.get_data() if posted else request.query_string
    return encoded, request.form if posted else request.args


def read_params(encoded: bytes, given: MultiDict[str, str]) -> dict[str, str]:
    """Return the parameters of a response. See :func:`read_response`.

    :param encoded: the parameters as they came.
    :param given: the same, parsed.
    """
    display = () if "code" in given else DISPLAY_PARAMS
    strict, texts = _split_params(encoded, display)
    if not all(map(_is_utf8, strict)):
        raise AuthorizationError("invalid_request", "a parameter is not well-formed")
    response = {}
    for name in PROTOCOL_PARAMS if display else RESPONSE_PARAMS:
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
    return {**_read_further(given), **texts, **response}


def _read_further(given: MultiDict[str, str]) -> dict[str, str]:
    """Return the parameters that only this provider sends, as many as there is room for.

    What is repeated, empty or not well-formed among them is left out, because it may mean nothing.
    """
    further: dict[str, str] = {}
    room = MAX_FURTHER_BYTES
    for name, values in given.lists():
        if name in RESPONSE_PARAMS or name in NEVER_KEPT or len(further) == MAX_FURTHER:
            continue
        size = len(f"{name}{values[0]}".encode(errors="replace"))
        is_clean = _is_clean(name + values[0]) and "\N{REPLACEMENT CHARACTER}" not in values[0]
        if len(values) == 1 and name and values[0] and is_clean and size <= room:
            further[name] = values[0]
            room -= size
    return further


def further_params(response: t.Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of a response that no specification of a response has."""
    return {name: value for name, value in response.items() if name not in RESPONSE_PARAMS}


def check_response(registration: Registration, response: t.Mapping[str, str]) -> str:
    """Check a response whose ``state`` is right, and return its code.

    :raises AuthorizationError: the response is another provider's, a refusal, or has no code.
    """
    # RFC 9207, section 2.4. A refusal without `iss` is harmless, since `state` is right, and many
    # providers that promise `iss` leave it out there.
    if "iss" in response or "code" in response:
        registration.handler.check_issuer(response.get("iss"))
    # RFC 6749, section 4.1.2.1.
    if "error" in response and "code" in response:
        raise AuthorizationError("invalid_request", "the answer has a code and an error")
    if "error" in response:
        description = response.get("error_description", "")
        raise AuthorizationError(response["error"][:100], description[:500])
    # RFC 6749, section 4.1.2.
    if "code" not in response:
        code = _first(response, OTHER_CODES)
        text = _first(response, ("error_description", *OTHER_TEXTS))
        raise AuthorizationError(
            code[:100] or "invalid_request", text or ("" if code else "the answer has no code")
        )
    if registration.handler.answer_hmac:
        check_hmac(response, registration.handler.client_secret)
    return response["code"]


def _first(response: t.Mapping[str, str], names: t.Iterable[str]) -> str:
    """Return the first of several parameters that the response has, or ``""``."""
    return next((response[name] for name in names if name in response), "")


def _split_params(encoded: bytes, display: t.Collection[str]) -> tuple[list[bytes], dict[str, str]]:
    """Return the parts of a query or a form that must be well-formed, and the texts of the others.

    :param display: the names of those that only people read.
    """
    if not display:
        return [encoded], {}
    strict: list[bytes] = []
    texts: dict[str, str] = {}
    for part in encoded.split(b"&"):
        key, _, value = part.partition(b"=")
        name = unquote_to_bytes(key.replace(b"+", b" ")).decode("utf-8", "replace")
        if name in PROTOCOL_PARAMS:
            strict.append(part)
        elif name not in display:
            continue
        elif text := unquote_to_bytes(value.replace(b"+", b" ")).decode("utf-8", "replace").strip():
            texts.setdefault(name, to_one_line(text)[:MAX_DISPLAY])
    return strict, texts


def _is_clean(value: str) -> bool:
    """Return True if a value has no control characters."""
    return _CONTROL.search(value) is None


def _is_utf8(encoded: bytes) -> bool:
    """Return True if a query or a form is valid UTF-8 once its escapes are decoded."""
    try:
        unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError:
        return False
    return True
