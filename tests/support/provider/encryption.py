"""Tokens that are encrypted for a client, as a provider makes them, and as a forger does."""

from __future__ import annotations

import typing as t

from joserfc.jwe import JWERegistry, encrypt_compact
from joserfc.jwk import ECKey, OKPKey, RSAKey

from .signing import Overrides, override

Key = RSAKey | ECKey | OKPKey


def make_encryption_key(kind: str = "P-256") -> Key:
    """A private key of a client.

    :param kind: ``"RSA"``, or a curve.
    """
    if kind == "RSA":
        return RSAKey.generate_key(2048)
    if kind.startswith("P-"):
        return ECKey.generate_key(t.cast(t.Any, kind))
    return OKPKey.generate_key(t.cast(t.Any, kind))


def encrypt(
    text: str,
    key: t.Any,
    alg: str = "ECDH-ES",
    enc: str = "A128GCM",
    header: Overrides | None = None,
) -> str:
    """A compact JWE, by any algorithm, however unwise.

    :param key: the client's key, private or public.
    :param header: see :func:`override`.
    """
    registry = JWERegistry(
        algorithms=[*JWERegistry.algorithms["alg"], *JWERegistry.algorithms["enc"], "DEF"],
        strict_check_header=False,
    )
    members = override({"alg": alg, "enc": enc, "cty": "JWT", "kid": key.kid}, header)
    members = {name: value for name, value in members.items() if value is not None}
    return encrypt_compact(members, text, key, registry=registry)
