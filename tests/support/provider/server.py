"""A small threaded HTTP/1.1 server on loopback, that leaves nothing behind when it stops."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import threading
import time
import typing as t

from requests.structures import CaseInsensitiveDict

from .messages import Answer, Request

#: The longest head of a request, in bytes.
MAX_HEAD = 1024 * 1024
#: Seconds in which a thread must have ended after its connection was shut down.
PATIENCE = 10


class Connection:
    """One client's connection, served by a thread of its own."""

    def __init__(self, sock: socket.socket, number: int, closing: threading.Event) -> None:
        self.number = number
        self.closing = closing
        self._sock = sock
        self._buffer = b""
        self.client_cert = _common_name(sock)

    def read_request(self) -> Request | None:
        """The next request; None where the client left."""
        while b"\r\n\r\n" not in self._buffer:
            if len(self._buffer) > MAX_HEAD or not self._receive():
                return None
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _version = first.split(" ")
        headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
        for line in lines:
            name, _, value = line.partition(":")
            value = value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        body = self._read_body(headers)
        if body is None:
            return None
        return Request(
            method, target, headers, body, self.number, time.time(), client_cert=self.client_cert
        )

    def _read_body(self, headers: t.Mapping[str, str]) -> bytes | None:
        if headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while (line := self._read_line()) is not None:
                size = int(line.partition(b";")[0], 16)
                chunk = self._read_exactly(size + 2)
                if size == 0 or chunk is None:
                    return None if chunk is None else body
                body += chunk[:-2]
            return None
        return self._read_exactly(int(headers.get("Content-Length", 0)))

    def _read_line(self) -> bytes | None:
        while b"\r\n" not in self._buffer:
            if not self._receive():
                return None
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _read_exactly(self, size: int) -> bytes | None:
        while len(self._buffer) < size:
            if not self._receive():
                return None
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _receive(self) -> bool:
        data = self._sock.recv(65536)
        self._buffer += data
        return bool(data)

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def send_answer(self, answer: Answer, request: Request) -> None:
        body = answer.payload
        head = answer.head(len(body))
        self.send(head if request.method == "HEAD" else head + body)

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than the server runs.

        :raises ConnectionAbortedError: the server stops.
        """
        if self.closing.wait(seconds):
            raise ConnectionAbortedError

    def wait_until_left(self) -> None:
        """Wait until the client has left, or the server stops."""
        while self._receive():
            pass


#: Answers a request; None where the connection has been used up.
Handle = t.Callable[[Connection, Request], Answer | None]


class Server:
    """Listens on a port of its own, on 127.0.0.1, from :meth:`start` to :meth:`stop`."""

    def __init__(self, handle: Handle, tls: ssl.SSLContext | None = None) -> None:
        self._handle = handle
        self._tls = tls
        self._numbers = itertools.count(1)
        self._socket = _bind(0)
        self.port: int = self._socket.getsockname()[1]
        self._closing = threading.Event()
        self._accepting: threading.Thread | None = None
        self._serving: dict[threading.Thread, socket.socket] = {}

    def start(self) -> None:
        """Accept connections. Before, and after :meth:`pause`, they are refused."""
        if self._accepting is None:
            self._closing = threading.Event()
            self._socket.listen(256)
            self._accepting = threading.Thread(target=self._accept, name="provider-accept")
            self._accepting.start()

    def pause(self) -> None:
        """Cut all connections and refuse new ones; the port stays taken."""
        self._end()
        self._socket = _bind(self.port)

    def stop(self) -> None:
        """Cut all connections, give the port back, and wait for all threads."""
        self._end()

    def _end(self) -> None:
        self._closing.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._socket.close()
        if self._accepting is not None:
            self._accepting.join(PATIENCE)
            self._accepting = None
        give_up = time.monotonic() + PATIENCE
        while serving := list(self._serving.items()):
            for thread, sock in serving:
                _shut_down(sock)
                thread.join(0.2)
                if thread.is_alive() and time.monotonic() > give_up:
                    raise RuntimeError(f"{thread.name} does not end.")

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                sock, _address = self._socket.accept()
            except OSError:
                return
            number = next(self._numbers)
            thread = threading.Thread(
                target=self._serve, args=(sock, number, self._closing), name=f"provider-{number}"
            )
            self._serving[thread] = sock
            thread.start()

    def _serve(self, sock: socket.socket, number: int, closing: threading.Event) -> None:
        thread = threading.current_thread()
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                sock.settimeout(PATIENCE / 2)
                wrap = self._tls.wrap_socket
                sock = tls = wrap(sock, server_side=True, do_handshake_on_connect=False)
                self._serving[thread] = tls
                tls.do_handshake()
                sock.settimeout(None)
            self._converse(Connection(sock, number, closing))
        except OSError:
            pass  # the client has left, or does not trust the certificate
        finally:
            sock.close()
            self._serving.pop(thread, None)

    def _converse(self, connection: Connection) -> None:
        while not connection.closing.is_set() and (request := connection.read_request()):
            try:
                answer = self._handle(connection, request)
            except OSError:
                raise
            except BaseException:
                connection.send_answer(Answer(500, "The provider of the tests broke."), request)
                raise
            if answer is None:
                return
            connection.send_answer(answer, request)
            if request.headers.get("Connection", "").lower() == "close":
                return


def _bind(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    return sock


def _shut_down(sock: socket.socket) -> None:
    """End whatever another thread waits for at a socket."""
    with contextlib.suppress(OSError):
        # Not SSLSocket's own, which would take TLS away from under a thread that reads.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _common_name(sock: socket.socket) -> str | None:
    certificate: t.Any = sock.getpeercert() if isinstance(sock, ssl.SSLSocket) else None
    names = [pair for part in (certificate or {}).get("subject", ()) for pair in part]
    return next((value for name, value in names if name == "commonName"), None)
