"""Assertions: JWTs by which a client authenticates. RFC 7523, sections 2.2 and 3."""

from __future__ import annotations

import hmac
import json
import secrets
import time
import typing as t

from . import base64url

#: The value of ``client_assertion_type``: RFC 7523, section 2.2.
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

#: How long (s) an assertion is valid. It is made for one request.
LIFETIME = 60

#: The algorithm of assertions that are made with the client secret.
WITH_SECRET = "HS256"

#: Returns a JWT with these claims.
Sign = t.Callable[[t.Mapping[str, t.Any]], str]


def make_assertion(client_id: str, audience: str, sign: Sign) -> str:
    """Return a new assertion: RFC 7523, section 3.

    :param audience: whom the assertion is for. It is sent as one string, because servers with FAPI
        2.0 refuse a list.
    """
    now = int(time.time())
    return sign(
        {
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "jti": secrets.token_urlsafe(24),
            "iat": now,
            "exp": now + LIFETIME,
        }
    )


def sign_with_secret(client_secret: str, claims: t.Mapping[str, t.Any]) -> str:
    """Return a JWT that is signed with the client secret by HS256: RFC 7518, section 3.2."""
    header = {"alg": WITH_SECRET, "typ": "JWT"}
    signed = f"{base64url.encode_json(header)}.{base64url.encode_json(claims)}"
    signature = hmac.digest(client_secret.encode(), signed.encode(), "sha256")
    return f"{signed}.{base64url.encode(signature)}"


def describe(assertion: str) -> str:
    """Return what a developer may compare of an assertion with the registration, in words."""
    header, claims = (json.loads(base64url.decode(part)) for part in assertion.split(".")[:2])
    name = header.get("kid") or header.get("x5t#S256")
    key = f"the key {name!r}" if name else "the client secret"
    return f"{key} signed by {header['alg']}, for the audience {claims['aud']!r}"
