"""Proof Key for Code Exchange: RFC 7636. The method ``plain`` is not supported."""

from __future__ import annotations

import secrets
from hashlib import sha256

from . import base64url


def make_code_verifier() -> str:
    """Return a PKCE verifier of 256 random bits: RFC 7636, section 4.1."""
    return secrets.token_urlsafe(32)


def derive_code_verifier(secret: str) -> str:
    """Return a PKCE verifier that does not reveal what it is made of.

    :param secret: 256 random bits as text.
    """
    return base64url.encode(sha256(f"verifier:{secret}".encode()).digest())


def code_challenge(code_verifier: str) -> str:
    """Return the S256 challenge of a PKCE verifier: RFC 7636, section 4.2."""
    return base64url.encode(sha256(code_verifier.encode()).digest())
