"""Sessions for further APIs, made of the session for the provider's own: RFC 8693."""

from __future__ import annotations

import typing as t

import requests

from ..protocol.errors import ConfigurationError
from ..protocol.scope import Scope

#: Makes the session for a URL, scopes, and more parameters of the exchange.
Exchange = t.Callable[[str, Scope, dict[str, str | None]], requests.Session]


class ResourceSessions(requests.Session):
    """A session of somebody whose token can be exchanged for those of further APIs."""

    _exchange: Exchange | None = None

    def for_resource(self, url: str, scope: Scope = "", **params: str | None) -> t.Self:
        """Return a session for another API, with a token exchanged for this one: RFC 8693.

        .. code-block:: python

            reports = current_oauth_session.for_resource("https://reports.example/api", "read")
            reports.get("/monthly").json()

        The token is kept, sealed, for all requests of this login. When it has expired, the login's
        token is exchanged again, once for any number of simultaneous requests. The token is not
        used after the login has ended, but it is not revoked. If the provider refuses the exchange,
        the requests of the session raise a :exc:`TokenError`.

        :param url: where the API is, and the name by which the provider knows it (the parameter
            ``resource``). The token is sent to its origin only. Relative URLs of requests are
            appended to it. Never take it from a visitor.
        :param scope: scopes as a string with spaces between them, or as an iterable.
        :param params: more parameters of the exchange, such as ``audience`` for a provider that has
            names of its own for APIs. They replace defaults of the same name; None removes one.
        :raises ConfigurationError: the URL is not https, or this is not somebody's session.
        """
        if self._exchange is None:
            raise ConfigurationError(
                "This session's token can't be exchanged: for_resource needs the session of"
                " somebody who is signed in. For a token of the app itself, request it for that"
                " API: client_session(scope=…).",
                row="token-exchange",
            )
        return t.cast(t.Self, self._exchange(url, scope, params))
