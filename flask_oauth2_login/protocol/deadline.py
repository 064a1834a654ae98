"""Connections on which a request ends at a deadline: from the name lookup to the last byte.

A timeout alone does not limit a request: it starts again with each address of a host and with each
byte that arrives. So each step gets the time that is left until the deadline. Nothing is sent after
the deadline, because a code or a refresh token would be used up for a response that nobody reads.
"""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import time
import typing as t
from concurrent.futures import Future
from contextvars import ContextVar
from http.client import CONTINUE, SWITCHING_PROTOCOLS, HTTPResponse

from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ReadTimeoutError
from urllib3.util import connection as urllib3_connection

Address = tuple[t.Any, ...]


class Deadline:
    """When a request must be over.

    :param seconds: how long the request may take.
    :param is_of_one_try: True if the request is not sent again, whatever happens.
    """

    def __init__(self, seconds: float, *, is_of_one_try: bool = False) -> None:
        self.is_of_one_try = is_of_one_try
        #: The end, in `time.monotonic` seconds.
        self.at = time.monotonic() + seconds
        #: True once a part of the request was sent. A proxy's CONNECT does not count.
        self.has_sent = False

    @contextlib.contextmanager
    def applied(self) -> t.Iterator[None]:
        """Apply this deadline to the connections that this thread uses."""
        reset = _of_this_request.set(self)
        try:
            yield
        finally:
            _of_this_request.reset(reset)

    def left(self) -> float:
        """Return the seconds that are left.

        :raises TimeoutError: there are none.
        """
        return _left(self.at)

    def limit(self, sock: socket.socket) -> None:
        """Lower the timeout of a socket so that its next operation ends at the deadline."""
        left, timeout = self.left(), sock.gettimeout()
        if timeout is None or timeout > left:
            sock.settimeout(left)


_of_this_request: ContextVar[Deadline | None] = ContextVar("oauth2_login_deadline", default=None)


def deadline_of_this_request() -> Deadline | None:
    """Return the deadline of the request that this thread is sending; None if it has none."""
    return _of_this_request.get()


class DeadlineConnection:
    """A mixin for connections. Every operation of a request with a deadline ends by then.

    The connection is kept open after a request, and the next one may have another deadline.
    """

    sock: t.Any
    timeout: float
    _dns_host: str
    port: int
    socket_options: t.Any
    _is_tunnelling = False
    #: The parts of the request that is being put together, if it has a deadline.
    _parts: list[bytes] | None = None

    def _new_conn(self) -> socket.socket:
        deadline = deadline_of_this_request()
        if deadline is None:
            return t.cast(socket.socket, super()._new_conn())  # type: ignore[misc]
        end = min(deadline.at, time.monotonic() + self.timeout)
        connection = t.cast(HTTPConnection, self)
        try:
            sock = _connect(self._dns_host.strip("[]"), self.port, end, self.socket_options)
        except TimeoutError as error:
            raise ConnectTimeoutError(connection, "not connected in time") from error
        except OSError as error:
            raise NewConnectionError(connection, f"not connected: {error}") from error
        sock.settimeout(self.timeout)
        # The TLS handshake that comes next must end at the deadline.
        deadline.limit(sock)
        return sock

    def _tunnel(self) -> None:
        self._is_tunnelling = True
        try:
            super()._tunnel()  # type: ignore[misc]
        finally:
            self._is_tunnelling = False
        if (deadline := deadline_of_this_request()) is not None:
            # The TLS handshake with the host behind the proxy must end at the deadline too.
            deadline.limit(self.sock)

    def request(self, *args: t.Any, **kwargs: t.Any) -> None:
        """Send a request; one with a deadline in one piece, which costs less than head and body."""
        if deadline_of_this_request() is None:
            super().request(*args, **kwargs)  # type: ignore[misc]
            return
        parts = self._parts = []
        try:
            super().request(*args, **kwargs)  # type: ignore[misc]
        finally:
            self._parts = None
        self.send(b"".join(parts))

    def send(self, data: t.Any) -> None:
        if self._parts is not None:
            self._parts.append(data)
            return
        deadline = deadline_of_this_request()
        if deadline is None:
            super().send(data)  # type: ignore[misc]
            return
        if self.sock is None:
            self.connect()  # type: ignore[attr-defined]
        try:
            deadline.limit(self.sock)
            if not self._is_tunnelling:
                deadline.has_sent = True
            super().send(data)  # type: ignore[misc]
        except TimeoutError as error:
            # urllib3 would treat a TimeoutError like a connection that the other side has closed.
            raise ReadTimeoutError(t.cast(t.Any, None), "", "not sent in time") from error

    def response_class(self, sock: socket.socket, **kwargs: t.Any) -> HTTPResponse:
        files = _Files(sock, deadline_of_this_request())
        return _FinalResponse(t.cast(socket.socket, files), **kwargs)


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


class _FinalResponse(HTTPResponse):
    """The final response to a request. Interim ones may come before it: RFC 9110, section 15.2.

    `http.client` takes any interim response except ``100 Continue`` for the final one. The next
    request over the connection would then get the final response to this one.
    """

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]
        is_interim = 100 < status < 200 and status != SWITCHING_PROTOCOLS
        return version, CONTINUE if is_interim else status, reason

    def begin(self) -> None:
        super().begin()
        if self.status == SWITCHING_PROTOCOLS:
            # What follows is not HTTP.
            self.will_close = True


class _Files:
    """The part of a socket that `http.client.HTTPResponse` uses: a file to read from."""

    def __init__(self, sock: socket.socket, deadline: Deadline | None) -> None:
        self._sock = sock
        self._deadline = deadline

    def makefile(self, _mode: str) -> io.BufferedReader:
        return _ResponseFile(_Reader(self._sock, self._deadline))


class _ResponseFile(io.BufferedReader):
    """Buffers a response. If more came than belongs to it, the connection is not used again.

    Otherwise the next request over the connection would get the rest as its response.
    """

    raw: _Reader

    def close(self) -> None:
        if not self.closed:
            self.raw.is_over = True
            if self.peek(1) or self.raw.has_pending():
                self.raw.shut_down()
        super().close()


class _Reader(io.RawIOBase):
    """Reads a socket, until a deadline if there is one, and keeps it open for the response."""

    def __init__(self, sock: socket.socket, deadline: Deadline | None) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._deadline = deadline
        #: True once the response was read, or is not read any further.
        self.is_over = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int | None:
        if self.is_over:
            return None
        if self._deadline is not None:
            self._deadline.limit(self._sock)
        return self._raw.readinto(buffer)

    def has_pending(self) -> bool:
        """Return True if TLS has decrypted more than was read."""
        return bool(getattr(self._sock, "pending", int)())

    def shut_down(self) -> None:
        """Shut the connection down, so that the pool finds it closed."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._raw.close()
        super().close()
