"""Tokens that are encrypted for this client: RFC 7516, RFC 7518 and RFC 8037.

Everybody has the client's public key, so encryption says nothing of who has made a token. The
signature of the token inside does: RFC 7519, section 5.2.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from joserfc.jwe import JWERegistry, decrypt_compact

from .errors import ConfigurationError, IDTokenError, UnusableIDTokenError
from .json_input import to_one_line
from .jwks import KEY_TYPES
from .jwt import MAX_LENGTH, json_object
from .private_keys import PrivateKey, read_private_keys

_CURVES = ("P-256", "P-384", "P-521", "X25519")

#: The algorithms that encrypt a key, with the key types that each requires: RFC 7518, section 4;
#: RFC 8037, section 3.2. RSA1_5 and RSA-OAEP (SHA-1) are not among them, nor is any that makes the
#: key of the client's secret.
ALGORITHMS: t.Mapping[str, tuple[str, ...]] = {
    "RSA-OAEP-256": ("RSA",),
    **{f"ECDH-ES{wrap}": ("EC", "OKP") for wrap in ("", "+A128KW", "+A192KW", "+A256KW")},
}
#: The algorithms that encrypt the content: RFC 7518, section 5.
CONTENT_ALGORITHMS = ("A128GCM", "A192GCM", "A256GCM", "A128CBC-HS256", "A256CBC-HS512")

_ENCRYPTED = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*){4}")
# Some providers repeat claims in the header, as RFC 7519, section 5.3 allows.
_REGISTRY = JWERegistry(algorithms=[*ALGORITHMS, *CONTENT_ALGORITHMS], strict_check_header=False)
_REGISTRY.max_ciphertext_length = MAX_LENGTH


def read_decryption_keys(
    name: str, given: t.Any, taken: t.Collection[str] = ()
) -> tuple[PrivateKey, ...]:
    """Return the private keys that tokens are decrypted with, in their order.

    :param name: the option that has them, for the errors.
    :param given: see :func:`read_private_keys`.
    :param taken: the names of the client's keys for signatures.
    :raises ConfigurationError: a key can't be read, can't decrypt, or is one that signs.
    """
    keys = read_private_keys(name, given)
    if kid := next((key.kid for key in keys if key.kid in taken), None):
        # In the client's key set, a name means one key: RFC 7517, section 4.5.
        raise ConfigurationError(
            f"{name} has a key of private_key, {kid!r}: give it another key, with another name.",
            row="decryption-key",
        )
    return tuple(_for_decryption(name, key) for key in keys)


def _for_decryption(name: str, key: PrivateKey) -> PrivateKey:
    members = key.key.as_dict(private=True)
    kty, named = str(members["kty"]), members.get("alg")
    fitting = [alg for alg, types in ALGORITHMS.items() if kty in types]
    if key.use == "sig" or (kty != "RSA" and members.get("crv") not in _CURVES):
        raise ConfigurationError(
            f"{name} has a key for signatures, {key.kid!r}: give it a key of its own that can"
            f" decrypt, RSA or one of the curves {', '.join(_CURVES)}.",
            row="decryption-key",
        )
    if named is not None and named not in fitting:
        raise ConfigurationError(
            f"{name} has a JWK whose alg {named!r} is none of those that are supported for its"
            f" key: {', '.join(fitting)}.",
            row="decryption-key",
        )
    # "key_ops" may have another name than the library looks for.
    kept = {member: value for member, value in members.items() if member != "key_ops"}
    opener = KEY_TYPES[kty].import_key({**kept, "use": "enc"})
    algorithms = tuple(fitting) if named is None else (str(named),)
    return dataclasses.replace(key, key=opener, use="enc", algorithms=algorithms)


def decrypt(token: str, keys: t.Sequence[PrivateKey]) -> str:
    """Return what an encrypted token contains: RFC 7516, section 5.2.

    Keys that its header names (``jku``, ``jwk``, ``x5u``, ``x5c``) are never used.

    :param token: a token of five parts.
    :param keys: see :func:`read_decryption_keys`. The one with the token's ``kid`` is used; if
        there is none, each is tried.
    :raises IDTokenError: it can't be decrypted, or contains another encrypted token.
    """
    if not keys:
        raise UnusableIDTokenError(
            "it is encrypted: give the private key for it in the option decryption_key=…, or have"
            " the provider sign it without encrypting it"
        )
    if len(token) > MAX_LENGTH:
        raise IDTokenError(f"it is encrypted, and longer than {MAX_LENGTH} characters")
    header = json_object(token.partition(".")[0])
    # RFC 7516, section 4.1.13. No extensions are supported.
    if "crit" in header:
        raise IDTokenError("its header has unknown critical extensions")
    # A few bytes may become many gigabytes: RFC 8725, section 3.6.
    if "zip" in header:
        raise IDTokenError("it is compressed, which is not supported")
    alg, enc = header.get("alg"), header.get("enc")
    for value, supported in ((alg, ALGORITHMS), (enc, CONTENT_ALGORITHMS)):
        if not isinstance(value, str) or value not in supported:
            raise UnusableIDTokenError(
                f"it is encrypted by {to_one_line(str(value))[:20]!r}, which is not supported:"
                f" register the client for {' or '.join(supported)}"
            )
    named = [key for key in keys if key.kid == header.get("kid")]
    fitting = [key for key in named or keys if alg in key.algorithms]
    content = next((each for key in fitting if (each := _try(token, key)) is not None), None)
    if content is None:
        raise UnusableIDTokenError(
            "it is encrypted, and no key of decryption_key decrypts it: does the provider have"
            " their public keys?"
        )
    if _ENCRYPTED.fullmatch(content.strip()):
        raise IDTokenError("it contains another encrypted token")
    return content


def _try(token: str, key: PrivateKey) -> str | None:
    try:
        plaintext = decrypt_compact(token, key.key, registry=_REGISTRY).plaintext
        return None if plaintext is None else plaintext.decode()
    except Exception:  # whatever is wrong with it, it is not for this key
        return None
