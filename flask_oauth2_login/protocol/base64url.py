"""Base64url without padding: RFC 7515, section 2."""

from __future__ import annotations

import json
import typing as t
from base64 import urlsafe_b64decode, urlsafe_b64encode


def encode(data: bytes) -> str:
    """Return bytes as base64url text."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def encode_json(value: t.Any) -> str:
    """Return a JSON value as base64url text, such as the header or the claims of a JWT."""
    return encode(json.dumps(value, separators=(",", ":")).encode())


def decode(text: str) -> bytes:
    """Return the bytes of a base64url text, with or without padding.

    Characters outside the alphabet are ignored.

    :raises ValueError: the text is not ASCII, or no base64 text has its length.
    """
    text = text.rstrip("=")
    return urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
