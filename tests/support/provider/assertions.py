"""Client authentication by assertions, as strict as a server with FAPI 2.0: RFC 7523, section 3."""

from __future__ import annotations

import hmac
import json
import time
import typing as t

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from .grants import Refusal
from .signing import decode, encode

if t.TYPE_CHECKING:
    from .settings import Settings

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#: The most seconds that an assertion may be valid.
MOST = 3600


def read_assertion(settings: Settings, params: t.Mapping[str, str]) -> str:
    """The method by which an assertion authenticates the client.

    :raises Refusal: a check failed.
    """
    if params.get("client_assertion_type") != JWT_BEARER:
        raise _invalid("client_assertion_type")
    assertion = params["client_assertion"]
    try:
        header, claims = (json.loads(decode(part)) for part in assertion.split(".")[:2])
    except ValueError:
        raise _invalid("no JWT") from None
    by_secret = header["alg"] == "HS256"
    check = _check_mac if by_secret else check_signature
    check(settings, assertion, header)
    _check_claims(settings, params, claims)
    return "client_secret_jwt" if by_secret else "private_key_jwt"


def _check_mac(settings: Settings, assertion: str, _header: t.Mapping[str, t.Any]) -> None:
    signed, _, signature = assertion.rpartition(".")
    secret = (settings.client_secret or "").encode()
    if not secret or encode(hmac.digest(secret, signed.encode(), "sha256")) != signature:
        raise _invalid("the signature")


def check_signature(settings: Settings, assertion: str, header: t.Mapping[str, t.Any]) -> None:
    """Check that a JWT is signed by a key of the client.

    :raises Refusal: it is not.
    """
    if header["alg"] not in settings.assertion_algorithms:
        raise _invalid(f"the algorithm {header['alg']}")
    known = [key for key in settings.client_keys if key.get("kid") == header.get("kid")]
    try:
        if header["alg"] == "EdDSA":
            _check_ed25519(known[0], assertion)
        else:
            keys = KeySet.import_key_set({"keys": known})
            jws.deserialize_compact(assertion, keys, algorithms=[header["alg"]])
    except (JoseError, ValueError, IndexError):
        raise _invalid("the signature, or the key") from None


def _check_ed25519(jwk: t.Mapping[str, t.Any], assertion: str) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    signed, _, signature = assertion.rpartition(".")
    try:
        Ed25519PublicKey.from_public_bytes(decode(jwk["x"])).verify(
            decode(signature), signed.encode()
        )
    except InvalidSignature:
        raise ValueError("signature") from None


def _check_claims(
    settings: Settings, params: t.Mapping[str, str], claims: t.Mapping[str, t.Any]
) -> None:
    named = {claims.get("iss"), claims.get("sub"), params.get("client_id", settings.client_id)}
    if named != {settings.client_id}:
        raise _invalid("iss, sub or client_id")
    if claims.get("aud") != (settings.assertion_audience or settings.issuer):
        raise _invalid(f"the audience {claims.get('aud')!r}")
    if not 0 < claims["exp"] - time.time() <= MOST:
        raise _invalid("exp")
    if not claims.get("jti") or claims["jti"] in settings.seen_jtis:
        raise _invalid("jti: the assertion was used before")
    settings.seen_jtis.add(claims["jti"])


def _invalid(what: str) -> Refusal:
    return Refusal("invalid_client", f"assertion: {what}", 401)
