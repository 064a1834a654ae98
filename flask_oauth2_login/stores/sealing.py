"""Sealing: what nobody but this app may read or change, for one purpose.

A sealed value is a compact JWE (RFC 7516: ``dir``, ``A256GCM``, ``DEF``) without its header, which
is always the same. Its key is derived from the app's secret by HKDF-SHA256 (RFC 5869) with the
purpose and the context as info, so that no value opens in another's place.
"""

from __future__ import annotations

import functools
import hmac
import json
import typing as t
from base64 import urlsafe_b64encode
from hashlib import sha256

if t.TYPE_CHECKING:
    from joserfc.jwk import OctKey

Secret = str | bytes

#: A sealed value's length at the most, in characters: joserfc opens no longer ones.
MAX_SEALED = 65536

_PROTECTED = {"alg": "dir", "enc": "A256GCM", "zip": "DEF"}


class Sealer:
    """Seals and opens with an app's secrets.

    :param secrets: returns the secrets, the one to seal with first, then older ones that open.
    """

    def __init__(self, secrets: t.Callable[[], t.Sequence[Secret]]) -> None:
        self._secrets = secrets
        # Keys by secret and info; bounded, for there may be a context for each of many tenants.
        self._key = functools.lru_cache(maxsize=512)(_make_key)

    def seal(self, value: t.Any, purpose: str, *context: str) -> str:
        """Seal what JSON can hold.

        :raises ValueError: it is too long to be opened again.
        """
        from joserfc.jwe import encrypt_compact

        plaintext = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
        key = self._key(self._secrets()[0], purpose, *context)
        _, _, sealed = encrypt_compact(_PROTECTED, plaintext, key).partition("..")
        if len(sealed) > MAX_SEALED:
            raise ValueError("too long to be sealed")
        return sealed

    def open(self, sealed: str | None, purpose: str, *context: str) -> t.Any:
        """What was sealed, or None: changed, cut, foreign, sealed for something else, or absent."""
        if not sealed or len(sealed) > MAX_SEALED:
            return None
        from joserfc.jwe import decrypt_compact

        compact = f"{_header()}..{sealed}"
        for secret in self._secrets():
            try:
                opened = decrypt_compact(compact, self._key(secret, purpose, *context))
                return json.loads(opened.plaintext or b"")
            # Forgeries come out of the libraries as errors of many kinds, TypeError among them.
            except Exception:  # noqa: S112
                continue
        return None

    def is_current(self, sealed: str, purpose: str, *context: str) -> bool:
        """Whether a value is sealed with the newest secret, not with an older one."""
        newest = Sealer(lambda: self._secrets()[:1])
        return newest.open(sealed, purpose, *context) is not None

    def digest(self, text: str, purpose: str) -> str:
        """A keyed hash of 256 bits, in 43 characters: what it was made of can't be guessed."""
        return self.digests(text, purpose)[0]

    def digests(self, text: str, purpose: str) -> list[str]:
        """As :meth:`digest`, with each secret: what an older one has labelled is found too."""
        keys = (self._key(secret, purpose).raw_value for secret in self._secrets())
        return [encode(hmac.digest(key, text.encode(), sha256)) for key in keys]


def encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


@functools.cache
def _header() -> str:
    return encode(json.dumps(_PROTECTED, separators=(",", ":")).encode())


def _make_key(secret: Secret, *info: str) -> OctKey:
    # cryptography comes with joserfc. Loaded here: imports cost an app's start a lot of its time.
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    from joserfc.jwk import OctKey

    material = secret.encode() if isinstance(secret, str) else bytes(secret)
    # Lengths in front, so that ("ab", "c") and ("a", "bc") are two.
    label = "".join(f"{len(part)}:{part}" for part in ("flask-oauth2-login", *info))
    derived = HKDF(SHA256(), 32, salt=None, info=label.encode()).derive(material)
    return OctKey.import_key(derived)
