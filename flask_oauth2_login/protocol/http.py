"""One request to a provider, limited in time and size."""

from __future__ import annotations

import dataclasses
import re
import socket
import time
import typing as t
import zlib
from http.client import HTTPException

import requests
from requests.utils import default_user_agent
from urllib3.exceptions import HTTPError, ProtocolError
from urllib3.exceptions import TimeoutError as PoolTimeoutError

from .connections import IDEMPOTENT, is_stale
from .deadline import Deadline
from .errors import ProviderAnswerError, ProviderUnavailableError, ProviderUnreachableError
from .http_options import HTTPOptions
from .json_input import parse_json, to_one_line
from .urls import origin

#: The largest body (bytes) that is read, before and after decompression.
MAX_BODY = 1024 * 1024

#: requests sends these headers too. Some providers refuse a request without a User-Agent.
_DEFAULT_HEADERS = {
    "User-Agent": default_user_agent(),
    "Accept": "*/*",
    "Accept-Encoding": "identity",
}

#: A URL that requests would not change. Most endpoints have one, and parsing it takes a twentieth
#: of a request's CPU time.
PLAIN_URL = re.compile(
    r"https?://[a-z0-9][a-z0-9.-]*(?::[1-9][0-9]{1,3}|:[1-5][0-9]{4})?(?:/(?!\.)[A-Za-z0-9_.~-]*)+"
)

_TIMEOUTS = (requests.exceptions.Timeout, PoolTimeoutError, TimeoutError)


#: Adds credentials to a prepared request. It is called again if the request is sent again.
Auth = t.Callable[[requests.PreparedRequest], requests.PreparedRequest]


@dataclasses.dataclass(frozen=True)
class Response:
    """A provider's response."""

    status: int
    headers: t.Mapping[str, str] = dataclasses.field(repr=False)
    body: bytes = dataclasses.field(repr=False)

    def require_in_order(self, what: str) -> None:
        """Check that the provider does not say that it is unavailable.

        :param what: what has answered, as the subject of the error's sentence.
        :raises ProviderUnavailableError: the status is 5xx or 429. The error has the provider's
            ``Retry-After`` (RFC 9110, section 10.2.3), if that is a number of seconds.
        """
        if self.status >= 500 or self.status == 429:
            pause = self.headers.get("Retry-After", "")
            raise ProviderUnavailableError(
                f"{what} answered with status {self.status}.",
                retry_after=int(pause) if re.fullmatch("[0-9]{1,9}", pause) else None,
            )

    @property
    def outcome(self) -> str:
        """The status, and where a redirect leads, for an error's text."""
        target = self.headers.get("Location", "") if 300 <= self.status < 400 else ""
        if not target:
            return f"status {self.status}"
        # A query may quote secrets of the request.
        target = to_one_line(target.partition("?")[0].partition("#")[0])[:200]
        return f"status {self.status}, a redirect to {target} that is not followed,"

    def json(self) -> t.Any:
        """Return the body's JSON value, or None if it is not JSON."""
        return parse_json(self.body)

    def json_object(self) -> dict[str, t.Any] | None:
        """Return the body if it is a JSON object, else None."""
        value = self.json()
        return value if isinstance(value, dict) else None


def send(
    options: HTTPOptions,
    method: str,
    url: str,
    *,
    auth: Auth | None = None,
    cert: str | tuple[str, str] | None = None,
    headers: t.Mapping[str, str] | None = None,
    data: str | None = None,
    json: t.Any = None,
    only_once: bool = False,
) -> Response:
    """Send one request, and follow no redirect.

    It is sent once. A GET is sent a second time if the provider had closed the idle connection.

    :param auth: adds credentials to the prepared request.
    :param cert: a client certificate for this request, in place of the handler's.
    :param data: the body as a form.
    :param json: a value to send as JSON.
    :param only_once: True to send a GET only once, too.
    :raises ProviderUnreachableError: the provider was not reached, or did not respond in time.
    :raises ProviderUnavailableError: the connection was closed without a response.
    :raises ProviderAnswerError: the response is not HTTP, or its body is too large or can't be
        decoded.
    """
    problem, nonsense = "", False
    unavailable: type[ProviderUnavailableError] = ProviderUnreachableError
    is_of_one_try = only_once or method not in IDEMPOTENT
    deadline = Deadline(options.max_request_seconds, is_of_one_try=is_of_one_try)
    try:
        prepared = _prepare(method, url, headers or {}, data, json)
        if auth is not None:
            prepared = auth(prepared)
        with deadline.applied():
            try:
                return _exchange(options, prepared, cert)
            except requests.exceptions.ConnectionError as error:
                if is_of_one_try or not is_stale(error):
                    raise
            # A proof among the credentials serves only once.
            return _exchange(options, auth(prepared) if auth else prepared, cert)
    except requests.exceptions.SSLError:
        problem = "its certificate was not accepted, or TLS failed"
    except requests.exceptions.ConnectTimeout:
        problem = f"no connection within {options.pair[0]:g} seconds"
    except (requests.exceptions.RequestException, HTTPError, OSError, ValueError) as error:
        problem, nonsense = _describe(error), _is_nonsense(error)
        if isinstance(error, _TIMEOUTS) or time.monotonic() >= deadline.at:
            problem = f"no complete response within {options.max_request_seconds:g} seconds"
        if _is_broken_off(error):
            unavailable = ProviderUnavailableError
    # Raised outside the handler: a chained exception would contain the request and its secrets.
    if nonsense:
        raise ProviderAnswerError(f"{_host(url)} answered with something that is not HTTP.")
    failure = unavailable(f"{_host(url)} can't be reached: {problem}.")
    failure.nothing_sent = not deadline.has_sent
    raise failure


def _prepare(
    method: str, url: str, headers: t.Mapping[str, str], data: str | None, json: t.Any
) -> requests.PreparedRequest:
    """Prepare a request as requests does, but without cookies and credentials in the URL."""
    prepared = requests.PreparedRequest()
    prepared.prepare_method(method)
    if PLAIN_URL.fullmatch(url):
        prepared.url = url
    else:
        prepared.prepare_url(url, None)
    form = {} if data is None else {"Content-Type": "application/x-www-form-urlencoded"}
    prepared.prepare_headers({**_DEFAULT_HEADERS, **form, **headers})
    prepared.prepare_body(data, None, json)
    return prepared


def _exchange(
    options: HTTPOptions,
    prepared: requests.PreparedRequest,
    cert: str | tuple[str, str] | None,
) -> Response:
    """Send a prepared request over one of the handler's connections, and read the response.

    The adapter sends it, without a session: a session would follow redirects, keep cookies and look
    for credentials in ``~/.netrc``.
    """
    proxies, ca_bundle = options.connections.environment(str(prepared.url))
    with options.connections.adapter.send(
        prepared,
        stream=True,
        timeout=options.pair,
        verify=(ca_bundle or True) if options.verify is None else options.verify,
        cert=cert or options.cert,
        proxies=dict(proxies if options.proxies is None else options.proxies),
    ) as response:
        return Response(response.status_code, response.headers, _read(response))


def _host(url: str) -> str:
    return origin(url).rpartition("://")[2].removesuffix(":443") or "The provider"


def _is_nonsense(error: Exception) -> bool:
    """Return True if the response was not HTTP."""
    return any(
        isinstance(inner, HTTPException) and not isinstance(inner, ConnectionError)
        for outer in error.args
        for inner in (outer, *getattr(outer, "args", ()))
    )


def _describe(error: BaseException) -> str:
    """Return why there was no connection, without anything of the request."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return "there is no such host name (DNS)"
        if isinstance(cause, ConnectionRefusedError):
            return "the connection was refused, so nothing listens there"
        inner = cause.args[0] if cause.args and isinstance(cause.args[0], Exception) else None
        cause = inner or getattr(cause, "reason", None) or cause.__cause__
    return type(error).__name__


def _is_broken_off(error: Exception) -> bool:
    """Return True if the connection was closed after it had been made."""
    return any(isinstance(inner, ProtocolError) for inner in error.args)


def _read(response: requests.Response) -> bytes:
    """Return the decompressed body.

    :raises ProviderAnswerError: it is larger than :data:`MAX_BODY`, or can't be decompressed.
    """
    body = b""
    while chunk := response.raw.read(65536, decode_content=False):
        body += chunk
        if len(body) > MAX_BODY:
            break
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding in {"gzip", "x-gzip", "deflate"} and body:
        body = _inflate(body)
    elif coding not in {"identity", ""}:
        raise ProviderAnswerError(f"{_host(response.url)} answered in an unknown content coding.")
    if len(body) > MAX_BODY:
        raise ProviderAnswerError(
            f"{_host(response.url)} answered with more than {MAX_BODY} bytes."
        )
    return body


def _inflate(body: bytes) -> bytes:
    """Decompress gzip or zlib data. Stop one byte after :data:`MAX_BODY`."""
    gzip_or_zlib = 47  # wbits: the header tells which of the two it is
    try:
        return zlib.decompressobj(gzip_or_zlib).decompress(body, MAX_BODY + 1)
    except zlib.error:
        raise ProviderAnswerError("The provider's response can't be decompressed.") from None
