"""A handler's authorization requests: RFC 6749, section 4.1.1."""

from __future__ import annotations

import typing as t

from ..protocol import authorization, urls
from ..protocol.scope import Scope, split_scope
from .token_endpoint import TokenEndpoint


class AuthorizationEndpoint(TokenEndpoint):
    """A handler's requests to the authorization endpoint, which a browser carries there."""

    redirect_uri: str | None

    def authorize_url(self, /, scope: Scope = "", **params: t.Any) -> str:
        """Return the URL of an authorization request, to redirect the browser to.

        :param scope: scopes as a string with spaces between them, or as an iterable.
        :param params: more parameters, such as ``state``. They replace defaults of the same name
            (``response_type="code"``, ``redirect_uri``, …). None removes a default. A mapping is
            sent as JSON.
        :raises ConfigurationError: ``authorization_url`` is a path, and there is no ``site``.
        """
        if self.redirect_name:
            params["redirect_uri"] = self.redirect_name
        fixed = dict(self.authorize_params)
        scopes = [*split_scope(scope), *split_scope(fixed.pop("scope", None))]
        query = authorization.request_params(
            self.client_id,
            self.redirect_uri,
            self.join_scope(scopes),
            {"response_mode": self.response_mode, **fixed, **params},
            client_id_param=self.client_id_param,
        )
        return urls.add_params(self.endpoint("authorization_url"), query)

    def join_scope(self, scope: Scope) -> str:
        """Return scopes as a string, each once, separated as this provider wants it."""
        return self.scope_separator.join(split_scope(scope))
