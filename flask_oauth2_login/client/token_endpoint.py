"""A handler's requests to the token endpoint: RFC 6749, section 3.2."""

from __future__ import annotations

import typing as t

from ..protocol import urls
from ..protocol.client_auth import TokenRequest
from ..protocol.errors import ProviderError
from ..protocol.token import Token
from ..protocol.token_request import request_token
from .answer_urls import Sources, has_places
from .client_credentials import ClientCredentials


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
    ) -> Token | None:
        try:
            request = self._make_request(endpoint, params, sources)
            client_auth = self._client_auth()
        except ProviderError as error:
            # The metadata can't be fetched or read.
            error.is_grant_unused = True
            raise
        token_types = ("Bearer", self.bearer_scheme, *self.token_types)
        # A login that began with an ID token alone is refreshed by one, too.
        has_none = former is not None and not former.get("access_token")
        try:
            return request_token(
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
            )
        except ProviderError as error:
            error.is_grant_unused = error.nothing_sent
            raise

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
