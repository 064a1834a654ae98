"""Proof Key for Code Exchange: RFC 7636. Never ``plain``."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from hashlib import sha256


def make_code_verifier() -> str:
    """A PKCE verifier of 256 random bits: RFC 7636, section 4.1."""
    return secrets.token_urlsafe(32)


def code_challenge(code_verifier: str) -> str:
    """The S256 challenge of a PKCE verifier: RFC 7636, section 4.2."""
    return urlsafe_b64encode(sha256(code_verifier.encode()).digest()).rstrip(b"=").decode()
