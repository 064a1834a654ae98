"""A provider's keys: JWK (RFC 7517), and which of them may verify what (RFC 8725)."""

from __future__ import annotations

import threading
import time
import typing as t

from joserfc.jwk import ECKey
from joserfc.jwk import OKPKey
from joserfc.jwk import RSAKey

from . import base64url
from .algorithms import KINDS
from .process import PerProcess

Key = RSAKey | ECKey | OKPKey
JWK = t.Mapping[str, t.Any]

#: Seconds after which a key set is fetched again.
MAX_AGE = 24 * 3600
#: Seconds between two fetches that tokens cause whose key is nowhere.
COOL_DOWN = 30
#: RFC 7518, section 3.3.
MIN_RSA_BITS = 2048

_TYPES: t.Mapping[str, type[Key]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}


class Keys:
    """A key set, fetched when it is needed.

    :param fetch: fetches the set's keys. Its :exc:`ProviderError` is not remembered.
    """

    def __init__(self, fetch: t.Callable[[], list[t.Any]]) -> None:
        self._fetch = fetch
        self._lock = PerProcess(threading.Lock)
        self._keys: list[t.Any] | None = None
        self._fetched_at = 0.0
        self._in_vain_until = 0.0

    def try_each(self, alg: str, kid: t.Any, verify: t.Callable[[Key], bool]) -> bool:
        """Whether one of the keys that fit verifies a token.

        If none does, the set is fetched again: a key may be new, under a name that was another's
        too. Bad tokens cause one fetch in :data:`COOL_DOWN` seconds, whatever their number.

        :raises ProviderError: the keys can't be had.
        """
        keys = self._current()
        if any(verify(key) for key in find_keys(keys, alg, kid)):
            return True
        newer = self._refetch(keys)
        if newer is keys:
            return False
        if any(verify(key) for key in find_keys(newer, alg, kid)):
            return True
        self._in_vain_until = time.monotonic() + COOL_DOWN
        return False

    def _current(self) -> list[t.Any]:
        keys = self._keys
        if keys is not None and time.monotonic() - self._fetched_at < MAX_AGE:
            return keys
        with self._lock.get():
            if self._keys is keys:
                self._set(self._fetch())
            return t.cast("list[t.Any]", self._keys)

    def _refetch(self, known: list[t.Any]) -> list[t.Any]:
        """A newer set than ``known``; ``known`` itself where it is too early to ask."""
        with self._lock.get():
            if self._keys is known and time.monotonic() >= self._in_vain_until:
                self._set(self._fetch())
            return t.cast("list[t.Any]", self._keys)

    def _set(self, keys: list[t.Any]) -> None:
        self._keys, self._fetched_at = keys, time.monotonic()


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
