"""Private keys of the client, and JWTs that they sign: RFC 7517, RFC 7515."""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t
from collections.abc import Iterable, Mapping
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from . import base64url
from .algorithms import KINDS
from .errors import ConfigurationError
from .jwks import KEY_TYPES, MIN_RSA_BITS, Key, bits

#: The members that a public key set must not have: RFC 7518, section 6; RFC 8037, section 2.
_PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")

_NATIVE: tuple[tuple[type, type[Key]], ...] = (
    (EllipticCurvePrivateKey, ECKey),
    (RSAPrivateKey, RSAKey),
    (Ed25519PrivateKey, OKPKey),
    (X25519PrivateKey, OKPKey),
)
_PRIVATE_PEM = re.compile(
    r"-----BEGIN ([A-Z ]*)PRIVATE KEY-----.*?-----END \1PRIVATE KEY-----\s*", re.DOTALL
)
_ALGORITHMS = JWSRegistry(algorithms=[alg for alg in KINDS if alg != "EdDSA"])

#: The algorithms that signatures are made with, the preferred first. FAPI 2.0 allows PS256, ES256
#: and EdDSA.
_PREFERRED = ("ES256", "EdDSA", "PS256", "RS256")


@dataclasses.dataclass(frozen=True)
class PrivateKey:
    """A private key of the client."""

    #: Its name in the header of what it signs, and in the public key set.
    kid: str
    #: The algorithms it can sign with, the preferred first. A JWK with ``alg`` has that one.
    algorithms: tuple[str, ...]
    #: ``"sig"``, ``"enc"``, or None for both.
    use: str | None
    key: Key = dataclasses.field(repr=False)
    #: The SHA-256 thumbprint of its certificate, if that stands beside it in the PEM. Microsoft
    #: Entra knows a key by it alone.
    thumbprint: str | None = None

    @property
    def public_jwk(self) -> dict[str, t.Any]:
        """The public key, as it stands in the client's key set: RFC 7517, section 5."""
        members = self.key.as_dict(private=False)
        public = {name: value for name, value in members.items() if name not in _PRIVATE}
        public.pop("key_ops", None)
        named = {"kid": self.kid, "use": self.use}
        return {**public, **{name: value for name, value in named.items() if value is not None}}


def read_private_keys(name: str, given: t.Any) -> tuple[PrivateKey, ...]:
    """Return private keys that a developer gives, in their order.

    :param name: the option that has them, for the errors.
    :param given: a key as PEM, as a JWK or a JWK set (a dictionary, or JSON), the path of a file
        with one of these, or a list of them.
    :raises ConfigurationError: a key can't be read, is public, or is too weak.
    """
    keys = tuple(_read_each(name, given))
    if not keys:
        raise ConfigurationError(
            f"{name} has no key: give it a private key, as PEM or as a JWK.", row="private-key"
        )
    kids = [key.kid for key in keys]
    if twice := next((kid for kid in kids if kids.count(kid) > 1), None):
        raise ConfigurationError(
            f"{name} has two keys with the kid {twice!r}: rename one.", row="private-key"
        )
    return keys


def find_signer(
    name: str, keys: t.Iterable[PrivateKey], accepted: t.Collection[t.Any] | None
) -> tuple[PrivateKey, str]:
    """Return the first key that can sign by an accepted algorithm, and that algorithm.

    :param name: the option that has the keys, for the error.
    :param accepted: the algorithms that the provider accepts; None if it does not say it. An RSA
        key without an ``alg`` then signs by RS256, which all providers should accept: OpenID
        Connect Core 1.0, section 15.1.
    :raises ConfigurationError: none of the keys can sign by one of them, or one is of a type that
        never signs.
    """
    can: list[str] = []
    for key in keys:
        if not key.algorithms:
            raise ConfigurationError(
                f"{name} has a key that can't sign, {key.kid!r}: give one for encryption to"
                " decryption_key.",
                row="private-key",
            )
        if key.use == "enc":
            continue
        if accepted is None:
            return key, "RS256" if "RS256" in key.algorithms else key.algorithms[0]
        if found := next((alg for alg in key.algorithms if alg in accepted), None):
            return key, found
        can += key.algorithms
    if not can:
        raise ConfigurationError(
            f"{name} has keys for encryption alone: make one for signatures.", row="private-key"
        )
    raise ConfigurationError(
        f"{name} has keys for {', '.join(can)}, and the provider accepts"
        f" {', '.join(map(str, accepted or ()))}: make a key for one of these, such as by"
        " `flask oauth2 new-key NAME --alg …`.",
        row="private-key",
    )


def sign_jwt(
    key: PrivateKey, algorithm: str, claims: t.Mapping[str, t.Any], **header: t.Any
) -> str:
    """Return a signed JWT: RFC 7515, section 3.1.

    :param algorithm: one of ``key.algorithms``.
    :param header: more members of the header, such as ``typ``. ``kid=None`` leaves the key's name
        out.
    """
    # RFC 7515, section 4.1.8.
    named = {"x5t#S256": key.thumbprint} if key.thumbprint else {"kid": key.kid}
    members = {"alg": algorithm, **named, **header}
    members = {name: value for name, value in members.items() if value is not None}
    return sign_encoded(
        key, algorithm, f"{base64url.encode_json(members)}.{base64url.encode_json(claims)}"
    )


def sign_encoded(key: PrivateKey, algorithm: str, signed: str) -> str:
    """Return a signed JWT, of which the header and the claims are encoded already.

    :param signed: both of them by :func:`base64url.encode_json`, with a dot between.
    """
    if algorithm == "EdDSA":
        # joserfc refuses this name, which RFC 9864 deprecates. FAPI 2.0 still demands it.
        signature: bytes = t.cast(t.Any, key.key).private_key.sign(signed.encode())
    else:
        signature = _ALGORITHMS.get_alg(algorithm).sign(signed.encode(), key.key)
    return f"{signed}.{base64url.encode(signature)}"


def _read_each(name: str, given: t.Any) -> t.Iterator[PrivateKey]:
    if isinstance(given, Mapping):
        if "keys" not in given:
            yield _from_jwk(name, given)
            return
        given = given["keys"]
    elif isinstance(given, (str, bytes, Path)):
        yield from _read_text(name, given)
        return
    if not isinstance(given, Iterable):
        raise ConfigurationError(
            f"{name} is of type {type(given).__name__}: give it a key as PEM, a JWK, a JWK set, or"
            " the path of a file with one.",
            row="private-key",
        )
    for each in given:
        yield from _read_each(name, each)


def _read_text(name: str, given: str | bytes | Path) -> t.Iterator[PrivateKey]:
    text = given.decode(errors="replace") if isinstance(given, bytes) else str(given)
    if isinstance(given, Path) or not text.lstrip().startswith(("{", "[", "-----BEGIN")):
        try:
            text = Path(text).read_text(errors="replace")
        except (OSError, ValueError):
            # The text may be a key that was pasted wrongly, so it is not shown.
            raise ConfigurationError(
                f"{name} is neither a key as PEM or JSON nor the path of a file that can be read."
                " An environment variable needs the line breaks of a PEM: '-----BEGIN …'.",
                row="private-key",
            ) from None
    if text.lstrip().startswith("-----BEGIN"):
        # Variables of the environment often have the line breaks of a key as two characters.
        yield _from_pem(name, text.replace("\\n", "\n"))
        return
    try:
        value = json.loads(text)
    except ValueError:
        raise ConfigurationError(
            f"{name} is not a key: it has neither '-----BEGIN …' nor valid JSON.", row="private-key"
        ) from None
    yield from _read_each(name, value)


def _from_pem(name: str, pem: str) -> PrivateKey:
    # A file may have the certificate, too.
    found = _PRIVATE_PEM.search(pem)
    try:
        native = load_pem_private_key((found[0] if found else pem).encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        is_public = any(word in pem for word in ("BEGIN PUBLIC", "BEGIN RSA PUBLIC", "BEGIN CERT"))
        raise ConfigurationError(
            f"{name} has a public key or a certificate: give it the private key."
            if is_public
            else f"{name} has a PEM that is not an unencrypted private key.",
            row="private-key",
        ) from None
    if isinstance(native, RSAPrivateKey):
        _check_size(name, native.key_size)
    kind = next((kind for native_type, kind in _NATIVE if isinstance(native, native_type)), None)
    if kind is None:
        raise ConfigurationError(
            f"{name} has a PEM of a type other than EC, RSA, Ed25519 and X25519.",
            row="private-key",
        )
    key = _checked(name, kind.import_key(t.cast(t.Any, native)), {})
    if "-----BEGIN CERTIFICATE" not in pem:
        return key
    return dataclasses.replace(key, thumbprint=_thumbprint(name, pem, native.public_key()))


def _thumbprint(name: str, pem: str, public_key: t.Any) -> str:
    """Return the SHA-256 thumbprint of the certificate of a key.

    :raises ConfigurationError: the first certificate is another key's, or can't be read.
    """
    try:
        certificate = load_pem_x509_certificate(pem[pem.index("-----BEGIN CERTIFICATE") :].encode())
        thumbprint = base64url.encode(certificate.fingerprint(SHA256()))
        is_own = certificate.public_key() == public_key
    except (ValueError, UnsupportedAlgorithm):
        thumbprint, is_own = "", False
    if not is_own:
        raise ConfigurationError(
            f"{name} has a certificate that is not its key's: put the key's own certificate first.",
            row="private-key",
        )
    return thumbprint


def _from_jwk(name: str, jwk: t.Mapping[str, t.Any]) -> PrivateKey:
    try:
        if jwk.get("kty") == "RSA":
            _check_size(name, bits(jwk["n"]))
        key = KEY_TYPES[str(jwk["kty"])].import_key(dict(jwk))
        is_private = key.is_private
    except (JoseError, ValueError, TypeError, KeyError):
        raise ConfigurationError(
            f"{name} has a JWK that is not a key of the type EC, RSA or OKP (Ed25519, X25519).",
            row="private-key",
        ) from None
    if not is_private:
        raise ConfigurationError(
            f"{name} has a public key: give it the private key.", row="private-key"
        )
    return _checked(name, key, jwk)


def _check_size(name: str, size: int) -> None:
    if size < MIN_RSA_BITS:
        raise ConfigurationError(
            f"{name} has an RSA key of {size} bits: make one of {MIN_RSA_BITS} or more.",
            row="private-key",
        )


def _checked(name: str, key: Key, jwk: t.Mapping[str, t.Any]) -> PrivateKey:
    public = key.as_dict(private=False)
    fitting = _fitting(str(public["kty"]), str(public.get("crv")))
    algorithm = str(jwk.get("alg"))
    if algorithm in KINDS and algorithm not in fitting:
        raise ConfigurationError(
            f"{name} has a JWK whose alg {algorithm!r} does not fit its key.", row="private-key"
        )
    kid = jwk.get("kid")
    return PrivateKey(
        kid if isinstance(kid, str) and kid else key.thumbprint(),
        (algorithm,) if algorithm in KINDS else () if "alg" in jwk else fitting,
        t.cast("str | None", jwk.get("use")),
        key,
    )


def _fitting(kty: str, crv: str) -> tuple[str, ...]:
    known = [a for a, (kind, curves) in KINDS.items() if kind == kty and crv in (curves or (crv,))]
    return tuple(sorted(known, key=lambda a: _PREFERRED.index(a) if a in _PREFERRED else 99))
