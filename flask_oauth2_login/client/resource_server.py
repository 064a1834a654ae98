"""`ResourceServer`: a provider's API, and how a request carries a token: RFC 6750, RFC 9449."""

from __future__ import annotations

import dataclasses
import functools
import logging
import typing as t

import requests

from ..protocol import urls
from ..protocol.errors import ConfigurationError, LoginRequired, see
from ..protocol.http_options import HTTPOptions
from ..protocol.nonces import Nonces
from ..protocol.token import Token
from .reasons import Reasons

log = logging.getLogger("flask_oauth2_login")

if t.TYPE_CHECKING:
    from ..protocol.dpop import DPoPKey, Prover


#: Headers that can make a server, or its proxy, treat a request as one for another host or URL. If
#: an app forwards a visitor's headers, these would let the visitor choose where the token goes.
_ROUTING_HEADERS = frozenset({
    "forwarded", "host", "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix",
    "x-forwarded-server", "x-host", "x-http-host-override", "x-original-host", "x-original-url",
    "x-rewrite-url",
})  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ResourceServer:
    """A provider's API, and how a request to it carries a token.

    :param base_url: the URL that relative URLs are appended to.
    :param origins: the origins that the token may be sent to.
    :param bearer_method: ``"header"`` (``Authorization``), ``"query"`` (``access_token``), or one
        of these with another name: ``"header:X-Token"``, ``"query:auth"``.
    :param bearer_scheme: the word before the token in ``Authorization``.
    :param headers: headers to send with each request to these origins.
    :param http_hosts: hosts that may be called by plain http.
    :param http_options: how requests are sent.
    :param is_below_issuer: True if the base is the issuer, because no ``api_url`` was given.
    :param nonces: the nonces that servers demand in proofs.
    :param dpop_key: the client's own key that tokens are bound to. A token that carries a key is
        bound to that one.
    """

    base_url: str
    origins: frozenset[str]
    bearer_method: str = "header"
    bearer_scheme: str = "Bearer"
    headers: t.Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    http_hosts: frozenset[str] = frozenset()
    http_options: HTTPOptions = dataclasses.field(default_factory=HTTPOptions)
    is_below_issuer: bool = False
    nonces: Nonces = dataclasses.field(default_factory=Nonces, repr=False)
    dpop_key: DPoPKey | None = None

    def allows_token(self, url: str) -> bool:
        """Return True if the token may be sent to a URL."""
        if url.startswith(self._secure_beginnings):
            return True
        return urls.origin(url) in self.origins and urls.is_secure_url(url, self.http_hosts)

    def note_answer(self, response: requests.Response) -> None:
        """Log once that there is no ``api_url``, if the answer to a relative URL is of no API."""
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        if self.is_below_issuer and (response.status_code == 404 or is_page):
            problem = f"An API call to {self.base_url} got " + (
                "status 404" if response.status_code == 404 else "a page for people"
            )
            if self._reasons.is_new(problem):
                log.warning(
                    "%s. Its URL is relative, and was appended to the issuer, because the handler"
                    " has no api_url. If the API is elsewhere: api_url='https://api.…'. %s",
                    problem,
                    see("no-api-url"),
                )

    @functools.cached_property
    def _reasons(self) -> Reasons:
        return Reasons()

    @functools.cached_property
    def _secure_beginnings(self) -> tuple[str, ...]:
        """The beginnings of most URLs that the token may be sent to. Such URLs need no parsing.

        Each ends with the slash after the host and the port, so it matches no longer host name.
        """
        named = {f"{origin}/" for origin in self.origins} | {
            f"{origin.removesuffix(f':{port}')}/"
            for origin in self.origins
            for scheme, port in urls.DEFAULT_PORTS.items()
            if origin.startswith(f"{scheme}://")
        }
        return tuple(url for url in named if urls.is_secure_url(url, self.http_hosts))

    def add_token(
        self, request: requests.PreparedRequest, token: Token
    ) -> requests.PreparedRequest:
        """Add the token to a request, in place of any credentials that it has."""
        self.remove_token(request)
        request.headers.update(self.headers)
        if prover := self.prover_for(token):
            request.headers["Authorization"] = f"DPoP {token.access_token}"
            return prover.add_proof(request, token.access_token)
        method, _, name = self.bearer_method.partition(":")
        if method == "query":
            request.url = urls.add_params(
                str(request.url), {name or "access_token": token.access_token}
            )
        elif name:
            request.headers[name] = token.access_token
        else:
            request.headers["Authorization"] = f"{self.bearer_scheme} {token.access_token}"
        return request

    def prover_for(self, token: Token) -> Prover | None:
        """Return what makes the proofs of requests with a token; None if it needs none.

        :raises LoginRequired: the token is bound to a key that is missing.
        """
        if not token.is_dpop:
            return None
        from ..protocol.dpop import Prover

        key = token.dpop_key or self.dpop_key
        if key is None:
            raise LoginRequired("The token of this login is bound to a key that is missing.")
        return Prover(key, self.nonces)

    def remove_routing_headers(self, request: requests.PreparedRequest) -> None:
        """Remove headers that could lead a request elsewhere, except those of the handler."""
        own = {name.lower() for name in self.headers}
        for name in [name for name in request.headers if name.lower() in _ROUTING_HEADERS - own]:
            del request.headers[name]

    def hide_token(self, url: str) -> str:
        """Return a request's URL without the token, if the token is a part of it."""
        method, _, name = self.bearer_method.partition(":")
        return urls.add_params(url, {name or "access_token": None}) if method == "query" else url

    def remove_token(self, request: requests.PreparedRequest) -> None:
        """Remove the token, and any other credentials, from a request."""
        method, _, name = self.bearer_method.partition(":")
        if method == "query":
            request.url = self.hide_token(str(request.url))
        for header in ("Authorization", "DPoP", name if method == "header" else "", *self.headers):
            request.headers.pop(header, None)


def usable_token(given: t.Mapping[str, t.Any] | None, own_key: DPoPKey | None) -> Token:
    """Return a token that an API can be called with.

    :param given: what a developer has: a token, or a mapping with its members.
    :param own_key: the client's own key that tokens are bound to.
    :raises ConfigurationError: there is no access token, or it is bound to a key that is missing.
    """
    if not (isinstance(given, t.Mapping) and given.get("access_token")):
        raise ConfigurationError(
            "session(token) needs the token that get_token returned, with an access token. None"
            " means that the provider sent no token, and an empty access token that it sent an"
            " ID token alone: request a scope of its API.",
            row="no-access-token",
        )
    token = given if isinstance(given, Token) else Token(given)
    if token.is_dpop and not (token.dpop_key or own_key):
        raise ConfigurationError(
            "session(token) got a token that is bound to a key, without that key. Give it the Token"
            " that get_token returned: a copy of its members lacks the key.",
            row="no-dpop-key",
        )
    return token


_URLLIB3_LOGGERS = ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry")


def hide_queries_in_logs() -> None:
    """Remove queries from the URLs that urllib3 logs at DEBUG, because they may contain a token."""
    for name in _URLLIB3_LOGGERS:
        logging.getLogger(name).addFilter(_hide_queries)


@functools.cache
def hide_paths_in_logs(beginning: str) -> None:
    """Shorten paths with this beginning in urllib3's DEBUG log, because a token may follow it."""
    if beginning.strip("/"):

        def shorten(record: logging.LogRecord) -> bool:
            if isinstance(record.args, tuple):
                record.args = tuple(
                    f"{beginning}…" if isinstance(arg, str) and arg.startswith(beginning) else arg
                    for arg in record.args
                )
            return True

        for name in _URLLIB3_LOGGERS:
            logging.getLogger(name).addFilter(shorten)


def _hide_queries(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(
            arg.partition("?")[0] if isinstance(arg, str) else arg for arg in record.args
        )
    return True
