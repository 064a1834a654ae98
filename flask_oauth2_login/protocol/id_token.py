"""ID tokens and logout tokens, validated: each check is a line, in the specification's order.

OpenID Connect Core 1.0, sections 2, 3.1.3.6, 3.1.3.7 and 12.2; Back-Channel Logout 1.0, section
2.6; RFC 8725.
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

#: Seconds by which clocks may differ: a minute, and what a request takes.
CLOCK_SKEW = 90
#: Seconds that a new ID token may be old when it comes with a renewal.
REFRESHED_MAX_AGE = 300
#: How long (s) after its ``iat`` a logout token without ``exp`` is valid.
LOGOUT_SECONDS = 120
MAX_LENGTH = 100_000
BACK_CHANNEL_LOGOUT = "http://schemas.openid.net/event/backchannel-logout"

_ANY_HEADER = JWSRegistry(
    strict_check_header=False, algorithms=[alg for alg in (*KINDS, *HMACS) if alg != "EdDSA"]
)


@dataclasses.dataclass(frozen=True)
class Verifier:
    """What tells whether a token is this provider's, and for this client."""

    keys: Keys
    #: Those expected of this provider: HMAC only where the developer asked for it.
    algorithms: t.Collection[str]
    client_id: str
    client_secret: str | None = dataclasses.field(repr=False)
    trusted_audiences: t.Collection[str]
    #: Whether an ``iss`` is this provider's, given the claims it stands among.
    is_issuer: t.Callable[[t.Any, Claims], bool]


def verify(token: t.Any, verifier: Verifier) -> tuple[Claims, Claims]:
    """A JWT's header and claims, once its signature is right.

    :raises IDTokenError: it is not, or the token is no such thing.
    :raises ProviderError: the keys can't be had.
    """
    header, claims = _parse(token, verifier)
    _check_signature(token, header, verifier)
    return header, claims


def _parse(token: t.Any, verifier: Verifier) -> tuple[Claims, Claims]:
    """Return the header and the claims of a JWT, without checking its signature."""
    if not isinstance(token, str) or len(token) > MAX_LENGTH:
        raise IDTokenError("it is no JWT")
    parts = token.split(".")
    if len(parts) == 5:
        raise IDTokenError("it is encrypted, and no keys are configured for that")
    if len(parts) != 3:
        raise IDTokenError("it is no JWT")
    header = _json_object(parts[0])
    # RFC 7515, section 4.1.11. There is no extension that we know.
    if "crit" in header:
        raise IDTokenError("its header has critical extensions that are not known")
    # RFC 8725, section 3.1.
    alg = header.get("alg")
    if not isinstance(alg, str) or alg not in verifier.algorithms or alg not in (*KINDS, *HMACS):
        raise IDTokenError(f"its algorithm {str(alg)[:20]!r} is not expected of this provider")
    kid = header.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise IDTokenError("its kid is no string")
    return header, _json_object(parts[1])


def _check_signature(token: str, header: Claims, verifier: Verifier) -> None:
    alg, kid = header["alg"], header.get("kid")

    def is_signed(key: t.Any) -> bool:
        # Of `jku`, `x5u`, `x5c` and `jwk` in the header nothing is used: the key is given.
        try:
            if alg == "EdDSA":
                # joserfc has this name for deprecated, by RFC 9864. Providers go on with it.
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
        raise IDTokenError("its signature is not by a key of this provider")


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
    """The claims of an ID token, all checked: Core, section 3.1.3.7.

    :param nonce: what the authentication request sent; None where it sent none.
    :param max_age: seconds, if the request demanded that.
    :param acr_values: allowed values of ``acr``, as a string or a list, if the request had them.
    :raises IDTokenError: a check failed.
    """
    header, claims = verify(token, verifier)
    # RFC 8725, section 3.11: not another kind of JWT.
    if str(header.get("typ", "JWT")).lower().removeprefix("application/") != "jwt":
        raise IDTokenError("it is another kind of token")
    # 2 to 5: iss, aud, azp; and sub.
    _check_issuer(claims, verifier)
    _check_audience(claims, verifier)
    if not _is_text(claims.get("sub")) or len(claims["sub"]) > 255 or not is_intact(claims["sub"]):
        raise IDTokenError("its sub is missing or no string of 1 to 255 characters")
    # 9 and 10: exp, iat, and RFC 7519, section 4.1.5: nbf.
    _check_times(claims)
    # 11: nonce.
    if nonce is not None and not _equal(claims.get("nonce"), nonce):
        raise IDTokenError("its nonce is not the one that was sent")
    _check_rest(claims)
    # 12: acr.
    wanted = split_scope(acr_values)
    if wanted and claims.get("acr") not in wanted:
        raise IDTokenError("its acr is none of those that were demanded")
    # 13: auth_time.
    if max_age is not None:
        _check_auth_time(claims, max_age)
    # 3.1.3.6 and 3.3.2.11.
    _check_hash(claims, "at_hash", access_token, header["alg"])
    _check_hash(claims, "c_hash", code, header["alg"])
    return claims


def validate_refreshed(
    token: t.Any, verifier: Verifier, former: t.Mapping[str, t.Any], access_token: str
) -> Claims:
    """The claims of an ID token that came with a renewal: Core, section 12.2.

    :param former: claims of the ID token of the sign-in.
    """
    claims = validate_id_token(token, verifier, access_token=access_token)
    _compare(claims, former)
    return claims


def read_refreshed(token: t.Any, former: t.Mapping[str, t.Any]) -> Claims:
    """As :func:`validate_refreshed`, without the signature: for when the keys can't be had."""
    if not isinstance(token, str) or len(token) > MAX_LENGTH or token.count(".") != 2:
        raise IDTokenError("it is no JWT")
    claims = _json_object(token.split(".")[1])
    _check_times(claims)
    _check_rest(claims)
    _compare(claims, former)
    return claims


def validate_userinfo(token: str, verifier: Verifier) -> Claims:
    """The claims of a signed UserInfo answer: Core, section 5.3.2. Whose it is, is the caller's.

    :raises IDTokenError: a check failed.
    """
    _, claims = verify(token, verifier)
    # They should be there, and need not.
    if "iss" in claims:
        _check_issuer(claims, verifier)
    if "aud" in claims:
        _check_audience(claims, verifier)
    _check_times(claims, needed=())
    return claims


def _compare(claims: Claims, former: t.Mapping[str, t.Any]) -> None:
    """That an ID token of a renewal is of the same sign-in: Core, section 12.2."""
    for name in ("iss", "sub", "aud"):
        if name in former and claims.get(name) != former[name]:
            raise IDTokenError(f"its {name} is not that of the sign-in")
    if claims["iat"] < max(former.get("iat", 0), time.time() - REFRESHED_MAX_AGE):
        raise IDTokenError("its iat is old")
    if claims.get("auth_time", former.get("auth_time")) != former.get("auth_time"):
        raise IDTokenError("its auth_time is not that of the sign-in")
    if claims.get("nonce", former.get("nonce")) != former.get("nonce"):
        raise IDTokenError("its nonce is not that of the sign-in")


def validate_logout_token(token: t.Any, verifier: Verifier) -> Claims:
    """The claims of a logout token: Back-Channel Logout, section 2.6. Its ``jti`` is the caller's.

    ``exp`` is always among them: a token without it is valid for two minutes.

    The signature is checked last, because it may need a fetch of the keys, and anybody may send a
    token.

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
        raise IDTokenError("its events say nothing of a logout")
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
        raise IDTokenError("its aud is missing or no string")
    if verifier.client_id not in audiences:
        raise IDTokenError("its aud is another client")
    if set(audiences) - {verifier.client_id, *verifier.trusted_audiences}:
        raise IDTokenError("its aud names others that are not in trusted_audiences")
    if "azp" in claims and claims["azp"] != verifier.client_id:
        raise IDTokenError("its azp is another client")


def _check_times(claims: Claims, needed: t.Collection[str] = ("exp", "iat")) -> None:
    now = time.time()
    for name in ("exp", "iat", "nbf"):
        if (name in claims or name in needed) and not _is_time(claims.get(name)):
            raise IDTokenError(f"its {name} is missing or no number")
    if claims.get("exp", now) <= now - CLOCK_SKEW:
        raise IDTokenError("it has expired")
    if claims.get("iat", now) > now + CLOCK_SKEW:
        raise IDTokenError("its iat is in the future")
    if claims.get("nbf", 0) > now + CLOCK_SKEW:
        raise IDTokenError("it is not valid yet")


def _check_rest(claims: Claims) -> None:
    """What need not be there, and is kept where it is: by type."""
    for name, fits in (("auth_time", _is_time), ("acr", _is_text), ("sid", _is_text)):
        if name in claims and not fits(claims[name]):
            raise IDTokenError(f"its {name} is of another type")


def _check_auth_time(claims: Claims, max_age: t.Any) -> None:
    auth_time: t.Any = claims.get("auth_time")
    if not _is_time(auth_time):
        raise IDTokenError("its auth_time is missing")
    try:
        oldest = time.time() - CLOCK_SKEW - float(max_age)
    except (TypeError, ValueError):
        raise IDTokenError("max_age is no number") from None
    if auth_time < oldest:
        raise IDTokenError("the person signed in too long ago")


def _check_hash(claims: Claims, name: str, value: str | None, alg: str) -> None:
    if name not in claims or value is None:
        return
    # Ed25519 hashes with SHA-512; the other names end in their hash's bits.
    bits = alg[-3:] if alg[-3:] in {"256", "384", "512"} else "512"
    digest = hashlib.new(f"sha{bits}", value.encode()).digest()
    half = base64url.encode(digest[: len(digest) // 2])
    if not _equal(claims[name], half):
        raise IDTokenError(f"its {name} does not fit")


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
        raise IDTokenError("it is no JWT")
    return value
