"""Proofs that a request is from the holder of a key: DPoP, RFC 9449.

A provider binds tokens to the key of the request that they were issued for. Each request with such
a token has a proof: a JWT for this request alone, signed by that key.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import secrets
import time
import typing as t
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc.jwk import ECKey

from . import base64url
from .nonces import Nonces
from .private_keys import PrivateKey, find_signer, read_private_keys, sign_encoded
from .www_authenticate import USE_NONCE, demands_nonce

if t.TYPE_CHECKING:
    from requests import PreparedRequest

    from .http import Response

#: The header of a request that has the proof.
HEADER = "DPoP"

# The order of the curve P-256: NIST SP 800-186, section 3.2.1.3.
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# The members of a public key that identify it: RFC 7638, section 3.2; RFC 8037, section 2.
_MEMBERS = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}


@dataclasses.dataclass(frozen=True, eq=False)
class DPoPKey:
    """A key that tokens are bound to: one login's, or the client's own for all of them."""

    #: What a login's key is made of: 256 random bits as base64url. None for the client's own key.
    secret: str | None = dataclasses.field(default=None, repr=False)
    #: The client's own key.
    own: PrivateKey | None = dataclasses.field(default=None, repr=False)

    @functools.cached_property
    def private(self) -> PrivateKey:
        """The private key. That of a login is for ES256."""
        if self.own is not None:
            return self.own
        # 384 bits modulo the order are as good as random: FIPS 186-5, appendix A.2.1.
        stretched = HKDF(SHA256(), 48, None, b"dpop key").derive((self.secret or "").encode())
        scalar = int.from_bytes(stretched, "big") % (_ORDER - 1) + 1
        native = ec.derive_private_key(scalar, ec.SECP256R1())
        return PrivateKey("", ("ES256",), "sig", ECKey.import_key(native))

    @property
    def algorithm(self) -> str:
        """The algorithm by which proofs are signed."""
        return self.private.algorithms[0]

    @functools.cached_property
    def public_jwk(self) -> dict[str, t.Any]:
        """The public key, without a name."""
        members = self.private.key.as_dict(private=False)
        return {name: members[name] for name in _MEMBERS[str(members["kty"])]}

    @functools.cached_property
    def thumbprint(self) -> str:
        """What the provider calls the key: ``jkt`` and ``dpop_jkt``. RFC 7638."""
        members = json.dumps(self.public_jwk, sort_keys=True, separators=(",", ":"))
        return base64url.encode(sha256(members.encode()).digest())

    @functools.cached_property
    def encoded_header(self) -> str:
        """The header of all proofs by this key."""
        header = {"typ": "dpop+jwt", "alg": self.algorithm, "jwk": self.public_jwk}
        return base64url.encode_json(header)

    def __reduce__(self) -> tuple[t.Any, ...]:
        # What is computed from the secret can't be pickled.
        return DPoPKey, (self.secret, self.own)


def new_key() -> DPoPKey:
    """Return a new key."""
    return DPoPKey(secrets.token_urlsafe(32))


def key_of_attempt(secret: str) -> DPoPKey:
    """Return the key of a sign-in that is under way, the same in both of its requests.

    :param secret: the attempt's secret, which the provider must not learn.
    """
    derived = HKDF(SHA256(), 32, None, b"dpop secret").derive(secret.encode())
    return DPoPKey(base64url.encode(derived))


def read_own_key(name: str, given: t.Any) -> DPoPKey:
    """Return the client's own key.

    :param name: the option that has it, for the errors.
    :param given: a private key in any form. Of several keys the first counts.
    :raises ConfigurationError: it is none, or is not for signatures.
    """
    if isinstance(given, DPoPKey):
        return given
    key = read_private_keys(name, given)[0]
    find_signer(name, [key], None)
    return DPoPKey(own=key)


def make_proof(
    key: DPoPKey,
    method: str,
    url: str,
    *,
    nonce: str | None = None,
    access_token: str | None = None,
) -> str:
    """Return a proof for one request: RFC 9449, section 4.2.

    :param method: the method, in upper case.
    :param url: the URL exactly as it is sent. Its query and fragment are left out.
    :param nonce: the newest nonce of the server, if it has sent one.
    :param access_token: the token that the request carries.
    """
    claims: dict[str, t.Any] = {
        "jti": secrets.token_urlsafe(16),
        "htm": method,
        "htu": _target(url),
        "iat": int(time.time()),
    }
    if access_token is not None:
        claims["ath"] = base64url.encode(sha256(access_token.encode()).digest())
    if nonce is not None:
        claims["nonce"] = nonce
    encoded = f"{key.encoded_header}.{base64url.encode_json(claims)}"
    return sign_encoded(key.private, key.algorithm, encoded)


def _target(url: str) -> str:
    target = url.partition("#")[0].partition("?")[0]
    if "@" in target:
        # Credentials in front of the host are not sent.
        scheme, _, rest = target.partition("://")
        host, slash, path = rest.partition("/")
        target = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
    return target


class Prover(t.NamedTuple):
    """What makes the proofs of requests: a key, and the nonces of the servers."""

    key: DPoPKey
    nonces: Nonces

    def add_proof(
        self, request: PreparedRequest, access_token: str | None = None
    ) -> PreparedRequest:
        """Add a fresh proof to a request, in place of any other."""
        url = str(request.url)
        request.headers[HEADER] = make_proof(
            self.key,
            str(request.method).upper(),
            url,
            nonce=self.nonces.get(url),
            access_token=access_token,
        )
        return request

    def must_resend(self, url: str, response: Response) -> bool:
        """Keep the nonce of a response, and return True if it demands one: section 8.

        Such a refusal uses up neither a code nor a refresh token.
        """
        has_nonce = self.nonces.keep(url, response.headers)
        if response.status not in {400, 401} or not has_nonce:
            return False
        members = response.json_object() or {}
        challenge = response.headers.get("WWW-Authenticate", "")
        return members.get("error") == USE_NONCE or demands_nonce(challenge)
