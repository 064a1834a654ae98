"""Pushed authorization requests: RFC 9126."""

from __future__ import annotations

import re
import typing as t

from .client_auth import ClientAuth, TokenRequest
from .errors import ProviderAnswerError
from .http_options import HTTPOptions
from .token import find_refusal
from .token_request import explain_refusal, secrets_in, send

if t.TYPE_CHECKING:
    from .dpop import Prover

# The characters of a URI (RFC 3986, section 2), and the most that a URL has room for.
_URI = re.compile(r"[!-~]{1,2048}")


def push(
    options: HTTPOptions,
    request: TokenRequest,
    client_auth: ClientAuth,
    make_params: t.Callable[[], t.Mapping[str, t.Any]],
    prover: Prover | None = None,
) -> str:
    """Push an authorization request once, and return its ``request_uri``: RFC 9126, section 2.

    How long it is valid is not read, because the browser goes there at once.

    :param request: the endpoint, and the client's credentials.
    :param make_params: returns the parameters of the authorization request, for each try anew.
    :param prover: adds a proof, which binds the code to its key: RFC 9449, section 10.1.
    :raises TokenError: the provider refused (section 2.3).
    :raises ProviderError: the provider can't be reached, or its response can't be understood.
    """

    def prepare(each: TokenRequest) -> None:
        each.params |= {n: value for n, value in make_params().items() if value is not None}
        client_auth(each)

    response = send(options, request, prepare, prover=prover)
    response.require_in_order("The pushed authorization request endpoint")
    members = response.json_object() or {}
    if refusal := find_refusal(members, response.status, secrets_in(request)):
        raise explain_refusal(refusal, request, client_auth)
    request_uri = members.get("request_uri")
    is_uri = isinstance(request_uri, str) and _URI.fullmatch(request_uri)
    if not is_uri or response.status not in {200, 201}:
        raise ProviderAnswerError(
            f"The pushed authorization request endpoint answered with {response.outcome} and no"
            " request_uri: is par_url right?"
        )
    return str(request_uri)
