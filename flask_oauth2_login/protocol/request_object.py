"""Signed authorization requests: RFC 9101."""

from __future__ import annotations

import secrets
import time
import typing as t

from .client_assertion import Sign

#: The ``typ`` of a request object: RFC 9101, section 10.8.
TYPE = "oauth-authz-req+jwt"
#: How long (s) a request object is valid. A browser carries it to the provider at once.
LIFETIME = 300
#: How long (s) before it was made it is valid already, for a provider whose clock is behind.
EARLIER = 10

# With `sub`, a request object could pass for an assertion of the client: RFC 9101, section 10.8. A
# request object is the whole request, so it names no other: section 4.
_NEVER = frozenset({"sub", "request", "request_uri"})


def make_request_object(
    client_id: str, issuer: str, params: t.Mapping[str, t.Any], sign: Sign
) -> str:
    """Return a new request object: RFC 9101, section 4.

    :param issuer: the provider's issuer, whom the object is for.
    :param params: all parameters of the request. Lists and mappings are JSON there, too.
    """
    now = int(time.time())
    given = {n: v for n, v in params.items() if v is not None and n not in _NEVER}
    return sign(
        {
            **{name: _single(value) for name, value in given.items()},
            "iss": client_id,
            "aud": issuer,
            "iat": now,
            "nbf": now - EARLIER,
            "exp": now + LIFETIME,
            "jti": secrets.token_urlsafe(24),
        }
    )


def _single(value: t.Any) -> t.Any:
    """Return a parameter that is given once as it is, and not as a list of one."""
    is_one = isinstance(value, (list, tuple)) and len(value) == 1
    return value[0] if is_one and not isinstance(value[0], t.Mapping) else value
