"""Validation of ID tokens, and of the other tokens that a provider signs.

The checks are in the order of the specifications: OpenID Connect Core 1.0, sections 2, 3.1.3.6,
3.1.3.7 and 5.3.2; Back-Channel Logout 1.0, section 2.6; JARM (JWT Secured
Authorization Response Mode), section 2.4; RFC 8725.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import time
import typing as t

from . import base64url
from .errors import IDTokenError, UnmetDemandError, UnusableIDTokenError, see
from .json_input import is_intact, to_one_line
from .jwt import Claims, Verifier, check_signature, parse, verify
from .leeway import LEEWAY
from .scope import split_scope
from .texts import gettext_noop as N_  # noqa: N812  (GNU gettext's own name)

log = logging.getLogger("flask_oauth2_login")

#: How long (s) after its ``iat`` a logout token without ``exp`` is valid, or the leeway if that is
#: longer.
LOGOUT_SECONDS = 120
#: The member of ``events`` that makes a JWT a logout token.
BACK_CHANNEL_LOGOUT = "http://schemas.openid.net/event/backchannel-logout"


def validate_id_token(
    token: t.Any,
    verifier: Verifier,
    *,
    nonce: str | None = None,
    max_age: t.Any = None,
    acr_values: t.Any = None,
    access_token: str | None = None,
    code: str | None = None,
    since_request: float | None = None,
    is_refreshed: bool = False,
) -> Claims:
    """Return the claims of an ID token after all checks: Core, section 3.1.3.7.

    Optional claims of the wrong type are left out, with a warning.

    :param nonce: the nonce of the authentication request, or None if it had none.
    :param max_age: the most seconds since the person signed in, if the request had ``max_age``.
    :param acr_values: the allowed values of ``acr`` as a string or a list, if the request had them.
    :param access_token: the access token of the response, to compare ``at_hash`` with.
    :param code: the code of the response, to compare ``c_hash`` with.
    :param since_request: the seconds since the authentication request, for ``max_age``.
    :param is_refreshed: True to reject optional claims of the wrong type, because the claims of the
        sign-in can be kept instead.
    :raises IDTokenError: a check failed. The text says which.
    :raises ProviderError: the provider's keys can't be fetched.
    """
    header, claims = verify(token, verifier)
    # RFC 8725, section 3.11: another kind of JWT must not pass.
    _check_kind(header, "jwt")
    # Points 2 to 5: iss, aud and azp; and sub.
    _check_issuer(claims, verifier)
    _check_audience(claims, verifier)
    if _is_number(claims.get("sub")):
        raise UnusableIDTokenError(
            f"its sub is not a string but the number {_shown(claims['sub'])}: accept it by the"
            " option numeric_sub=True",
            row="numeric-sub",
        )
    if not _is_text(claims.get("sub")) or len(claims["sub"]) > 255 or not is_intact(claims["sub"]):
        raise IDTokenError(
            "its sub is missing or not a string of 1 to 255 characters:"
            f" {_shown(claims.get('sub'))}"
        )
    # Points 9 and 10: exp and iat; RFC 7519, section 4.1.5: nbf.
    _check_times(claims, leeway=verifier.leeway)
    # Point 11: nonce.
    if nonce is not None and not _equal(claims.get("nonce"), nonce):
        raise IDTokenError("its nonce is not the one that was sent")
    claims = _check_types(claims, is_refreshed=is_refreshed)
    # Point 12: acr.
    wanted = split_scope(acr_values)
    if wanted and claims.get("acr") not in wanted:
        raise UnmetDemandError(
            f"its acr is {str(claims.get('acr'))[:100]!r}, and the request demanded"
            f" {' or '.join(wanted)}",
            N_("A stronger sign-in is needed, and the sign-in service did not offer one."),
        )
    # Point 13: auth_time.
    if max_age is not None:
        _check_auth_time(claims, max_age, since_request, verifier.leeway)
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
    _check_times(claims, needed=(), leeway=verifier.leeway)
    return claims


def validate_access_token(token: t.Any, verifier: Verifier, sub: t.Any) -> Claims:
    """Return the claims of an access token that came with an ID token: RFC 9068, section 2.

    Its audience is an API and may have any name: the token came from the token endpoint itself.

    :param sub: the ``sub`` of the ID token.
    :raises IDTokenError: a check failed.
    :raises ProviderError: the provider's keys can't be fetched.
    """
    header, claims = verify(token, verifier)
    _check_kind(header, "at+jwt", "jwt")
    _check_issuer(claims, verifier)
    _check_times(claims, needed=("exp",), leeway=verifier.leeway)
    # Some providers leave it out.
    if "sub" in claims and claims["sub"] != sub:
        raise IDTokenError("its sub is not that of the ID token")
    return claims


def validate_logout_token(token: t.Any, verifier: Verifier, *, is_typed: bool = False) -> Claims:
    """Return the claims of a logout token: Back-Channel Logout 1.0, section 2.6.

    The caller must refuse a ``jti`` that it has seen before.

    The signature is checked last, because that may fetch the keys, and anybody may send a token.

    :param is_typed: True to refuse a token whose ``typ`` does not say that it is a logout token.
    :returns: the claims, always with ``exp``. A token without it is valid for two minutes, or for
        the leeway if that is longer.
    :raises IDTokenError: a check failed.
    :raises ProviderError: the keys can't be fetched.
    """
    header, claims = parse(token, verifier)
    _check_kind(header, "logout+jwt", *(() if is_typed else ("jwt",)))
    _check_issuer(claims, verifier)
    _check_audience(claims, verifier)
    _check_times(claims, needed=("iat",), leeway=verifier.leeway)
    seconds = max(LOGOUT_SECONDS, verifier.leeway)
    if "exp" not in claims and claims["iat"] < time.time() - seconds:
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
    check_signature(token, header, verifier)
    return {"exp": claims["iat"] + seconds, **claims}


def validate_authorization_response(token: t.Any, verifier: Verifier) -> Claims:
    """Return the claims of a signed authorization response: JARM, section 2.4.

    The caller must have compared ``state`` with that of this browser's attempt. The signature is
    checked last, because that may fetch the keys, and anybody may send a response.

    :raises IDTokenError: a check failed.
    :raises ProviderError: the provider's keys can't be fetched.
    """
    header, claims = parse(token, verifier)
    _check_kind(header, "jwt")
    _check_issuer(claims, verifier)
    _check_audience(claims, verifier)
    _check_times(claims, needed=("exp",), leeway=verifier.leeway)
    check_signature(token, header, verifier)
    return claims


def _check_kind(header: Claims, *kinds: str) -> None:
    """Check the ``typ`` of a token. One without it is a plain ``JWT``."""
    if str(header.get("typ", "JWT")).lower().removeprefix("application/") not in kinds:
        raise IDTokenError("it is another kind of token")


def _check_issuer(claims: Claims, verifier: Verifier) -> None:
    iss = claims.get("iss")
    if not verifier.is_issuer(iss, claims):
        slash = isinstance(iss, str) and iss.rstrip("/") == verifier.issuer.rstrip("/")
        raise UnusableIDTokenError(
            f"its iss is {_shown(iss)}, and the option is issuer={verifier.issuer!r}"
            + (", which differs in a slash at the end" if slash else ""),
            row="issuer",
        )


def _check_audience(claims: Claims, verifier: Verifier) -> None:
    aud = claims.get("aud")
    audiences = [aud] if isinstance(aud, str) else aud
    if not isinstance(audiences, list) or not all(isinstance(one, str) for one in audiences):
        raise IDTokenError(f"its aud is missing or not a string: {_shown(aud)}")
    if verifier.client_id not in audiences:
        raise UnusableIDTokenError(
            f"its aud is {_shown(aud)}, which does not name this client, {verifier.client_id!r}",
            row="audience",
        )
    others = sorted(set(audiences) - {verifier.client_id, *verifier.trusted_audiences})
    if others:
        raise UnusableIDTokenError(
            f"its aud names others beside this client: {_shown(others)}. If they may get this"
            " token, name them in the option trusted_audiences=[…]",
            row="audience",
        )
    if "azp" in claims and claims["azp"] != verifier.client_id:
        raise IDTokenError(
            f"its azp is another client, {_shown(claims['azp'])}, and not {verifier.client_id!r}"
        )


def _check_times(
    claims: Claims, needed: t.Collection[str] = ("exp", "iat"), leeway: float = LEEWAY
) -> None:
    now = time.time()
    for name in ("exp", "iat", "nbf"):
        if (name in claims or name in needed) and not _is_time(claims.get(name)):
            raise IDTokenError(f"its {name} is missing or not a number: {_shown(claims.get(name))}")
    clock = f"by this machine's clock (is it set by NTP?); leeway={leeway:g} seconds are allowed"
    if claims.get("exp", now) <= now - leeway:
        raise UnusableIDTokenError(
            f"it expired {now - claims['exp']:.0f} seconds ago {clock}", row="clock"
        )
    if claims.get("iat", now) > now + leeway:
        raise UnusableIDTokenError(
            f"its iat is {claims['iat'] - now:.0f} seconds in the future {clock}", row="clock"
        )
    if claims.get("nbf", 0) > now + leeway:
        raise UnusableIDTokenError(
            f"its nbf is {claims['nbf'] - now:.0f} seconds in the future {clock}", row="clock"
        )


def _check_types(claims: Claims, *, is_refreshed: bool) -> Claims:
    """Return the claims without those optional ones that have the wrong type.

    A demand for a claim that is left out is not fulfilled.
    """
    for name, fits in (("auth_time", _is_time), ("acr", _is_text), ("sid", _is_text)):
        if name in claims and not fits(claims[name]):
            problem = f"its {name} has the wrong type: {_shown(claims[name])}"
            if is_refreshed:
                raise IDTokenError(problem)
            if claims[name] is not None:
                log.warning("A claim of an ID token is left out: %s. %s", problem, see("id-token"))
            claims = {other: value for other, value in claims.items() if other != name}
    return claims


def _check_auth_time(
    claims: Claims, max_age: t.Any, since_request: float | None, leeway: float
) -> None:
    """Check the age that the person's authentication had when the request reached the provider.

    Both times are the provider's, so that clocks that differ don't matter.
    """
    auth_time: t.Any = claims.get("auth_time")
    if not _is_time(auth_time):
        raise IDTokenError("its auth_time is missing")
    try:
        most = float(max_age)
    except (TypeError, ValueError):
        raise IDTokenError("the max_age of the request is not a number") from None
    # The person may have taken a while at the provider after the authentication. Times are whole
    # seconds.
    allowed = most + (min(leeway, max(most, 5)) if since_request is None else since_request + 2)
    age = max(claims["iat"], time.time() - leeway) - auth_time
    if age > allowed:
        raise UnmetDemandError(
            f"the person signed in too long ago: {age:.0f} seconds, and max_age is {most:g}",
            N_("A more recent sign-in is needed, and the sign-in service did not ask for one."),
        )


def _check_hash(claims: Claims, name: str, value: str | None, alg: str) -> None:
    if name not in claims or value is None:
        return
    # Ed25519 uses SHA-512. The names of the other algorithms end in the bits of their hash.
    bits = alg[-3:] if alg[-3:] in {"256", "384", "512"} else "512"
    digest = hashlib.new(f"sha{bits}", value.encode()).digest()
    half = base64url.encode(digest[: len(digest) // 2])
    if not _equal(claims[name], half):
        raise IDTokenError(f"its {name} is not the hash of what came with it")


def _is_number(value: t.Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(value: t.Any) -> str:
    """Return what came for a log: one line, and not long."""
    return to_one_line(repr(value))[:200]


def _is_text(value: t.Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_time(value: t.Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _equal(value: t.Any, expected: str) -> bool:
    return isinstance(value, str) and hmac.compare_digest(value.encode(), expected.encode())
