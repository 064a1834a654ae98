"""A provider's key set (JWKS): RFC 7517. Which key may verify a token: RFC 8725."""

from __future__ import annotations

import time
import typing as t

from joserfc.jwk import ECKey, OKPKey, RSAKey

from . import base64url, http
from .algorithms import KINDS
from .cache import Cache
from .errors import ProviderAnswerError
from .http_options import HTTPOptions

Key = RSAKey | ECKey | OKPKey
JWK = t.Mapping[str, t.Any]

#: The least bits of an RSA key: RFC 7518, section 3.3.
MIN_RSA_BITS = 2048

#: The classes of keys by their ``kty``.
KEY_TYPES: t.Mapping[str, type[Key]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}


class Keys:
    """A key set that is fetched when it is needed.

    :param fetch: fetches the keys, as JWKs. Its :exc:`ProviderError` is not remembered.
    """

    def __init__(self, fetch: t.Callable[[], list[t.Any]]) -> None:
        self._cache = Cache(lambda: KeySet(fetch()))

    def try_each(self, alg: str, kid: t.Any, verify: t.Callable[[Key], bool]) -> bool:
        """Return True if a suitable key verifies a token.

        If none does, the set is fetched again, because the token may be signed by a new key. That
        key may have the ``kid`` of an older one. Any number of bad tokens cause one fetch in 30
        seconds. After a good token that needed a fetch, the next fetch may follow at once.

        :param alg: the token's algorithm.
        :param kid: the key ID in the token's header, or None.
        :param verify: returns True if a key verifies the token.
        :raises ProviderError: the keys can't be fetched.
        """
        started_at = time.monotonic()
        keys = self._cache.get()
        good = any(map(verify, keys.find(alg, kid)))
        if not good and self._cache.fetched_at < started_at:
            newer = self._cache.refetch(keys)
            good = newer is not keys and any(map(verify, newer.find(alg, kid)))
        if good and self._cache.fetched_at >= started_at:
            self._cache.allow_refetch()
        return good


def fetch_keys(
    options: HTTPOptions, url: str, headers: t.Mapping[str, str] | None = None
) -> list[t.Any]:
    """Fetch a key set and return its keys, as they are: RFC 7517, section 5.

    :param headers: sent with the request.
    :raises ProviderError: the provider can't be reached, or its response is not a key set.
    """
    response = http.send(
        options, "GET", url, headers={"Accept": "application/json", **(headers or {})}
    )
    response.require_in_order(url)
    document = response.json_object() if response.status == 200 else None
    keys = document.get("keys") if document is not None else None
    if not isinstance(keys, list):
        raise ProviderAnswerError(
            f"{url} answered with {response.outcome} and no key set: is jwks_url right?"
        )
    return keys


class KeySet:
    """The keys of a set. Each is imported when it is first needed, and only once."""

    def __init__(self, jwks: list[t.Any]) -> None:
        self._jwks = [jwk for jwk in jwks if isinstance(jwk, dict)]
        self._imported: dict[int, Key | None] = {}

    def find(self, alg: str, kid: t.Any) -> t.Iterator[Key]:
        """Yield the keys that may verify a token. Malformed keys are ignored."""
        for number, jwk in enumerate(self._jwks):
            if not fits(jwk, alg, kid):
                continue
            if number not in self._imported:
                self._imported[number] = import_key(jwk)
            if key := self._imported[number]:
                yield key


def fits(jwk: JWK, alg: str, kid: t.Any) -> bool:
    """Return True if a key may be used: RFC 7517, section 4; RFC 8725, sections 3.1 and 3.2."""
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
    """Return the key, or None if it is malformed or too short."""
    members = ("kty", "n", "e", "crv", "x", "y")
    try:
        # Some providers write base64url with padding.
        public = {name: jwk[name].rstrip("=") for name in members if name in jwk}
        if jwk["kty"] == "RSA" and bits(jwk["n"]) < MIN_RSA_BITS:
            return None
        key = KEY_TYPES[str(jwk["kty"])].import_key(public)
        # joserfc checks some keys only when they are used.
        _ = key.public_key
    except Exception:  # malformed keys cause many kinds of errors in the libraries
        return None
    return key


def bits(number: str) -> int:
    """Return the number of bits of a number in base64url."""
    return int.from_bytes(base64url.decode(number)).bit_length()
