"""Base64url without padding: RFC 7515, section 2."""

from __future__ import annotations

# The functions of `base64` call these through three others.
from binascii import a2b_base64, b2a_base64

_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")


def encode(data: bytes) -> str:
    """Return bytes as base64url text."""
    return to_letters(data).decode()


def decode(text: str) -> bytes:
    """Return the bytes of a base64url text, with or without padding.

    Characters outside the alphabet are ignored.

    :raises ValueError: the text is not ASCII, or no base64 text has its length.
    """
    text = text.rstrip("=")
    return from_letters(text.encode("ascii") + b"=" * (-len(text) % 4))


def to_letters(data: bytes) -> bytes:
    """Return bytes as base64url, in ASCII."""
    return b2a_base64(data, newline=False).translate(_TO_URL).rstrip(b"=")


def from_letters(letters: bytes) -> bytes:
    """Return the bytes of base64url in ASCII, with its padding.

    :raises ValueError: no base64 has this length.
    """
    return a2b_base64(letters.translate(_FROM_URL))
