"""The supported signature algorithms: RFC 7518, section 3.1; RFC 8037; RFC 9864."""

from __future__ import annotations

import typing as t

#: The key type and the curves that each algorithm requires.
KINDS: t.Mapping[str, tuple[str, tuple[str, ...]]] = {
    **{f"{family}{bits}": ("RSA", ()) for family in ("RS", "PS") for bits in (256, 384, 512)},
    "ES256": ("EC", ("P-256",)),
    "ES384": ("EC", ("P-384",)),
    "ES512": ("EC", ("P-521",)),
    "EdDSA": ("OKP", ("Ed25519", "Ed448")),
    "Ed25519": ("OKP", ("Ed25519",)),
    "Ed448": ("OKP", ("Ed448",)),
}
#: The algorithms of FAPI 2.0 Security Profile, section 5.4. The last is RFC 9864's name for the one
#: before.
FAPI_ALGORITHMS = ("PS256", "ES256", "EdDSA", "Ed25519")
#: The algorithms with a shared secret. They are accepted only if the developer names them.
HMACS = ("HS256", "HS384", "HS512")
