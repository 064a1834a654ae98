"""JWTs of a provider: their form and their signature. RFC 7515, RFC 7519, RFC 8725."""

from __future__ import annotations

import dataclasses
import typing as t

from joserfc.jwk import OctKey
from joserfc.jws import JWSRegistry

from . import base64url
from .algorithms import HMACS, KINDS
from .errors import IDTokenError, UnusableIDTokenError
from .json_input import parse_json
from .jwks import Keys
from .leeway import LEEWAY

Claims = dict[str, t.Any]

#: The most characters of a token.
MAX_LENGTH = 100_000


_ALGORITHMS = JWSRegistry(algorithms=[alg for alg in (*KINDS, *HMACS) if alg != "EdDSA"])


@dataclasses.dataclass(frozen=True)
class Verifier:
    """What a check compares a token with: the provider's keys and issuer, and the client."""

    #: The provider's keys.
    keys: Keys
    #: The algorithms that are accepted. HMAC is among them only if the developer names it.
    algorithms: t.Collection[str]
    client_id: str
    client_secret: str | None = dataclasses.field(repr=False)
    #: Other audiences that ``aud`` may name beside this client.
    trusted_audiences: t.Collection[str]
    #: The provider's issuer as it is configured, for errors.
    issuer: str
    #: Returns True if an ``iss`` is this provider's, called with it and with the token's claims.
    is_issuer: t.Callable[[t.Any, Claims], bool]
    #: How far (s) the provider's clock may differ from ours.
    leeway: float = LEEWAY
    #: Read a ``sub`` that is a number as text.
    numeric_sub: bool = False


def verify(token: t.Any, verifier: Verifier) -> tuple[Claims, Claims]:
    """Return the header and the claims of a JWT, after a check of its signature.

    :raises IDTokenError: the token is not a JWT, or its signature is wrong.
    :raises ProviderError: the keys can't be fetched.
    """
    header, claims = parse(token, verifier)
    check_signature(token, header, verifier)
    return header, claims


def parse(token: t.Any, verifier: Verifier) -> tuple[Claims, Claims]:
    """Return the header and the claims of a JWT, without checking its signature."""
    if not isinstance(token, str) or len(token) > MAX_LENGTH:
        raise IDTokenError("it is not a JWT")
    parts = token.split(".")
    if len(parts) == 5:
        raise UnusableIDTokenError("it is encrypted, which is not supported of this kind of token")
    if len(parts) != 3:
        raise IDTokenError("it is not a JWT")
    header = json_object(parts[0])
    # RFC 7515, section 4.1.11. No extensions are supported.
    if "crit" in header:
        raise IDTokenError("its header has unknown critical extensions")
    # RFC 8725, section 3.1.
    alg = header.get("alg")
    if not isinstance(alg, str) or alg not in verifier.algorithms or alg not in (*KINDS, *HMACS):
        raise UnusableIDTokenError(
            f"its algorithm {str(alg)[:20]!r} is not expected of this provider, but"
            f" {', '.join(verifier.algorithms)}: choose one of these where the client is"
            " registered, or name it in the option algorithms=[…]",
            row="algorithm",
        )
    kid = header.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise IDTokenError("its kid is not a string")
    return header, text_sub(json_object(parts[1]), verifier.numeric_sub)


def text_sub(claims: Claims, numeric_sub: bool) -> Claims:
    """Return claims whose ``sub`` is text, if it is a whole number and ``numeric_sub`` is True."""
    sub = claims.get("sub")
    if numeric_sub and isinstance(sub, int) and not isinstance(sub, bool):
        return {**claims, "sub": str(sub)}
    return claims


def check_signature(token: str, header: Claims, verifier: Verifier) -> None:
    """Check the signature of a JWT that `parse` accepts: RFC 7515, section 5.2.

    Keys that the header names (`jku`, `x5u`, `x5c`, `jwk`) are never used.

    :raises IDTokenError: it is wrong.
    :raises ProviderError: the keys can't be fetched.
    """
    alg, kid = header["alg"], header.get("kid")
    signed, _, encoded = token.rpartition(".")

    def is_signed(key: t.Any) -> bool:
        try:
            signature = base64url.decode(encoded)
            if alg == "EdDSA":
                # joserfc refuses this name, which RFC 9864 deprecates. Providers still use it.
                key.public_key.verify(signature, signed.encode())
                return True
            return _ALGORITHMS.get_alg(alg).verify(signed.encode(), signature, key) is True
        except Exception:
            return False

    if alg in HMACS:
        secret = verifier.client_secret
        good = bool(secret) and is_signed(OctKey.import_key(secret or ""))
    else:
        good = verifier.keys.try_each(alg, kid, is_signed)
    if not good:
        raise IDTokenError("its signature is not from a key of this provider")


def json_object(part: str) -> Claims:
    """Return the JSON object that a part of a JWT encodes.

    :raises IDTokenError: it is none.
    """
    try:
        value = parse_json(base64url.decode(part))
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise IDTokenError("it is not a JWT")
    return value
