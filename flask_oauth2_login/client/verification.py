"""What an OpenID Provider's tokens are verified and decrypted with."""

from __future__ import annotations

import typing as t

from ..protocol import discovery
from ..protocol.tracebacks import without_locals
from .oauth2 import OAuth2

if t.TYPE_CHECKING:
    from ..protocol.jwt import Verifier


class Verification(OAuth2):
    """A handler's checks of the provider's signed and encrypted tokens, whatever they are about."""

    issuer: str
    #: The clients that a token may name in ``aud`` beside this one.
    trusted_audiences: frozenset[str]
    #: True to accept a ``sub`` that is a number, as text.
    numeric_sub: bool

    @without_locals
    def validate_logout_token(self, logout_token: str) -> dict[str, t.Any]:
        """Validate a logout token: Back-Channel Logout 1.0, section 2.6.

        The caller must refuse a ``jti`` that it has seen before.

        :param logout_token: the parameter ``logout_token`` of the provider's request.
        :returns: the claims, always with ``exp``.
        :raises IDTokenError: a check failed.
        :raises ProviderError: the provider's keys can't be fetched.
        """
        from ..protocol.id_token import validate_logout_token

        token, is_typed = self.decrypt(logout_token), self.profile is not None
        return validate_logout_token(token, self.make_verifier(), is_typed=is_typed)

    def preload(self) -> None:
        """Import at registration what validation needs, to save the first visitor the wait."""
        super().preload()
        from ..protocol import id_token  # noqa: F401

    def make_verifier(self) -> Verifier:
        """Return what a check compares the provider's tokens with."""
        from ..protocol.jwt import Verifier

        document = self.metadata
        algorithms = self.algorithms or self.allowed(discovery.id_token_algorithms(document))
        return Verifier(
            self._keys,
            algorithms,
            self.client_id,
            self.client_secret,
            self.trusted_audiences,
            self.issuer,
            lambda iss, claims: discovery.is_issuer(iss, claims, document, self.issuer),
            self.leeway,
            self.numeric_sub,
        )
