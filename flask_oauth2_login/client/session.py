"""`OAuth2Session`: a `requests.Session` that sends a token, to the provider and nobody else.

Bearer tokens: RFC 6750.
"""

from __future__ import annotations

import copy
import typing as t
from urllib.parse import urlsplit

import requests
from requests.utils import rewind_body
from urllib3.exceptions import LocationParseError

from ..protocol import urls
from ..protocol.challenge import bearer_challenge, is_invalid_token, step_up
from ..protocol.errors import (
    ConfigurationError,
    LoginRequired,
    ProviderAnswerError,
    ProviderUnavailableError,
)
from ..protocol.token import Token
from ..protocol.tracebacks import without_locals
from .resource_server import ResourceServer

Tokens = t.Callable[[Token | None, bool], Token | None]


class Connections(t.Protocol):
    """Connections that outlive a session: what an app shares between its visitors."""

    @property
    def adapter(self) -> requests.adapters.BaseAdapter: ...

    def environment(self, url: str) -> tuple[dict[str, str], str | None]:
        """The proxies and the CA bundle that the environment names for a URL."""


class OAuth2Session(requests.Session):
    """A `requests.Session` that sends an access token with every request.

    A URL may be relative to the API's base. The token goes to the provider's origins only; any
    other URL is refused with a :exc:`ConfigurationError`, and a redirect elsewhere is followed
    without it. ``Host`` and other headers that could lead the token to another host are removed,
    unless the handler's ``headers`` have them. A provider that can't be reached is a
    :exc:`ProviderError`; an API's 4xx and 5xx are answers. Requests without a ``timeout`` of their
    own have the provider's.

    :param api: what to call.
    :param tokens: called with None it returns the token to send; called with a token that the API
        rejected as invalid, it returns a newer one, or None if there is none. The second argument
        is True if that token had just replaced another rejected one; the call then only notes
        this for the next request. May raise :exc:`LoginRequired`.
    :param connections: a pool to share; without it the session has its own.
    """

    def __init__(
        self, api: ResourceServer, tokens: Tokens, connections: Connections | None = None
    ) -> None:
        super().__init__()
        self._api = api
        self._tokens = tokens
        self._connections = connections
        if api.http_options.cert:
            self.cert = api.http_options.cert
        if connections is not None:
            self.mount("https://", connections.adapter)
            self.mount("http://", connections.adapter)

    @without_locals
    def request(
        self, method: str | bytes, url: str | bytes, *args: t.Any, **kwargs: t.Any
    ) -> requests.Response:
        """As in requests, with a URL relative to the API.

        :raises ConfigurationError: the URL is not the provider's.
        :raises ProviderError: the provider can't be reached, or sends us to where nobody can go.
        :raises LoginRequired: the login has ended, or must be a stronger one (RFC 9470).
        """
        url = url.decode("utf-8", "replace") if isinstance(url, bytes) else str(url)
        if not self._api.base_url and not urls.is_absolute(url):
            raise ConfigurationError(
                f"{url!r} is relative, and this provider's handler has no api_url to append it to."
                " Give it one (api_url='https://api.…'), or call an absolute URL."
            )
        if url.startswith("//"):
            # A browser would take it for another host, and so may whoever wrote it.
            self._refuse(url)
        try:
            return super().request(method, urls.join(self._api.base_url, url), *args, **kwargs)
        except _NO_URL:
            self._refuse("This URL")

    def close(self) -> None:
        """Close the session's own connections; those that it shares are not its to close."""
        if self._connections is None:
            super().close()

    @without_locals
    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        # Whatever the caller, a netrc file or the URL has to say about credentials, ours count. On
        # a copy: the caller's may be everybody's.
        request = copy.copy(request)
        request.auth = self._sign
        return super().prepare_request(request)

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        url = str(request.url)
        if not self._api.allows_token(url):
            self._refuse(urls.origin(url) or "This URL")
        token = self._tokens(None, False)
        if token is None:
            raise LoginRequired
        return self._sign_with(request, token)

    def _refuse(self, origin: str) -> t.NoReturn:
        known = ", ".join(sorted(self._api.origins))
        if origin in self._api.origins:
            raise ConfigurationError(
                f"{origin} is not encrypted, so the token does not go there. Use https, or name"
                " the host in http_hosts=[…] of the handler."
            )
        raise ConfigurationError(
            f"{origin} is not where this provider's token may go ({known or 'no origin is known'})."
            " Add it to the handler: api_origins=['https://…'], or call it with requests itself."
        )

    def _sign_with(
        self, request: requests.PreparedRequest, token: Token
    ) -> requests.PreparedRequest:
        self._api.add_token(request, token)
        # For `send`, which may learn that this is the token that is bad.
        request._token = token  # type: ignore[attr-defined]
        request._cleared = request.url  # type: ignore[attr-defined]
        return request

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Sign a redirected request again if the token may go there; else send it unsigned.

        After a redirect to another site the request stays unsigned, even if it comes back to the
        API: the other site chose the URL.
        """
        self._api.remove_token(prepared_request)
        prepared_request._cleared = prepared_request.url  # type: ignore[attr-defined]
        was_elsewhere = getattr(response.request, "_was_elsewhere", False)
        if was_elsewhere or not self._api.allows_token(str(prepared_request.url)):
            prepared_request._was_elsewhere = True  # type: ignore[attr-defined]
        else:
            self._sign(prepared_request)

    @without_locals
    def send(self, request: requests.PreparedRequest, **kwargs: t.Any) -> requests.Response:
        """As in requests; a request whose token was bad is sent once more, with a newer one.

        :raises ConfigurationError: the request was prepared for somebody else.
        """
        url = str(request.url)
        if getattr(request, "_cleared", None) != url and not self._api.allows_token(url):
            self._refuse(urls.origin(url) or "This URL")
        for name in _ROUTING_HEADERS - {name.lower() for name in self._api.headers}:
            request.headers.pop(name, None)
        response = self._send(request, **kwargs)
        token: Token | None = getattr(request, "_token", None)
        # A response with a history was a redirected request's, which came through here itself.
        if response.status_code != 401 or response.history or token is None:
            return response
        challenge = _challenge_of(response)
        if challenge.get("error") == "insufficient_user_authentication":
            response.close()
            raise LoginRequired(
                "The provider's API asks for a stronger sign-in.", params=step_up(challenge)
            )
        if not is_invalid_token(challenge) or not _rewind(request):
            return response
        newer = self._tokens(token, False)
        if newer is None:
            return response
        response.close()
        response = self._send(self._sign_with(request, newer), **kwargs)
        if response.status_code == 401 and is_invalid_token(_challenge_of(response)):
            self._tokens(newer, True)
        return response

    def _send(self, request: requests.PreparedRequest, **kwargs: t.Any) -> requests.Response:
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = self._api.http_options.timeout
        problem: type[ProviderAnswerError | ProviderUnavailableError] = ProviderUnavailableError
        try:
            response = super().send(request, **kwargs)
        except _BAD_REDIRECT as error:
            problem, kind = ProviderAnswerError, type(error).__name__
        except _OUT_OF_REACH as error:
            kind = type(error).__name__
        else:
            return self._without_token(response)
        # Raised out here: a chained exception would carry the request, and with it the token.
        host = urls.origin(str(request.url)) or "The provider's API"
        if problem is ProviderAnswerError:
            raise problem(f"{host} redirects in circles, or to nowhere: {kind}.")
        raise problem(f"{host} can't be reached: {kind}.")

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        try:
            target = super().get_redirect_target(resp)
            urlsplit(target or "")
        except ValueError:
            # Or its connection would be lost to the pool.
            resp.close()
            raise ProviderAnswerError("The provider's API redirects to no URL.") from None
        return target

    def _without_token(self, response: requests.Response) -> requests.Response:
        for answered in (response, *response.history):
            # Its URL is in the text of what `raise_for_status` raises.
            answered.url = self._api.hide_token(answered.url)
        return response

    def merge_environment_settings(
        self, url: t.Any, proxies: t.Any, stream: t.Any, verify: t.Any, cert: t.Any
    ) -> t.Any:
        options = self._api.http_options
        if verify is None:
            verify = options.verify
        if not proxies and options.proxies is not None:
            proxies = dict(options.proxies)
        own_settings = proxies or self.proxies or self.verify is not True or not self.trust_env
        if self._connections is None and not own_settings and urls.is_loopback_http(url):
            # No proxy of the environment's reads what is for this machine alone.
            proxies = {"no_proxy": urlsplit(url).hostname}
        if self._connections is None or own_settings:
            return super().merge_environment_settings(url, proxies, stream, verify, cert)
        found, ca_bundle = self._connections.environment(url)
        return {
            "proxies": dict(found),
            "stream": self.stream if stream is None else stream,
            "verify": (ca_bundle or True) if verify in (None, True) else verify,
            "cert": self.cert if cert is None else cert,
        }


#: Headers that can make a server, or its proxy, treat a request as one for another host or URL. If
#: an app forwards a visitor's headers, these would let the visitor choose where the token goes.
_ROUTING_HEADERS = frozenset({
    "forwarded", "host", "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix",
    "x-forwarded-server", "x-host", "x-http-host-override", "x-original-host", "x-original-url",
    "x-rewrite-url",
})  # fmt: skip

_NO_URL = (
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
)
_BAD_REDIRECT = (*_NO_URL, requests.exceptions.TooManyRedirects, LocationParseError)
_OUT_OF_REACH = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    requests.exceptions.RetryError,
)


def _challenge_of(response: requests.Response) -> dict[str, str]:
    return bearer_challenge(response.headers.get("WWW-Authenticate", ""))


def _rewind(request: requests.PreparedRequest) -> bool:
    """Make a request's body ready to be sent again; False where that can't be."""
    body: object = request.body
    if body is None or isinstance(body, (str, bytes)):
        return True
    try:
        rewind_body(request)
    except requests.exceptions.UnrewindableBodyError:
        return False
    return True
