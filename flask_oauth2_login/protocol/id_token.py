"""Validation of ID tokens, signed UserInfo responses and logout tokens.

The checks are in the order of the specifications: OpenID Connect Core 1.0, sections 2, 3.1.3.6,
3.1.3.7 and 5.3.2; Back-Channel Logout 1.0, section 2.6; RFC 8725.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import math
import time
import typing as t

from joserfc.jwk import OctKey
from joserfc.jws import JWSRegistry, deserialize_compact

from . import base64url
from .algorithms import HMACS, KINDS
from .errors import IDTokenError
from .json_input import is_intact, parse_json
from .jwks import Keys
from .scope import split_scope

Claims = dict[str, t.Any]

#: How far (s) the provider's clock may differ from ours when ``exp``, ``iat``, ``nbf`` and
#: ``auth_time`` are compared: a minute, and 30 seconds that a request takes.
CLOCK_SKEW = 90
#: How long (s) after its ``iat`` a logout token without ``exp`` is valid.
LOGOUT_SECONDS = 120
#: The most characters of a token.
MAX_LENGTH = 100_000
#: The member of ``events`` that makes a JWT a logout token.
BACK_CHANNEL_LOGOUT = "http://schemas.openid.net/event/backchannel-logout"

_ANY_HEADER = JWSRegistry(
    strict_check_header=False, algorithms=[alg for alg in (*KINDS, *HMACS) if alg != "EdDSA"]
)


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
    #: Returns True if an ``iss`` is this provider's, called with it and with the token's claims.
    is_issuer: t.Callable[[t.Any, Claims], bool]


def verify(token: t.Any, verifier: Verifier) -> tuple[Claims, Claims]:
    """Return the header and the claims of a JWT, after a check of its signature.

    :raises IDTokenError: the token is not a JWT, or its signature is wrong.
    :raises ProviderError: the keys can't be fetched.
    """
    header, claims = _parse(token, verifier)
    _check_signature(token, header, verifier)
    return header, claims


def _parse(token: t.Any, verifier: Verifier) -> tuple[Claims, Claims]:
    """Return the header and the claims of a JWT, without checking its signature."""
    if not isinstance(token, str) or len(token) > MAX_LENGTH:
        raise IDTokenError("it is not a JWT")
    parts = token.split(".")
    if len(parts) == 5:
        raise IDTokenError("the token itself is encrypted, which is not supported")
    if len(parts) != 3:
        raise IDTokenError("it is not a JWT")
    header = _json_object(parts[0])
    # RFC 7515, section 4.1.11. No extensions are supported.
    if "crit" in header:
        raise IDTokenError("its header has unknown critical extensions")
    # RFC 8725, section 3.1.
    alg = header.get("alg")
    if not isinstance(alg, str) or alg not in verifier.algorithms or alg not in (*KINDS, *HMACS):
        raise IDTokenError(f"its algorithm {str(alg)[:20]!r} is not expected of this provider")
    kid = header.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise IDTokenError("its kid is not a string")
    return header, _json_object(parts[1])


def _check_signature(token: str, header: Claims, verifier: Verifier) -> None:
    alg, kid = header["alg"], header.get("kid")

    def is_signed(key: t.Any) -> bool:
        # Keys that the header names (`jku`, `x5u`, `x5c`, `jwk`) are never used.
        try:
            if alg == "EdDSA":
                # joserfc refuses this name, which RFC 9864 deprecates. Providers still use it.
                signed, _, signature = token.rpartition(".")
                key.public_key.verify(base64url.decode(signature), signed.encode())
            else:
                deserialize_compact(token, key, algorithms=[alg], registry=_ANY_HEADER)
        except Exception:
            return False
        return True

    if alg in HMACS:
        secret = verifier.client_secret
        good = bool(secret) and is_signed(OctKey.import_key(secret or ""))
    else:
        good = verifier.keys.try_each(alg, kid, is_signed)
    if not good:
        raise IDTokenError("its signature is not from a key of this provider")


def validate_id_token(
    token: t.Any,
    verifier: Verifier,
    *,
    nonce: str | None = None,
    max_age: t.Any = None,
    acr_values: t.Any = None,
    access_token: str | None = None,
    code: str | None = None,
) -> Claims:
    """Return the claims of an ID token after all checks: Core, section 3.1.3.7.

    :param nonce: the nonce of the authentication request, or None if it had none.
    :param max_age: the most seconds since the person signed in, if the request had ``max_age``.
    :param acr_values: the allowed values of ``acr`` as a string or a list, if the request had them.
    :param access_token: the access token of the response, to compare ``at_hash`` with.
    :param code: the code of the response, to compare ``c_hash`` with.
    :raises IDTokenError: a check failed. The text says which.
    :raises ProviderError: the provider's keys can't be fetched.
    """
    header, claims = verify(token, verifier)
    # RFC 8725, section 3.11: another kind of JWT must not pass.
    if str(header.get("typ", "JWT")).lower().removeprefix("application/") != "jwt":
        raise IDTokenError("it is another kind of token")
    # Points 2 to 5: iss, aud and azp; and sub.
    _check_issuer(claims, verifier)
    _check_audience(claims, verifier)
    if not _is_text(claims.get("sub")) or len(claims["sub"]) > 255 or not is_intact(claims["sub"]):
        raise IDTokenError("its sub is missing or not a string of 1 to 255 characters")
    # Points 9 and 10: exp and iat; RFC 7519, section 4.1.5: nbf.
    _check_times(claims)
    # Point 11: nonce.
    if nonce is not None and not _equal(claims.get("nonce"), nonce):
        raise IDTokenError("its nonce is not the one that was sent")
    _check_types(claims)
    # Point 12: acr.
    wanted = split_scope(acr_values)
    if wanted and claims.get("acr") not in wanted:
        raise IDTokenError("its acr is not one of those that the request demanded")
    # Point 13: auth_time.
    if max_age is not None:
        _check_auth_time(claims, max_age)
    # Sections 3.1.3.6 and 3.3.2.11.
    _check_hash(claims, "at_hash", access_token, header["alg"])
    _check_hash(claims, "c_hash", code, header["alg"])
    return claims


def validate_userinfo(token: str, verifier: Verifier) -> Claims:
    """Return the claims of a signed UserInfo response: Core, section 5.3.2.

    The caller must compare ``sub`` with that of the ID token.

    :raises IDTokenError: a check failed.
    :raises ProviderError: the provider's keys can't be fetched.
    """
    _, claims = verify(token, verifier)
    # The specification recommends both, but requires neither.
    if "iss" in claims:
        _check_issuer(claims, verifier)
    if "aud" in claims:
        _check_audience(claims, verifier)
    _check_times(claims, needed=())
    return claims


def validate_logout_token(token: t.Any, verifier: Verifier) -> Claims:
    """Return the claims of a logout token: Back-Channel Logout 1.0, section 2.6.

    The caller must refuse a ``jti`` that it has seen before.

    The signature is checked last, because that may fetch the keys, and anybody may send a token.

    :returns: the claims, always with ``exp``. A token without it is valid for two minutes.

    :raises IDTokenError: a check failed.
    :raises ProviderError: the keys can't be fetched.
    """
    header, claims = _parse(token, verifier)
    kind = str(header.get("typ", "logout+jwt")).lower().removeprefix("application/")
    if kind not in {"logout+jwt", "jwt"}:
        raise IDTokenError("it is another kind of token")
    _check_issuer(claims, verifier)
    _check_audience(claims, verifier)
    _check_times(claims, needed=("iat",))
    if "exp" not in claims and claims["iat"] < time.time() - LOGOUT_SECONDS:
        raise IDTokenError("it has no exp, and its iat is too old")
    if not _is_text(claims.get("jti")):
        raise IDTokenError("its jti is missing")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(BACK_CHANNEL_LOGOUT), dict):
        raise IDTokenError("its events don't contain a logout")
    if "nonce" in claims:
        raise IDTokenError("it has a nonce")
    named = [name for name in ("sub", "sid") if name in claims]
    if not named or not all(_is_text(claims[name]) for name in named):
        raise IDTokenError("it has neither sub nor sid")
    _check_signature(token, header, verifier)
    return {"exp": claims["iat"] + LOGOUT_SECONDS, **claims}


def _check_issuer(claims: Claims, verifier: Verifier) -> None:
    if not verifier.is_issuer(claims.get("iss"), claims):
        raise IDTokenError("its iss is not this provider")


def _check_audience(claims: Claims, verifier: Verifier) -> None:
    aud = claims.get("aud")
    audiences = [aud] if isinstance(aud, str) else aud
    if not isinstance(audiences, list) or not all(isinstance(one, str) for one in audiences):
        raise IDTokenError("its aud is missing or not a string")
    if verifier.client_id not in audiences:
        raise IDTokenError("its aud does not name this client")
    if set(audiences) - {verifier.client_id, *verifier.trusted_audiences}:
        raise IDTokenError("its aud names other clients that are not in trusted_audiences")
    if "azp" in claims and claims["azp"] != verifier.client_id:
        raise IDTokenError("its azp is another client")


def _check_times(claims: Claims, needed: t.Collection[str] = ("exp", "iat")) -> None:
    now = time.time()
    for name in ("exp", "iat", "nbf"):
        if (name in claims or name in needed) and not _is_time(claims.get(name)):
            raise IDTokenError(f"its {name} is missing or not a number")
    if claims.get("exp", now) <= now - CLOCK_SKEW:
        raise IDTokenError("it has expired")
    if claims.get("iat", now) > now + CLOCK_SKEW:
        raise IDTokenError("its iat is in the future")
    if claims.get("nbf", 0) > now + CLOCK_SKEW:
        raise IDTokenError("it is not valid yet")


def _check_types(claims: Claims) -> None:
    """Check the types of optional claims that are stored."""
    for name, fits in (("auth_time", _is_time), ("acr", _is_text), ("sid", _is_text)):
        if name in claims and not fits(claims[name]):
            raise IDTokenError(f"its {name} has the wrong type")


def _check_auth_time(claims: Claims, max_age: t.Any) -> None:
    auth_time: t.Any = claims.get("auth_time")
    if not _is_time(auth_time):
        raise IDTokenError("its auth_time is missing")
    try:
        oldest = time.time() - CLOCK_SKEW - float(max_age)
    except (TypeError, ValueError):
        raise IDTokenError("the max_age of the request is not a number") from None
    if auth_time < oldest:
        raise IDTokenError("the person signed in too long ago")


def _check_hash(claims: Claims, name: str, value: str | None, alg: str) -> None:
    if name not in claims or value is None:
        return
    # Ed25519 uses SHA-512. The names of the other algorithms end in the bits of their hash.
    bits = alg[-3:] if alg[-3:] in {"256", "384", "512"} else "512"
    digest = hashlib.new(f"sha{bits}", value.encode()).digest()
    half = base64url.encode(digest[: len(digest) // 2])
    if not _equal(claims[name], half):
        raise IDTokenError(f"its {name} is not the hash of what came with it")


def _is_text(value: t.Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_time(value: t.Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _equal(value: t.Any, expected: str) -> bool:
    return isinstance(value, str) and hmac.compare_digest(value.encode(), expected.encode())


def _json_object(part: str) -> Claims:
    try:
        value = parse_json(base64url.decode(part))
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise IDTokenError("it is not a JWT")
    return value
