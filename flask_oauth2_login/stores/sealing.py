"""Sealing: encryption of values that nobody but this app may read or change.

A sealed value is packed (see `packing`), then encrypted with AES-256-GCM and encoded in base64url,
with a random nonce in front. A compact JWE (RFC 7516) with the algorithm ``dir`` has the same
content, and constant parts beside it. This form opens in a tenth of the time, which matters
because every request of a signed-in visitor opens one.

The key is derived from the app's secret by HKDF-SHA256 (RFC 5869), with the purpose and the context
as info, so that a value sealed for one purpose doesn't open for another.
"""

from __future__ import annotations

import functools
import hmac
import os
import typing as t

from ..protocol.base64url import decode, encode
from ..protocol.errors import ProviderAnswerError
from ..protocol.fork_safe import ForkSafe
from .packing import pack, unpack, unpack_sized

if t.TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

T = t.TypeVar("T")

Secret = str | bytes
#: A sealed value, the secrets to open it with, its purpose and its context.
_Key = tuple[str, tuple[Secret, ...], str, tuple[str, ...]]

#: The most characters of a sealed value.
MAX_SEALED_LENGTH = 3 * 1024 * 1024
#: About how many bytes of opened values, with their sealed values, a process caches.
MAX_CACHE_BYTES = 16 * 1024 * 1024
#: About how many bytes a cached value takes besides its text.
CACHE_ENTRY_OVERHEAD = 4096
#: The most characters of a sealed value to cache. Cookies are smaller.
MAX_CACHED_LENGTH = 8 * 1024
#: The most bytes of an opened value to cache. A large value can have a small cookie, such as a name
#: that repeats one letter a million times.
MAX_CACHED_PLAIN = 32 * 1024

#: Bytes of the nonce: RFC 5116, section 5.2.
_NONCE_BYTES = 12


class Sealer:
    """Seals and opens with an app's secrets.

    :param secrets: returns the secrets, the one to seal with first, then older ones that open.
    """

    def __init__(self, secrets: t.Callable[[], tuple[Secret, ...]]) -> None:
        self._secrets = secrets
        # By secret and info. Limited, because each of many tenants may have a context of its own.
        self._cipher = functools.lru_cache(maxsize=512)(_make_cipher)
        self._key = functools.lru_cache(maxsize=64)(derive_key)
        self._cache = _Cache()

    def seal(self, value: t.Any, purpose: str, *context: str) -> str:
        """Seal a value that JSON can represent.

        Each element of a list is compressed separately, and texts are not compressed. So make each
        secret an element of its own, as a text. See `packing`.

        :param purpose: what the value is for. It opens for the same purpose only.
        :param context: more texts that must be the same to open it, such as the login's name.
        :raises ProviderAnswerError: the value is too large to be opened again. Only a provider's
            responses can be that large.
        """
        nonce = os.urandom(_NONCE_BYTES)
        cipher = self._cipher(self._secrets()[0], purpose, *context)
        try:
            sealed = encode(nonce + cipher.encrypt(nonce, pack(value), None))
        except ValueError:
            sealed = ""
        if not sealed or len(sealed) > MAX_SEALED_LENGTH:
            raise ProviderAnswerError(
                "The provider's responses are too large to be stored. Request fewer scopes.",
                row="too-large",
            )
        return sealed

    def open(self, sealed: str | None, purpose: str, *context: str) -> t.Any:
        """Return what was sealed.

        :returns: the value; None if there is none, if it was changed, or if it was sealed with
            another secret, for another purpose or in another context.
        """
        packed = self._unseal(sealed, self._secrets(), purpose, *context)
        return None if packed is None else unpack(packed)

    def open_cached(
        self,
        sealed: str,
        read: t.Callable[[t.Any], T | None],
        purpose: str,
        *context: str,
    ) -> T | None:
        """Return what ``read`` makes of a sealed value, cached for when the value comes again.

        A visitor sends the same cookie with every request.

        :param read: called with the opened value.
        :returns: the cached object, which callers must not change; None if the value can't be
            opened, or if ``read`` returns None.
        """
        secrets = self._secrets()
        key = (sealed, secrets, purpose, context)
        known: T | None = self._cache.get(key)
        if known is None:
            packed = self._unseal(sealed, secrets, purpose, *context)
            if packed is None:
                return None
            opened, size = unpack_sized(packed)
            known = read(opened)
            if known is not None:
                self._cache.put(key, known, size)
        return known

    def is_current(self, sealed: str, purpose: str, *context: str) -> bool:
        """Return True if a value is sealed with the newest secret, not with an older one."""
        return self._unseal(sealed, self._secrets()[:1], purpose, *context) is not None

    def keyed_hash(self, purpose: str, *parts: str) -> str:
        """Hash texts with the newest secret: 256 bits, in 43 characters.

        Without the secret the texts can't be guessed from the hash, even if there are few
        possibilities. Another purpose or other parts never give the same hash.
        """
        return self.keyed_hashes(purpose, *parts)[0]

    def keyed_hashes(self, purpose: str, *parts: str) -> list[str]:
        """Hash texts with each secret, newest first, to find what an older secret has named."""
        keys = (self._key(secret, purpose) for secret in self._secrets())
        return [_hash(key, *parts) for key in keys]

    def _unseal(
        self, sealed: str | None, secrets: t.Sequence[Secret], purpose: str, *context: str
    ) -> bytes | None:
        if not sealed or len(sealed) > MAX_SEALED_LENGTH:
            return None
        from cryptography.exceptions import InvalidTag

        try:
            data = decode(sealed)
        except ValueError:
            return None
        if encode(data) != sealed:
            # Another text that decodes to the same bytes: the last character has unused bits, and
            # Python skips characters that are not base64. Each value has one sealed form only.
            return None
        for secret in secrets:
            cipher = self._cipher(secret, purpose, *context)
            try:
                return cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], None)
            except (ValueError, InvalidTag):
                continue
        return None


class _Cache(ForkSafe):
    """The values that were opened last, up to about :data:`MAX_CACHE_BYTES`."""

    def __init__(self) -> None:
        #: What was opened, and about how many bytes it takes. The oldest is the first.
        self._opened: dict[_Key, tuple[t.Any, int]] = {}
        self._bytes = 0
        super().__init__()

    def get(self, key: _Key) -> t.Any:
        known = self._opened.get(key)
        return None if known is None else known[0]

    def put(self, key: _Key, opened: t.Any, size: int) -> None:
        """Cache what was opened.

        :param size: the number of its bytes before it was packed.
        """
        if len(key[0]) > MAX_CACHED_LENGTH or size > MAX_CACHED_PLAIN:
            return
        taken = len(key[0]) + size + CACHE_ENTRY_OVERHEAD
        with self._lock:
            if key in self._opened:
                return
            self._opened[key] = opened, taken
            self._bytes += taken
            while self._bytes > MAX_CACHE_BYTES:
                self._bytes -= self._opened.pop(next(iter(self._opened)))[1]


@functools.lru_cache(maxsize=4096)  # every request of a visitor needs the same name
def hashed_name(purpose: str, id: str) -> str:
    """Hash a random identifier for use as a store key; it is a credential and is never stored.

    The identifier itself is the key, so that the name does not depend on the app's secret. For what
    can be guessed, such as a person or an account, use `Sealer.keyed_hash`.

    :param id: a random identifier, of 128 bits if it gives access to anything; or a keyed hash.
    """
    return _hash(id.encode(), purpose, id)


def derive_key(secret: Secret, *info: str) -> bytes:
    """Derive a key of 256 bits for one purpose, by HKDF-SHA256 (RFC 5869)."""
    # Imported here, because imports take most of the time that an app needs to start.
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    material = secret.encode() if isinstance(secret, str) else bytes(secret)
    return HKDF(SHA256(), 32, salt=None, info=_join("flask-oauth2-login", *info)).derive(material)


def _hash(key: bytes, *parts: str) -> str:
    return encode(hmac.digest(key, _join(*parts), "sha256"))


def _join(*parts: str) -> bytes:
    """Join texts with their lengths in front, so that ("ab", "c") and ("a", "bc") differ."""
    return "".join([f"{len(part)}:{part}" for part in parts]).encode()


def _make_cipher(secret: Secret, *info: str) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(derive_key(secret, *info))
