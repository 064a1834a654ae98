"""Base64url without padding: RFC 7515, section 2."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode


def encode(data: bytes) -> str:
    """Bytes as text."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """The bytes of a text, with padding or without.

    :raises ValueError: it has another length, or is not ASCII. Characters that are not of the
        alphabet are left out.
    """
    text = text.rstrip("=")
    return urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
