"""Authorization responses that the provider signs: JARM."""

from __future__ import annotations

import functools
import typing as t

from ..protocol import discovery
from ..protocol.errors import AuthorizationError, ConfigurationError, IDTokenError
from ..protocol.leeway import LEEWAY
from ..protocol.tracebacks import without_locals
from .authorization_endpoint import AuthorizationEndpoint

if t.TYPE_CHECKING:
    from ..protocol.jwt import Verifier


class AuthorizationResponse(AuthorizationEndpoint):
    """A handler's checks of signed authorization responses, and the keys for them."""

    #: The URL of the provider's key set; None for that of the metadata.
    jwks_url: str | None = None
    #: The accepted signature algorithms; None for the asymmetric ones of the metadata.
    algorithms: tuple[str, ...] | None = None
    #: How many seconds the provider's clock may differ from this machine's.
    leeway: float = LEEWAY

    @without_locals
    def response_state(self, response: str) -> str | None:
        """Return the ``state`` of a signed response before any other check: JARM, section 2.4.

        A browser's attempt is found by it. Nothing is fetched but the metadata.

        :param response: the parameter ``response``.
        :raises AuthorizationError: it is not a JWT that this provider might have signed.
        :raises ProviderError: the metadata can't be fetched.
        """
        from ..protocol.jwt import parse

        try:
            _, claims = parse(self.decrypt(response), self.response_verifier())
        except IDTokenError as error:
            raise _rejected(error) from None
        state = claims.get("state")
        return state if isinstance(state, str) else None

    @without_locals
    def validate_response(self, response: str) -> dict[str, t.Any]:
        """Return the parameters in a signed authorization response: JARM, section 2.4.

        .. code-block:: python

            answer = handler.validate_response(request.args["response"])
            if answer.get("state") == session.pop("state"):
                token = handler.get_token(answer["code"], code_verifier=verifier)

        :param response: the parameter ``response``.
        :returns: ``code`` or ``error``, ``state``, and what else the provider signed.
        :raises AuthorizationError: a check failed.
        :raises ProviderError: the provider's keys can't be fetched.
        """
        from ..protocol.id_token import validate_authorization_response

        try:
            verifier = self.response_verifier()
            return validate_authorization_response(self.decrypt(response), verifier)
        except IDTokenError as error:
            raise _rejected(error) from None

    @without_locals
    def decrypt(self, token: t.Any) -> t.Any:
        """Return the signed token that an encrypted one contains: RFC 7519, section 5.2.

        :returns: its content, unchecked; the token itself if it is not encrypted.
        :raises IDTokenError: it can't be decrypted, or contains another encrypted token.
        """
        if not isinstance(token, str) or token.count(".") != 4:
            return token
        from ..protocol.encryption import decrypt

        return decrypt(token, self.decryption_keys)

    def preload(self) -> None:
        """Import at registration what a sign-in needs, to save the first visitor the wait."""
        if self.has_signed_responses:
            from ..protocol import id_token  # noqa: F401
        if self.jar:
            from ..protocol import request_object  # noqa: F401
        if self.dpop:
            from ..protocol import dpop  # noqa: F401

    @functools.cached_property
    def _keys(self) -> t.Any:
        from ..protocol.jwks import Keys

        return Keys(self._fetch_keys)

    def _fetch_keys(self) -> list[t.Any]:
        from ..protocol.jwks import fetch_keys

        return fetch_keys(self.http_options, self.secure_endpoint("jwks_url"), self.headers)

    def response_verifier(self) -> Verifier:
        """Return what a check compares a signed authorization response with.

        :raises ConfigurationError: the handler has no issuer.
        :raises ProviderError: the metadata can't be fetched.
        """
        from ..protocol.jwt import Verifier

        if self.issuer is None:
            raise ConfigurationError(
                "A signed answer can't be checked without an issuer: add issuer=….",
                row="signed-response",
            )
        document, issuer = self.metadata, self.issuer
        return Verifier(
            self._keys,
            self.algorithms or self.allowed(discovery.response_algorithms(document)),
            self.client_id,
            self.client_secret,
            # A response is for one client.
            frozenset(),
            issuer,
            lambda iss, claims: discovery.is_issuer(iss, claims, document, issuer),
            self.leeway,
        )


def _rejected(error: IDTokenError) -> AuthorizationError:
    return AuthorizationError(
        "invalid_response",
        "the signed answer can't be accepted; start again",
        detail=f"About the JWT in response=: {error.error_description}.",
    )
