"""Sealing: what nobody but this app may read or change, for one purpose.

A sealed value is compressed JSON under AES-256-GCM, with a random nonce in front, in base64url.
That is what a compact JWE with ``dir`` holds, without what would be the same in each of them: a
tenth of the time to open, for something that every request of a signed-in visitor does. The key
is derived from the app's secret by HKDF-SHA256 (RFC 5869) with the purpose and the context as
info, so that no value opens in another's place.
"""

from __future__ import annotations

import functools
import hmac
import json
import os
import typing as t
import zlib

from ..protocol.base64url import decode
from ..protocol.base64url import encode

if t.TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

Secret = str | bytes

#: A sealed value's length at the most, in characters.
MAX_SEALED = 3 * 1024 * 1024
#: What may become of it, in bytes. More is a forgery that inflates, or a mistake.
MAX_PLAIN = 2 * 1024 * 1024
#: What is remembered of what was opened is shorter than this, in characters: as cookies are.
MAX_REMEMBERED = 8192

_NONCE = 12
# Deflate without zlib's header and checksum: the seal is a better one.
_RAW = -15


class Sealer:
    """Seals and opens with an app's secrets.

    :param secrets: returns the secrets, the one to seal with first, then older ones that open.
    """

    def __init__(self, secrets: t.Callable[[], t.Sequence[Secret]]) -> None:
        self._secrets = secrets
        # By secret and info; bounded, for there may be a context for each of many tenants.
        self._cipher = functools.lru_cache(maxsize=512)(_make_cipher)
        self._key = functools.lru_cache(maxsize=64)(derive_key)
        # A visitor sends the same cookie again and again.
        self._plain = functools.lru_cache(maxsize=1024)(self._open)

    def seal(self, value: t.Any, purpose: str, *context: str) -> str:
        """Seal what JSON can hold.

        :raises ValueError: it is larger than what can be opened again.
        """
        plain = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
        nonce = os.urandom(_NONCE)
        cipher = self._cipher(self._secrets()[0], purpose, *context)
        packed = zlib.compress(plain, level=9, wbits=_RAW)
        sealed = encode(nonce + cipher.encrypt(nonce, packed, None))
        if len(plain) > MAX_PLAIN or len(sealed) > MAX_SEALED:
            raise ValueError("too large to be sealed")
        return sealed

    def open(self, sealed: str | None, purpose: str, *context: str) -> t.Any:
        """What was sealed, or None: changed, cut, foreign, sealed for something else, or absent."""
        plain = self._unseal(sealed, self._secrets(), purpose, *context)
        return None if plain is None else json.loads(plain)

    def is_current(self, sealed: str, purpose: str, *context: str) -> bool:
        """Whether a value is sealed with the newest secret, not with an older one."""
        return self._unseal(sealed, self._secrets()[:1], purpose, *context) is not None

    def keyed_hash(self, purpose: str, *parts: str) -> str:
        """Hash texts with the newest secret: 256 bits, in 43 characters.

        Nobody without the secret can tell which texts they were, however few there are to guess
        from. No other purpose or parts have the same hash.
        """
        return self.keyed_hashes(purpose, *parts)[0]

    def keyed_hashes(self, purpose: str, *parts: str) -> list[str]:
        """As :meth:`keyed_hash`, with each secret, the newest first: older hashes count too."""
        keys = (self._key(secret, purpose) for secret in self._secrets())
        return [_hash(key, *parts) for key in keys]

    def _unseal(
        self, sealed: str | None, secrets: t.Sequence[Secret], purpose: str, *context: str
    ) -> bytes | None:
        if not sealed or len(sealed) > MAX_SEALED:
            return None
        unseal = self._plain if len(sealed) <= MAX_REMEMBERED else self._open
        return unseal(sealed, tuple(secrets), purpose, *context)

    def _open(
        self, sealed: str, secrets: tuple[Secret, ...], purpose: str, *context: str
    ) -> bytes | None:
        from cryptography.exceptions import InvalidTag

        try:
            data = decode(sealed)
        except ValueError:
            return None
        if encode(data) != sealed:
            # The last character has bits to spare, and Python skips what is no base64.
            return None
        for secret in secrets:
            cipher = self._cipher(secret, purpose, *context)
            try:
                packed = cipher.decrypt(data[:_NONCE], data[_NONCE:], None)
            except (ValueError, InvalidTag):
                continue
            inflate = zlib.decompressobj(_RAW)
            try:
                plain = inflate.decompress(packed, MAX_PLAIN)
            except zlib.error:
                return None
            return plain if inflate.eof else None
        return None


def hashed_name(purpose: str, id: str) -> str:
    """Hash a random identifier for use as a store key; it is a credential and is never stored.

    The identifier itself is the key, so that the name stays the same under another app secret.
    What can be guessed (a person, an account) has too few bits for that: `Sealer.keyed_hash`.

    :param id: drawn at random, with 128 bits where it opens anything; or a keyed hash.
    """
    return _hash(id.encode(), purpose, id)


def derive_key(secret: Secret, *info: str) -> bytes:
    """A key of 256 bits for one purpose: HKDF-SHA256, RFC 5869."""
    # cryptography comes with joserfc. Loaded here, for imports are most of an app's start.
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    material = secret.encode() if isinstance(secret, str) else bytes(secret)
    return HKDF(SHA256(), 32, salt=None, info=_join("flask-oauth2-login", *info)).derive(material)


def _hash(key: bytes, *parts: str) -> str:
    return encode(hmac.digest(key, _join(*parts), "sha256"))


def _join(*parts: str) -> bytes:
    """Join texts with their lengths in front, so that ("ab", "c") and ("a", "bc") are two."""
    return "".join(f"{len(part)}:{part}" for part in parts).encode()


def _make_cipher(secret: Secret, *info: str) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(derive_key(secret, *info))
