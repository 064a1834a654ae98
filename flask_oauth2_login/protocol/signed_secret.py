"""A client secret that is a JWT, which the client signs for each request. Apple requires it."""

from __future__ import annotations

import time
import typing as t

from .client_auth import TokenRequest
from .errors import ConfigurationError

#: How long (s) a secret is valid. It is made for one request.
LIFETIME = 600


class SignedSecret:
    """Client authentication with a secret that is signed by ES256.

    :param private_key: the key as PEM text, as it was downloaded.
    :param key_id: the key's id, for the header.
    :param issuer: the ``iss`` of the secret.
    :param audience: the ``aud`` of the secret.
    :raises ConfigurationError: the key is missing, or is not a private key of the curve P-256.
    """

    def __init__(self, private_key: t.Any, *, key_id: str, issuer: str, audience: str) -> None:
        from joserfc.errors import JoseError
        from joserfc.jwk import ECKey

        self._header = {"alg": "ES256", "kid": key_id}
        self._claims = {"iss": issuer, "aud": audience}
        # Variables of the environment often have the line breaks of a key as two characters.
        pem = private_key.replace("\\n", "\n") if isinstance(private_key, str) else ""
        try:
            self._key = ECKey.import_key(pem)
            is_right = self._key.is_private and self._key.curve_name == "P-256"
        except (ValueError, TypeError, JoseError):
            is_right = False
        # Raised outside the handler: a chained exception could quote the key.
        if not is_right:
            raise ConfigurationError(
                "private_key is not a private EC key of the curve P-256: give the text of the .p8"
                " file, from -----BEGIN PRIVATE KEY----- to its end.",
                row="private-key",
            )

    def __repr__(self) -> str:
        return f"<SignedSecret of {self._claims['iss']!r}>"

    def __call__(self, request: TokenRequest) -> None:
        """Add the client's id and a new secret to the request's parameters."""
        from joserfc import jwt

        now = int(time.time())
        claims = {**self._claims, "sub": request.client_id, "iat": now, "exp": now + LIFETIME}
        request.params[request.client_id_param] = request.client_id
        request.params["client_secret"] = jwt.encode(self._header, claims, self._key)
