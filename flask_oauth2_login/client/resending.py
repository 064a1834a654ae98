"""What the answer of an API says about sending its request again."""

from __future__ import annotations

import requests
from requests.utils import rewind_body

from ..protocol.token import Token
from ..protocol.www_authenticate import find_challenge


def challenge_of(response: requests.Response, token: Token) -> dict[str, str] | None:
    """Return the challenge that is about the token; None if it does not say what is wrong."""
    header = response.headers.get("WWW-Authenticate", "")
    if not token.is_dpop:
        return find_challenge(header, "bearer")
    # Some APIs reject a bound token by a Bearer challenge, or by one without an error code.
    challenge = find_challenge(header, "dpop", "bearer")
    return challenge if challenge and "error" in challenge else None


def rewind(request: requests.PreparedRequest) -> bool:
    """Prepare a request's body to be sent again. Return False if that is not possible."""
    body: object = request.body
    if body is None or isinstance(body, (str, bytes)):
        return True
    try:
        rewind_body(request)
    except requests.exceptions.UnrewindableBodyError:
        return False
    return True
