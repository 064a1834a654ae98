"""The key of a sign-in that is under way, to which its tokens are bound: DPoP, RFC 9449."""

from __future__ import annotations

import typing as t

from ..protocol.pkce import derive_code_verifier
from ..session.registration import Registration
from .attempt import Attempt


def key_params(registration: Registration, attempt: Attempt) -> dict[str, t.Any]:
    """Return the key of an attempt's login, for both requests; nothing if it has none."""
    if not _has_own_key(registration):
        return {}
    from ..protocol.dpop import key_of_attempt

    return {"dpop_key": key_of_attempt(attempt.code_verifier)}


def pkce_verifier(registration: Registration, attempt: Attempt) -> str:
    """Return the verifier that the provider gets to know: RFC 7636, section 4.1.

    If the login has a key, the provider, and whoever reads the token request, must not be able to
    derive that key from the verifier.
    """
    secret = attempt.code_verifier
    return derive_code_verifier(secret) if _has_own_key(registration) else secret


def _has_own_key(registration: Registration) -> bool:
    """Return True if each login has a key of its own."""
    return registration.handler.dpop is True
