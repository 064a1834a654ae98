"""Proofs of possession, checked as strictly as RFC 9449, section 4.3, allows."""

from __future__ import annotations

import base64
import dataclasses
import json
import secrets
import time
import typing as t
from hashlib import sha256

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from .grants import Refusal
from .messages import Answer, Request
from .signing import encode

if t.TYPE_CHECKING:
    from .settings import Settings

#: Seconds that ``iat`` may be off.
WINDOW = 60
_PUBLIC = {"kty", "crv", "x", "y"}


def check_proof(settings: Settings, request: Request, access_token: str | None = None) -> str:
    """Check the proof of a request, and return the thumbprint of its key.

    :param access_token: the token of the request, where it has one.
    :raises Refusal: the proof is missing or wrong, or lacks the nonce.
    """
    proof = request.headers.get("DPoP")
    if proof is None:
        raise Refusal("invalid_dpop_proof", "no proof")
    if proof.count(".") != 2 or "," in proof:
        raise Refusal("invalid_dpop_proof", "not one proof")
    try:
        header = json.loads(_decode(proof.split(".")[0]))
        if header.keys() != {"typ", "alg", "jwk"} or header["jwk"].keys() != _PUBLIC:
            raise Refusal("invalid_dpop_proof", "more or less in the header")
        if (header["typ"], header["alg"]) != ("dpop+jwt", "ES256"):
            raise Refusal("invalid_dpop_proof", "typ or alg")
        key = ECKey.import_key(header["jwk"])
        claims = json.loads(jws.deserialize_compact(proof, key, algorithms=["ES256"]).payload)
    except (JoseError, ValueError, AttributeError) as error:
        raise Refusal("invalid_dpop_proof", type(error).__name__) from None
    expected: dict[str, t.Any] = {"htm": request.method, "htu": settings.url + request.path}
    if access_token is not None:
        expected["ath"] = encode(sha256(access_token.encode()).digest())
    for name, value in expected.items():
        if claims.get(name) != value:
            raise Refusal("invalid_dpop_proof", f"{name} is {claims.get(name)!r}")
    if not isinstance(claims["iat"], int) or abs(claims["iat"] - time.time()) > WINDOW:
        raise Refusal("invalid_dpop_proof", "iat")
    with settings.proofs_lock:
        if not claims["jti"] or claims["jti"] in settings.proofs:
            raise Refusal("invalid_dpop_proof", "this proof was used before")
        settings.proofs[claims["jti"]] = claims
        if settings.dpop_nonce is not None and claims.get("nonce") != settings.dpop_nonce:
            raise Refusal("use_dpop_nonce", "the nonce is missing or old")
        if settings.rotate_nonces:
            settings.dpop_nonce = secrets.token_urlsafe(8)
    return key.thumbprint()


def nonce_header(settings: Settings) -> dict[str, str]:
    """The header of an answer that tells the client the newest nonce."""
    return {} if settings.dpop_nonce is None else {"DPoP-Nonce": settings.dpop_nonce}


def with_nonce(settings: Settings, answer: Answer) -> Answer:
    """The answer of an endpoint that clients authenticate at, with a nonce to be told."""
    is_told = settings.rotate_nonces or b"use_dpop_nonce" in answer.payload
    told = nonce_header(settings) if is_told else {}
    return dataclasses.replace(answer, headers={**answer.headers, **told})


def challenge(settings: Settings, refusal: Refusal) -> dict[str, str]:
    """The headers in which an API says what is wrong with a proof: section 7.1."""
    value = f'{settings.dpop_scheme} algs="ES256", error="{refusal.error}"'
    told = {"WWW-Authenticate": f'{value}, error_description="{refusal.description}"'}
    return told | nonce_header(settings)


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
