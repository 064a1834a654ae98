"""A provider's keys: JWK (RFC 7517), and which of them may verify what (RFC 8725)."""

from __future__ import annotations

import time
import typing as t

from joserfc.jwk import ECKey, OKPKey, RSAKey

from . import base64url
from .algorithms import KINDS
from .cache import Cache

Key = RSAKey | ECKey | OKPKey
JWK = t.Mapping[str, t.Any]

#: RFC 7518, section 3.3.
MIN_RSA_BITS = 2048

_TYPES: t.Mapping[str, type[Key]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}


class Keys:
    """A key set, fetched when it is needed.

    :param fetch: fetches the set's keys. Its :exc:`ProviderError` is not remembered.
    """

    def __init__(self, fetch: t.Callable[[], list[t.Any]]) -> None:
        self._cache = Cache(fetch)

    def try_each(self, alg: str, kid: t.Any, verify: t.Callable[[Key], bool]) -> bool:
        """Whether one of the keys that fit verifies a token.

        If none does, the set is fetched again: a key may be new, under a name that was another's
        too. Any number of bad tokens cause one fetch in 30 seconds; after a good token that needed
        a fetch, the next fetch may follow at once.

        :raises ProviderError: the keys can't be had.
        """
        came_at = time.monotonic()
        keys = self._cache.get()
        good = any(map(verify, find_keys(keys, alg, kid)))
        if not good and self._cache.fetched_at < came_at:
            newer = self._cache.refetch(keys)
            good = newer is not keys and any(map(verify, find_keys(newer, alg, kid)))
        if good and self._cache.fetched_at >= came_at:
            self._cache.allow_refetch()
        return good


def find_keys(keys: list[t.Any], alg: str, kid: t.Any) -> t.Iterator[Key]:
    """The keys that may verify a token; a malformed one among them spoils nothing."""
    for jwk in keys:
        if isinstance(jwk, dict) and fits(jwk, alg, kid) and (key := import_key(jwk)):
            yield key


def fits(jwk: JWK, alg: str, kid: t.Any) -> bool:
    """Whether a key is meant for this: RFC 7517, section 4; RFC 8725, sections 3.1 and 3.2."""
    kty, curves = KINDS[alg]
    ops = jwk.get("key_ops")
    return (
        jwk.get("kty") == kty
        and (not curves or jwk.get("crv") in curves)
        and jwk.get("use") in (None, "sig")
        and (ops is None or (isinstance(ops, list) and "verify" in ops))
        and jwk.get("alg") in (None, alg)
        and (kid is None or jwk.get("kid") in (None, kid))
    )


def import_key(jwk: JWK) -> Key | None:
    """The key, or None where it is malformed or too short."""
    members = ("kty", "n", "e", "crv", "x", "y")
    try:
        # Some write base64 with its padding.
        public = {name: jwk[name].rstrip("=") for name in members if name in jwk}
        if jwk["kty"] == "RSA" and _bits(jwk["n"]) < MIN_RSA_BITS:
            return None
        key = _TYPES[str(jwk["kty"])].import_key(public)
        # Some are looked at more closely only when they are used.
        _ = key.public_key
    except Exception:  # libraries make errors of many kinds of a stranger's bytes
        return None
    return key


def _bits(number: str) -> int:
    return int.from_bytes(base64url.decode(number)).bit_length()
