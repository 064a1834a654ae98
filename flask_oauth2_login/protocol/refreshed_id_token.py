"""ID tokens of refresh responses: OpenID Connect Core 1.0, section 12.2.

Three claims decide about the login: ``iss``, ``sub``, and this client in ``aud``. A provider that
does anything else otherwise, such as a new ``auth_time``, costs the ID token only: it came from
the token endpoint itself, and the new tokens beside it are good.
"""

from __future__ import annotations

import time
import typing as t

from . import base64url
from .discovery import ALIASES
from .errors import IDTokenError
from .id_token import validate_id_token
from .json_input import parse_json
from .jwt import MAX_LENGTH, Claims, Verifier, text_sub

#: How old (s) an ID token of a refresh response may be by its ``iat``, or the leeway if that is
#: longer.
REFRESHED_MAX_AGE = 300


def check_same_person(id_token: str, client_id: str, former: t.Mapping[str, t.Any]) -> None:
    """Check that an ID token is about the person and the client of the sign-in.

    Its signature is not checked, because TLS protects the response. A token that can't be read says
    nothing about anybody.

    :param former: the claims of the ID token of the sign-in.
    :raises IDTokenError: it is about somebody else, from another issuer, or for another client.
    """
    claims = _read(id_token)
    if claims is None:
        return
    for name in ("iss", "sub"):
        if name in former and not _is_same(claims.get(name), former[name]):
            raise IDTokenError(f"its {name} is not that of the sign-in")
    aud = claims.get("aud")
    if client_id not in (aud if isinstance(aud, list) else [aud]):
        raise IDTokenError("its aud does not name this client")


def validate_refreshed(
    id_token: str, verifier: Verifier, former: t.Mapping[str, t.Any], access_token: str
) -> Claims:
    """Return the claims of an ID token after all checks.

    :param former: the claims of the ID token of the sign-in.
    :raises IDTokenError: a check failed.
    :raises ProviderError: the provider's keys can't be fetched.
    """
    claims = validate_id_token(id_token, verifier, access_token=access_token, is_refreshed=True)
    max_age = max(REFRESHED_MAX_AGE, verifier.leeway)
    if claims["iat"] < max(former.get("iat", 0), time.time() - max_age):
        raise IDTokenError("its iat is old")
    for name in ("auth_time", "nonce"):
        if claims.get(name, former.get(name)) != former.get(name):
            raise IDTokenError(f"its {name} is not that of the sign-in")
    return claims


def _is_same(value: t.Any, former: t.Any) -> bool:
    """Return True if two values of a claim are equal, or are two names of one issuer."""
    names = ((issuer, *aliases) for issuer, aliases in ALIASES.items())
    return value == former or any(value in each and former in each for each in names)


def _read(id_token: str) -> Claims | None:
    """Return the claims of a JWT without any check; None if they can't be read."""
    parts = id_token.split(".")
    if len(id_token) > MAX_LENGTH or len(parts) != 3:
        return None
    try:
        claims = parse_json(base64url.decode(parts[1]))
    except ValueError:
        return None
    # A `sub` that is a number was stored as text.
    return text_sub(claims, numeric_sub=True) if isinstance(claims, dict) else None
