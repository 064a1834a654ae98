"""`OAuth2Session`: a `requests.Session` that sends a token to one provider: RFC 6750, RFC 9449."""

from __future__ import annotations

import typing as t
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.cookies import RequestsCookieJar
from requests.sessions import merge_hooks, merge_setting
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import LocationParseError

from ..protocol import urls
from ..protocol.connections import IDEMPOTENT, PooledAdapter, is_stale
from ..protocol.errors import (
    ConfigurationError,
    LoginRequired,
    ProviderAnswerError,
    ProviderUnavailableError,
)
from ..protocol.token import Token
from ..protocol.tracebacks import without_locals
from ..protocol.www_authenticate import demands_nonce, may_be_invalid_token, step_up
from .resending import challenge_of, rewind
from .resource_server import ResourceServer
from .resource_sessions import Exchange, ResourceSessions

Tokens = t.Callable[[Token | None, bool], Token | None]


class OAuth2Session(ResourceSessions):
    """A `requests.Session` that sends an access token with every request.

    .. code-block:: python

        response = current_oauth_session.get("/user/repos", params={"page": 2})
        response.raise_for_status()

    - A URL may be relative to the handler's ``api_url``.
    - The token is sent to the provider's origins only: the origin of ``api_url`` (without it, those
      of ``site`` and the endpoints) and ``api_origins``. Any other URL is refused with a
      :exc:`ConfigurationError`. A redirect to another origin is followed without the token.
    - ``Host`` and other headers that could lead the token to another host are removed, unless the
      handler's ``headers`` contain them.
    - If the API rejects the token as invalid, or answers with a 401 that gives no reason of RFC
      6750, the request is sent once more with a newer token.
    - A token that is bound to a key (DPoP, RFC 9449) is sent with a fresh proof each time. If the
      API demands a nonce in the proof, the request is sent once more with that nonce.
    - If the API has closed an idle connection, an idempotent request is sent once more.
    - A provider that can't be reached is a :exc:`ProviderError`. A response with status 4xx or 5xx
      is returned.
    - A request without ``timeout`` has the handler's.

    Handlers and `OAuth2Login` make sessions; you need not.

    :param api: the API to call.
    :param tokens: a function that returns the token to send if it is called with None. If it is
        called with a token that the API has rejected as invalid, it returns a newer one, or None if
        there is none. The second argument is True if that token had just replaced another rejected
        one; the function then only remembers this for the next request. It may raise
        :exc:`LoginRequired`.
    :param exchange: makes the sessions of :meth:`for_resource`.
    """

    def __init__(
        self, api: ResourceServer, tokens: Tokens, exchange: Exchange | None = None
    ) -> None:
        super().__init__()
        self._api = api
        self._exchange = exchange
        self._tokens = tokens
        if api.http_options.cert:
            self.cert = api.http_options.cert
        adapter = api.http_options.connections.adapter
        self.adapters.update({"https://": adapter, "http://": adapter})

    @without_locals
    def request(
        self, method: str | bytes, url: str | bytes, *args: t.Any, **kwargs: t.Any
    ) -> requests.Response:
        """Send a request, as `requests.Session.request` does.

        :param method: the HTTP method.
        :param url: a URL, absolute or relative to the API's.
        :raises ConfigurationError: the token may not be sent to the URL.
        :raises ProviderError: the provider can't be reached, or redirects endlessly or to something
            that is not a URL.
        :raises LoginRequired: the login has ended, or the API requires a stronger one (RFC 9470).
        """
        url = url.decode("utf-8", "replace") if isinstance(url, bytes) else str(url)
        if not self._api.base_url and not urls.is_absolute(url):
            raise ConfigurationError(
                f"{url!r} is relative, and the handler has no api_url to append it to. Give it one"
                " (api_url='https://api.…'), or call an absolute URL.",
                row="no-api-url",
            )
        if url.startswith("//"):
            # Browsers read such a URL as one of another host, and so may its author.
            self._refuse(url)
        try:
            joined = urls.join(self._api.base_url, url)
            response = super().request(method, joined, *args, **kwargs)
        except _NO_URL:
            self._refuse("this URL")
        if joined != url:
            self._api.note_answer(response)
        return response

    def get_adapter(self, url: str) -> BaseAdapter:
        adapter = super().get_adapter(url)
        if isinstance(adapter, PooledAdapter):
            # A forked child that still uses this session opens its own connections.
            return self._api.http_options.connections.adapter
        return adapter

    def close(self) -> None:
        """Do nothing: the connections are the handler's, and stay open for its other sessions."""

    @without_locals
    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        # This does what requests does, without merging and encoding values that are missing, which
        # takes a tenth of the time of a call. It leaves the request as it is, because the caller
        # may use it for several people.
        prepared = requests.PreparedRequest()
        prepared.prepare_method(request.method)
        params: t.Any = request.params
        if self.params:
            params = merge_setting(params, self.params)  # type: ignore[no-untyped-call]
        prepared.prepare_url(request.url, params or None)
        headers: CaseInsensitiveDict[t.Any] = CaseInsensitiveDict(self.headers or {})
        headers.update(request.headers or {})
        for name in [name for name, value in headers.items() if value is None]:
            del headers[name]
        prepared.prepare_headers(headers)
        cookies = RequestsCookieJar()
        for given in filter(None, (self.cookies, request.cookies)):
            cookies.update(given)
        prepared.prepare_cookies(cookies)
        prepared.prepare_body(request.data, request.files, request.json)
        # The token replaces credentials from the caller, a netrc file or the URL.
        self._add_token(prepared)
        hooks = merge_hooks(request.hooks, self.hooks)  # type: ignore[no-untyped-call]
        prepared.prepare_hooks(hooks)
        return prepared

    def _add_token(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        url = str(request.url)
        if not self._api.allows_token(url):
            self._refuse(urls.origin(url) or "this URL")
        token = self._tokens(None, False)
        if token is None:
            raise LoginRequired
        if not token.access_token:
            raise ConfigurationError(
                "There is no access token to call the API with: at this sign-in the provider sent"
                " an ID token alone. Request a scope of its API: OAuth2Login(…, scope=…).",
                row="no-access-token",
            )
        return self._add_token_to(request, token)

    def _refuse(self, origin: str) -> t.NoReturn:
        known = ", ".join(sorted(self._api.origins))
        if origin in self._api.origins:
            raise ConfigurationError(
                f"{origin} is not encrypted, so the token is not sent there. Use https, or name the"
                " host in the handler's option http_hosts=[…].",
                row="token-over-http",
            )
        raise ConfigurationError(
            f"The token may not be sent to {origin}, but to {known or 'no origin'}. Add it to"
            " the handler: api_origins=['https://…'], or call it with requests itself, without"
            " a token.",
            row="token-origin",
        )

    def _add_token_to(
        self, request: requests.PreparedRequest, token: Token
    ) -> requests.PreparedRequest:
        self._api.add_token(request, token)
        # `send` needs it, if the API rejects this token.
        request._token = token  # type: ignore[attr-defined]
        request._token_allowed_url = request.url  # type: ignore[attr-defined]
        request._is_proof_used = False  # type: ignore[attr-defined]
        return request

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Add the token to a redirected request, if it may be sent to the new URL.

        After a redirect to another site no token is sent, even if a further redirect leads back to
        the API: the other site has chosen that URL.
        """
        self._api.remove_token(prepared_request)
        prepared_request._token_allowed_url = prepared_request.url  # type: ignore[attr-defined]
        was_elsewhere = getattr(response.request, "_was_elsewhere", False)
        if was_elsewhere or not self._api.allows_token(str(prepared_request.url)):
            prepared_request._was_elsewhere = True  # type: ignore[attr-defined]
        else:
            self._add_token(prepared_request)

    @without_locals
    def send(self, request: requests.PreparedRequest, **kwargs: t.Any) -> requests.Response:
        """Send a prepared request, and once more with a newer token if the API rejects the first.

        :raises ConfigurationError: the token may not be sent to the request's URL.
        :raises ProviderError: the provider can't be reached.
        :raises LoginRequired: the login has ended, or the API requires a stronger one (RFC 9470).
        """
        url = str(request.url)
        if getattr(request, "_token_allowed_url", None) != url and not self._api.allows_token(url):
            self._refuse(urls.origin(url) or "this URL")
        self._api.remove_routing_headers(request)
        response = self._send_with_nonce(request, **kwargs)
        token: Token | None = getattr(request, "_token", None)
        # The last request of a redirected response has been through this method itself.
        if response.status_code != 401 or response.history or token is None:
            return response
        challenge = challenge_of(response, token)
        if challenge is not None and challenge.get("error") == "insufficient_user_authentication":
            response.close()
            raise LoginRequired(
                "The provider's API requires a stronger sign-in.", params=step_up(challenge)
            )
        if not may_be_invalid_token(challenge) or not rewind(request):
            return response
        newer = self._tokens(token, False)
        if newer is None:
            return response
        response.close()
        response = self._send_with_nonce(self._add_token_to(request, newer), **kwargs)
        if response.status_code == 401 and may_be_invalid_token(challenge_of(response, newer)):
            self._tokens(newer, True)
        return response

    def _send_with_nonce(
        self, request: requests.PreparedRequest, **kwargs: t.Any
    ) -> requests.Response:
        """Send a request, and once more if the API demands a nonce in its proof: RFC 9449."""
        response = self._send(request, **kwargs)
        if response.status_code != 401 or response.history or _HEADER not in request.headers:
            return response
        is_demanded = demands_nonce(response.headers.get("WWW-Authenticate", ""))
        has_nonce = is_demanded and self._api.nonces.keep(str(request.url), response.headers)
        if not has_nonce or not rewind(request):
            return response
        response.close()
        return self._send(request, **kwargs)

    def _send(self, request: requests.PreparedRequest, **kwargs: t.Any) -> requests.Response:
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = self._api.http_options.timeout
        problem: type[ProviderAnswerError | ProviderUnavailableError] = ProviderUnavailableError
        try:
            response = self._send_again_if_stale(request, **kwargs)
        except _BAD_REDIRECT as error:
            problem, kind = ProviderAnswerError, type(error).__name__
        except _OUT_OF_REACH as error:
            kind = type(error).__name__
        else:
            return self._without_token(response)
        # Raised outside the handler: a chained exception would contain the request and its token.
        host = urls.origin(str(request.url)) or "The provider's API"
        if problem is ProviderAnswerError:
            raise problem(f"{host} redirects endlessly, or to something that is not a URL: {kind}.")
        raise problem(f"{host} can't be reached: {kind}.")

    def _send_again_if_stale(
        self, request: requests.PreparedRequest, **kwargs: t.Any
    ) -> requests.Response:
        """Send a request, and once more if the API had closed the idle connection that it took.

        A request that is not idempotent may have been acted on, so it is sent only once.
        """
        try:
            return self._send_fresh_proof(request, **kwargs)
        except requests.exceptions.ConnectionError as error:
            if request.method not in IDEMPOTENT or not is_stale(error) or not rewind(request):
                raise
        return self._send_fresh_proof(request, **kwargs)

    def _send_fresh_proof(
        self, request: requests.PreparedRequest, **kwargs: t.Any
    ) -> requests.Response:
        """Send a request. A proof that has been sent before is replaced, because it serves once."""
        token: Token | None = getattr(request, "_token", None)
        if token is not None and _HEADER in request.headers:
            if request._is_proof_used:  # type: ignore[attr-defined]
                self._add_token_to(request, token)
            request._is_proof_used = True  # type: ignore[attr-defined]
        return super().send(request, **kwargs)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        # requests asks this of each response, before it follows a redirect.
        if _HEADER in resp.request.headers:
            self._api.nonces.keep(str(resp.request.url), resp.headers)
        try:
            target = super().get_redirect_target(resp)
            urlsplit(target or "")
        except ValueError:
            # Without this, the pool would lose the connection.
            resp.close()
            raise ProviderAnswerError("The provider's API redirects to an invalid URL.") from None
        return target

    def _without_token(self, response: requests.Response) -> requests.Response:
        for each in (response, *response.history):
            # The error of `raise_for_status` contains the URL.
            each.url = self._api.hide_token(each.url)
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
        if own_settings:
            return super().merge_environment_settings(url, proxies, stream, verify, cert)
        found, ca_bundle = options.connections.environment(url)
        return {
            "proxies": dict(found),
            "stream": self.stream if stream is None else stream,
            "verify": (ca_bundle or True) if verify in (None, True) else verify,
            "cert": self.cert if cert is None else cert,
        }


#: The header of a request that has the proof of a bound token.
_HEADER = "DPoP"

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
