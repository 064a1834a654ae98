"""Connections that end at a deadline: name lookup, connecting, TLS, sending and reading together.

A timeout alone does not limit a request: it starts again with each address of a host and with each
byte that arrives. So each step gets the time that is left until the deadline. Nothing is sent after
the deadline, because a code or a refresh token would be used up for a response that nobody reads.
"""

from __future__ import annotations

import functools
import io
import socket
import threading
import time
import typing as t
from concurrent.futures import Future
from http.client import HTTPResponse

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ReadTimeoutError
from urllib3.util import connection as urllib3_connection

from .errors import ConfigurationError

Address = tuple[t.Any, ...]


class DeadlineAdapter(HTTPAdapter):
    """Opens connections that end at a deadline, given in `time.monotonic` seconds."""

    def __init__(self, deadline: float) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1)
        self._deadline = deadline
        #: True once anything of a request was sent, a proxy's CONNECT excepted.
        self.has_sent = False

    def get_connection_with_tls_context(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
        pool: t.Any = super().get_connection_with_tls_context(*args, **kwargs)
        if "_socks_options" in pool.conn_kw:
            raise ConfigurationError(
                "Requests to a provider's own endpoints can't use a SOCKS proxy, because their"
                " duration can't be limited there. Use an HTTP proxy, or none for this host"
                " (proxies={}, NO_PROXY)."
            )
        https = pool.scheme == "https"
        pool.ConnectionCls = functools.partial(
            _DeadlineHTTPSConnection if https else _DeadlineHTTPConnection,
            deadline=self._deadline,
            note_sent=self._note_sent,
        )
        return pool

    def _note_sent(self) -> None:
        self.has_sent = True


class _Deadline:
    """Mixin for connections: every operation ends at the deadline."""

    sock: t.Any
    timeout: float
    _dns_host: str
    port: int
    socket_options: t.Any

    def __init__(
        self,
        *args: t.Any,
        deadline: float,
        note_sent: t.Callable[[], None],
        **kwargs: t.Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._deadline = deadline
        self._note_sent = note_sent
        self._is_tunnelling = False

    def _new_conn(self) -> socket.socket:
        end = min(self._deadline, time.monotonic() + self.timeout)
        connection = t.cast(HTTPConnection, self)
        try:
            sock = _connect(self._dns_host.strip("[]"), self.port, end, self.socket_options)
        except TimeoutError as error:
            raise ConnectTimeoutError(connection, "not connected in time") from error
        except OSError as error:
            raise NewConnectionError(connection, f"not connected: {error}") from error
        sock.settimeout(self.timeout)
        # The TLS handshake that comes next must end at the deadline.
        _limit(sock, self._deadline)
        return sock

    def _tunnel(self) -> None:
        self._is_tunnelling = True
        super()._tunnel()  # type: ignore[misc]
        self._is_tunnelling = False
        # The TLS handshake with the host behind the proxy must end at the deadline too.
        _limit(self.sock, self._deadline)

    def send(self, data: t.Any) -> None:
        if self.sock is None:
            self.connect()  # type: ignore[attr-defined]
        try:
            _limit(self.sock, self._deadline)
            if not self._is_tunnelling:
                self._note_sent()
            super().send(data)  # type: ignore[misc]
        except TimeoutError as error:
            # urllib3 would treat a TimeoutError like a connection that the other side has closed.
            raise ReadTimeoutError(t.cast(t.Any, None), "", "not sent in time") from error

    def response_class(self, sock: socket.socket, **kwargs: t.Any) -> HTTPResponse:
        return HTTPResponse(t.cast(socket.socket, _DeadlineFiles(sock, self._deadline)), **kwargs)


class _DeadlineHTTPConnection(_Deadline, HTTPConnection):  # type: ignore[misc]
    pass


class _DeadlineHTTPSConnection(_Deadline, HTTPSConnection):  # type: ignore[misc]
    pass


def _connect(host: str, port: int, end: float, options: t.Any) -> socket.socket:
    """Connect to the first address of a host that answers.

    The addresses share the remaining time, so that dead addresses leave some for the next ones.

    :param end: when to give up, in `time.monotonic` seconds.
    :raises TimeoutError: no address answered in time.
    :raises OSError: the host has no address, or none that answers.
    """
    problem = OSError("the host has no address")
    addresses = _look_up(host, port, end - time.monotonic())
    for tried, (family, kind, protocol, _, address) in enumerate(addresses):
        sock = None
        try:
            sock = socket.socket(family, kind, protocol)
            for option in options or ():
                sock.setsockopt(*option)
            sock.settimeout(_left(end) / (len(addresses) - tried))
            sock.connect(address)
        except OSError as error:
            problem = error
            if sock is not None:
                sock.close()
        else:
            return sock
    raise problem


def _look_up(host: str, port: int, seconds: float) -> list[Address]:
    """Look up a host's addresses in a separate thread, because a lookup can't be stopped."""
    found: Future[list[Address]] = Future()

    def look_up() -> None:
        try:
            family = urllib3_connection.allowed_gai_family()
            found.set_result(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))
        except BaseException as error:
            found.set_exception(error)

    threading.Thread(target=look_up, daemon=True, name="oauth2-lookup").start()
    return found.result(seconds)


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time is over")
    return left


def _limit(sock: socket.socket, deadline: float) -> None:
    """Lower the timeout of a socket so that its next operation ends at the deadline."""
    left, timeout = _left(deadline), sock.gettimeout()
    if timeout is None or timeout > left:
        sock.settimeout(left)


class _DeadlineFiles:
    """The part of a socket that `http.client.HTTPResponse` uses: a file to read from."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineReader(self._sock, self._deadline))


class _DeadlineReader(io.RawIOBase):
    """Reads a socket until a deadline. Its file keeps the socket open for the response."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int | None:
        _limit(self._sock, self._deadline)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()
