"""One request to a provider, limited in time and size."""

from __future__ import annotations

import dataclasses
import re
import time
import typing as t
import zlib
from http.client import HTTPException

import requests
from urllib3.exceptions import HTTPError, ProtocolError
from urllib3.exceptions import TimeoutError as PoolTimeoutError

from .deadline import DeadlineAdapter
from .errors import ProviderAnswerError, ProviderUnavailableError, ProviderUnreachableError
from .http_options import HTTPOptions
from .json_input import parse_json
from .urls import is_loopback_http, origin

#: The largest body (bytes) that is read, before and after decompression.
MAX_BODY = 1024 * 1024

_TIMEOUTS = (requests.exceptions.Timeout, PoolTimeoutError, TimeoutError)


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
    auth: t.Callable[[requests.PreparedRequest], requests.PreparedRequest] | None = None,
    **request: t.Any,
) -> Response:
    """Send one request over a connection of its own, once, and follow no redirect.

    :param auth: adds credentials to the prepared request.
    :param request: as in requests.
    :raises ProviderUnreachableError: the provider was not reached, or did not respond in time.
    :raises ProviderUnavailableError: the connection was closed without a response.
    :raises ProviderAnswerError: the response is not HTTP, or its body is too large or can't be
        decoded.
    """
    problem, nonsense = "", False
    unavailable: type[ProviderUnavailableError] = ProviderUnreachableError
    with _OneRequest() as session:
        deadline = time.monotonic() + options.max_request_seconds
        adapter = DeadlineAdapter(deadline)
        # A proxy that the environment names must not read plain http to this machine itself.
        session.trust_env = not is_loopback_http(url)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        request.setdefault("headers", {}).setdefault("Accept-Encoding", "identity")
        try:
            with session.request(
                method,
                url,
                # Always pass auth=, so that requests ignores ~/.netrc.
                auth=auth or (lambda prepared: prepared),
                timeout=options.pair,
                verify=options.verify,
                cert=request.pop("cert", None) or options.cert,
                proxies=dict(options.proxies) if options.proxies is not None else None,
                allow_redirects=False,
                stream=True,
                **request,
            ) as response:
                return Response(response.status_code, response.headers, _read(response))
        except requests.exceptions.SSLError:
            problem = "its certificate was not accepted, or TLS failed"
        except requests.exceptions.ConnectTimeout:
            problem = f"no connection within {options.pair[0]:g} seconds"
        except (requests.exceptions.RequestException, HTTPError, OSError, ValueError) as error:
            problem, nonsense = type(error).__name__, _is_nonsense(error)
            if isinstance(error, _TIMEOUTS) or time.monotonic() >= deadline:
                problem = f"no complete response within {options.max_request_seconds:g} seconds"
            if _is_broken_off(error):
                unavailable = ProviderUnavailableError
    # Raised outside the handler: a chained exception would contain the request and its secrets.
    if nonsense:
        raise ProviderAnswerError(f"{_host(url)} answered with something that is not HTTP.")
    failure = unavailable(f"{_host(url)} can't be reached: {problem}.")
    failure.nothing_sent = not adapter.has_sent
    raise failure


class _OneRequest(requests.Session):
    """A session that ignores redirects.

    Even with ``allow_redirects=False``, requests reads the whole body of a redirect.
    """

    def resolve_redirects(self, *_: t.Any, **__: t.Any) -> t.Iterator[t.Any]:
        return iter(())


def _host(url: str) -> str:
    return origin(url).rpartition("://")[2].removesuffix(":443") or "The provider"


def _is_nonsense(error: Exception) -> bool:
    """Return True if the response was not HTTP."""
    return any(
        isinstance(inner, HTTPException) and not isinstance(inner, ConnectionError)
        for outer in error.args
        for inner in (outer, *getattr(outer, "args", ()))
    )


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
