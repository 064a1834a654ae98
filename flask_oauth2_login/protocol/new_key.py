"""New private keys of a client."""

from __future__ import annotations

import typing as t

from joserfc.jwk import ECKey, OKPKey, RSAKey

#: Bits of a new RSA key. It is used for years, and FAPI 2.0 accepts 2,048 and more.
RSA_BITS = 3072

#: What makes a key for each algorithm. FAPI 2.0 accepts all but RS256.
_MAKERS: t.Mapping[str, t.Callable[[], ECKey | OKPKey | RSAKey]] = {
    "ES256": lambda: ECKey.generate_key("P-256"),
    "PS256": lambda: RSAKey.generate_key(RSA_BITS),
    "RS256": lambda: RSAKey.generate_key(RSA_BITS),
    "EdDSA": lambda: OKPKey.generate_key("Ed25519"),
}
ALGORITHMS = tuple(_MAKERS)


def make_key(algorithm: str) -> dict[str, t.Any]:
    """Return a new private key for signatures, as a JWK: RFC 7517, section 4.

    :param algorithm: one of :data:`ALGORITHMS`.
    """
    key = _MAKERS[algorithm]()
    members = key.as_dict(private=True)
    return {**members, "use": "sig", "alg": algorithm, "kid": key.thumbprint()}
