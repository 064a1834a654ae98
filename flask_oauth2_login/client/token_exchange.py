"""Tokens for further APIs, in exchange for the token of a login: RFC 8693."""

from __future__ import annotations

import dataclasses
import typing as t

from ..protocol import urls
from ..protocol.errors import ConfigurationError, ProviderAnswerError
from ..protocol.scope import Scope
from ..protocol.token import Token
from ..protocol.tracebacks import without_locals
from .device_login import DeviceLogin
from .resource_server import ResourceServer

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
#: The type of the token that is exchanged: RFC 8693, section 3.
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
#: Types of tokens that no API may get.
_NOT_FOR_APIS = [
    f"urn:ietf:params:oauth:token-type:{name}" for name in ("refresh_token", "id_token")
]


class TokenExchange(DeviceLogin):
    """A handler's requests for tokens in exchange for others."""

    @without_locals
    def exchange_token(
        self, /, token: t.Mapping[str, t.Any] | str, scope: Scope = "", **params: t.Any
    ) -> Token:
        """Exchange a token for one that another API accepts: RFC 8693, section 2.

        .. code-block:: python

            reports = sso.exchange_token(token, "reports:read", resource="https://reports.example/")

        :param token: a token as :meth:`get_token` returns it, or its access token.
        :param scope: scopes as a string with spaces between them, or as an iterable.
        :param params: more parameters, such as ``resource`` (a URL), ``audience`` (the provider's
            name for an API), or ``subject_token_type`` for a token of another type.
        :returns: the new token, with ``issued_token_type``.
        :raises TokenError: the provider refused. ``error`` is ``"invalid_target"`` if it issues no
            tokens for that API.
        :raises ProviderError: the provider can't be reached, or its response is neither a token
            nor a refusal.
        """
        query = {
            "grant_type": GRANT_TYPE,
            "subject_token": token if isinstance(token, str) else token["access_token"],
            "subject_token_type": ACCESS_TOKEN,
            "scope": self.join_scope(scope) or None,
            **params,
        }
        # The proof of a bound token's own key shows that it is not a stolen one (RFC 9449).
        key = token.dpop_key if isinstance(token, Token) else None
        exchanged = self._request_token(query, dpop_key=key)
        if exchanged is None:
            raise ProviderAnswerError("The provider's response to a token exchange is empty.")
        issued = exchanged.get("issued_token_type")
        if issued in _NOT_FOR_APIS and query.get("requested_token_type") != issued:
            raise ProviderAnswerError(
                f"The provider issued a token of the type {issued} in exchange, which no API may"
                " get."
            )
        return exchanged

    def resource_server_at(self, url: str) -> ResourceServer:
        """Return what a session with an exchanged token needs to know of another API.

        The token is sent to the origin of that URL only, and the handler's own headers are not.

        :raises ConfigurationError: the URL is not an https URL without query and fragment.
        """
        if not urls.is_secure_url(url, self.http_hosts) or "?" in url or "#" in url:
            raise ConfigurationError(
                f"for_resource({url!r}) needs an https URL without query and fragment (RFC 8707),"
                " such as 'https://reports.example/api'; http only for this machine, or for a host"
                " that is named in http_hosts.",
                row="token-exchange",
            )
        return dataclasses.replace(
            self.resource_server,
            base_url=url,
            origins=frozenset({urls.origin(url)}),
            bearer_method="header",
            bearer_scheme="Bearer",
            headers={},
        )
