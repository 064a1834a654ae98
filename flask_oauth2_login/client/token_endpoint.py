"""A handler's requests to the token endpoint: RFC 6749, section 3.2."""

from __future__ import annotations

import typing as t

from ..protocol import urls
from ..protocol.client_auth import TokenRequest
from ..protocol.errors import ConfigurationError, ProviderAnswerError, ProviderError, TokenError
from ..protocol.revocation import revoke, revoke_both
from ..protocol.token import Token
from ..protocol.token_request import request_token
from ..protocol.tracebacks import without_locals
from . import revocation
from .answer_urls import Sources, has_places
from .client_credentials import ClientCredentials

if t.TYPE_CHECKING:
    from ..protocol.dpop import DPoPKey, Prover


class TokenEndpoint(ClientCredentials):
    """A handler's requests to the endpoints at which a client authenticates."""

    #: True if the provider sends ID tokens, which have the request's nonce.
    openid: t.ClassVar[bool] = False

    def _request_token(
        self,
        params: dict[str, t.Any],
        former: Token | None = None,
        endpoint: str = "token_url",
        sources: Sources | None = None,
        dpop_key: DPoPKey | None = None,
    ) -> Token | None:
        prover = self.make_prover(dpop_key)
        try:
            request = self._make_request(endpoint, params, sources)
            client_auth = self._client_auth()
        except ProviderError as error:
            # The metadata can't be fetched or read.
            error.is_grant_unused = True
            raise
        token_types = ["Bearer", self.bearer_scheme, *self.token_types]
        if prover is not None:
            token_types.append("DPoP")
        # A login that began with an ID token alone is refreshed by one, too.
        has_none = former is not None and not former.get("access_token")
        try:
            token = request_token(
                self.http_options,
                request,
                client_auth,
                style=self.token_request,
                names=self.token_names,
                token_path=self.token_path,
                token_types={each.strip().lower() for each in token_types},
                former=former,
                id_token_suffices=self.openid
                and (has_none or params.get("grant_type") == "authorization_code"),
                prover=prover,
            )
        except ProviderError as error:
            error.is_grant_unused = error.nothing_sent
            raise
        if token is not None and prover is not None and prover.key.own is None:
            # Also if the access token is a Bearer token, because the refresh token may be bound.
            token.dpop_key = prover.key
        if token is not None and prover is not None and self.profile and not token.is_dpop:
            problem = (
                f"The token endpoint answered with token_type {token['token_type']!r}, and the"
                f" handler's profile={self.profile!r} accepts no token that is not bound to a key."
            )
            sent = params.get("refresh_token")
            is_spent = sent is not None and token.refresh_token not in {None, sent}
            # A refresh token that is not replaced stays valid.
            if sent is None or is_spent:
                revocation.revoke((self, token))
            if is_spent:
                raise TokenError("invalid_token", detail=problem)
            raise ProviderAnswerError(problem, row="token-answer")
        return token

    def make_prover(self, key: DPoPKey | None) -> Prover | None:
        """Return what makes the proofs of a request that gets tokens; None if there are none.

        :param key: the login's key, if it has one already.
        """
        key = key or self.own_dpop_key
        if key is None and not self.dpop:
            return None
        from ..protocol.dpop import Prover, new_key

        return Prover(key or new_key(), self.nonces)

    def _code_binding(self, key: DPoPKey | None) -> dict[str, str]:
        """Return the parameter that binds a code to a key: RFC 9449, section 10."""
        key = key or self.own_dpop_key
        return {} if key is None else {"dpop_jkt": key.thumbprint}

    def _make_request(
        self, endpoint: str, params: t.Mapping[str, t.Any], sources: Sources | None = None
    ) -> TokenRequest:
        if has_places(getattr(self, endpoint)):
            url = urls.require_https(
                self.completed(endpoint, sources or {}), endpoint, self.http_hosts
            )
        else:
            url = self.secure_endpoint(endpoint)
        return TokenRequest(
            url,
            {name: value for name, value in params.items() if value is not None},
            self.client_id,
            self.client_secret,
            self.client_id_param,
            {"Accept": "application/json", **self.headers},
            make_assertion=self._assertion_maker(),
        )

    @without_locals
    def revoke_token(self, /, token: Token | str, **params: t.Any) -> None:
        """Revoke a token: RFC 7009.

        :param token: a :class:`Token`, or one token as a string. The refresh token and the access
            token of a :class:`Token` are revoked by a request each, because section 2.1 only
            requires the provider to end the token that is sent.
        :param params: more parameters for each request.
        :raises ConfigurationError: this provider has no ``revoke_url``.
        :raises TokenError: the provider refused. If it refuses the refresh token, the access token
            is sent nevertheless. If it refuses only the access token, that is not an error.
        :raises ProviderError: the provider can't be reached, or its response can't be understood.
        """
        if not self.has_endpoint("revoke_url"):
            raise ConfigurationError(f"{self!r} has no revoke_url: give it.", row="no-revoke-url")

        def revoke_one(value: str, hint: str | None = None) -> None:
            members = {"token": value, "token_type_hint": hint, **params}
            request = self._make_request("revoke_url", members)
            as_json = self.token_request == "json"
            revoke(self.http_options, request, self._client_auth(), as_json=as_json)

        if isinstance(token, Token):
            revoke_both(token, revoke_one)
        else:
            revoke_one(token)
