"""Signed tokens as a provider makes them, and as a forger does."""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import hmac
import json
import typing as t
import warnings

from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

#: In overrides: take the member away.
REMOVED = ...

#: Values that replace a member; functions get the member's own value and return another.
Overrides = t.Mapping[str, t.Any]

_CURVES: t.Mapping[str, t.Any] = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_HMACS = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


def override(members: t.Mapping[str, t.Any], overrides: Overrides | None) -> dict[str, t.Any]:
    """Replace members; take those away whose override is :data:`REMOVED`."""
    result = dict(members)
    for name, value in (overrides or {}).items():
        if value is REMOVED:
            result.pop(name, None)
        else:
            result[name] = value(result.get(name)) if callable(value) else value
    return result


@dataclasses.dataclass(frozen=True)
class SigningKey:
    """A private key, with the algorithm that it is for."""

    alg: str
    kid: str | None
    key: RSAKey | ECKey | OKPKey = dataclasses.field(repr=False)

    def public(self, **overrides: t.Any) -> dict[str, t.Any]:
        """The public key as a member of a key set.

        :param overrides: see :func:`override`.
        """
        own = {"use": "sig", "alg": self.alg, "kid": REMOVED if self.kid is None else self.kid}
        return override(override(self.key.as_dict(private=False), own), overrides)

    def public_pem(self) -> bytes:
        """The public key as a PEM file: what a forger takes for an HMAC secret."""
        return self.key.as_pem(private=False)


def make_key(alg: str = "RS256", number: int = 0, *, bits: int = 2048) -> SigningKey:
    """A key: the same for the same arguments, for as long as the process lives.

    :param bits: of an RSA key; 1024 at least.
    """
    key = _make_raw_key(alg, number, bits)
    suffix = "" if bits == 2048 else f"-{bits}"
    return SigningKey(alg, f"{alg}-{number}{suffix}", key)


@functools.cache
def _make_raw_key(alg: str, number: int, bits: int) -> RSAKey | ECKey | OKPKey:
    if alg.startswith(("RS", "PS")):
        return RSAKey.generate_key(bits)
    if alg in _CURVES:
        return ECKey.generate_key(_CURVES[alg])
    return OKPKey.generate_key("Ed25519")


def sign(
    claims: t.Any, key: SigningKey | bytes | None, alg: str, header: Overrides | None = None
) -> str:
    """A compact JWS, made by hand, so that nothing which is nonsense is refused.

    :param claims: the payload: bytes as they are, anything else as JSON.
    :param key: None for no signature, bytes for HMAC.
    :param alg: what to sign by, and what the header says if nothing else is given.
    :param header: see :func:`override`.
    """
    kid = key.kid if isinstance(key, SigningKey) and key.kid is not None else REMOVED
    members = override({"alg": alg, "typ": "JWT"}, {"kid": kid})
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    signed = f"{encode(json.dumps(override(members, header)).encode())}.{encode(payload)}"
    return f"{signed}.{encode(_signature(signed.encode(), key, alg))}"


def _signature(data: bytes, key: SigningKey | bytes | None, alg: str) -> bytes:
    if key is None:
        return b""
    if isinstance(key, bytes):
        return hmac.digest(key, data, _HMACS[alg])
    with warnings.catch_warnings():
        # EdDSA is deprecated for Ed25519, and what providers use.
        warnings.simplefilter("ignore")
        return JWSRegistry.algorithms[t.cast(t.Any, alg)].sign(data, key.key)


def half_hash(value: str, alg: str) -> str:
    """``at_hash`` and ``c_hash``: OpenID Connect Core, section 3.1.3.6."""
    name = {"256": "sha256", "384": "sha384"}.get(alg[-3:], "sha512")
    digest = hashlib.new(name, value.encode()).digest()
    return encode(digest[: len(digest) // 2])


def encode(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Bytes of base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
