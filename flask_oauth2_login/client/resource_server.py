"""`ResourceServer`: a provider's API, and how a request to it carries a token: RFC 6750."""

from __future__ import annotations

import dataclasses
import functools
import logging
import typing as t

import requests

from ..protocol import urls
from ..protocol.errors import see
from ..protocol.http_options import HTTPOptions
from ..protocol.token import Token
from .reasons import Reasons

log = logging.getLogger("flask_oauth2_login")


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
    """

    base_url: str
    origins: frozenset[str]
    bearer_method: str = "header"
    bearer_scheme: str = "Bearer"
    headers: t.Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    http_hosts: frozenset[str] = frozenset()
    http_options: HTTPOptions = dataclasses.field(default_factory=HTTPOptions)
    is_below_issuer: bool = False

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

    def hide_token(self, url: str) -> str:
        """Return a request's URL without the token, if the token is a part of it."""
        method, _, name = self.bearer_method.partition(":")
        return urls.add_params(url, {name or "access_token": None}) if method == "query" else url

    def remove_token(self, request: requests.PreparedRequest) -> None:
        """Remove the token, and any other credentials, from a request."""
        method, _, name = self.bearer_method.partition(":")
        if method == "query":
            request.url = self.hide_token(str(request.url))
        for header in ("Authorization", name if method == "header" else "", *self.headers):
            request.headers.pop(header, None)


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
