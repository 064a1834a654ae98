"""The DPoP key of a token, as records and other stored tokens have it: RFC 9449."""

from __future__ import annotations

import typing as t

from ..protocol.token import Token

if t.TYPE_CHECKING:
    from ..protocol.dpop import DPoPKey


def read_key(secret: t.Any) -> DPoPKey | None:
    """Return the key that is made of a stored secret; None if there is none."""
    if not (isinstance(secret, str) and secret):
        return None
    # Imported here, because most logins have no keys.
    from ..protocol.dpop import DPoPKey

    return DPoPKey(secret)


def pack_token(token: Token) -> t.Any:
    """Return a token as a JSON value: a dictionary, or a list with its key at the end."""
    members = dict(token)
    return members if token.dpop_key is None else [members, token.dpop_key.secret]


def unpack_token(packed: t.Any) -> Token | None:
    """Return the token that :func:`pack_token` packed; None if it is something else."""
    members, secret = packed if isinstance(packed, list) else (packed, None)
    if not isinstance(members, dict):
        return None
    token = Token(members)
    token.dpop_key = read_key(secret)
    return token
