"""Clients of an app that listens on a port of this machine: one who signs in, and a crowd.

The crowd has a few connections that are kept open. Each of them sends the next request as soon as
it has its answer. One thread does all of that, with as little work as possible, because it runs on
the machine that is measured.
"""

from __future__ import annotations

import http.client
import re
import selectors
import socket
import time
import typing as t

from ..visitor import Browser, Response

#: Seconds without any answer after which a measure fails.
PATIENCE = 30.0

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class WebVisitor(Browser):
    """Somebody who signs in over HTTP."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    def get(self, target: str) -> Response:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        try:
            headers = {"Cookie": self.cookie_header} if self.cookies else {}
            connection.request("GET", target, headers=headers)
            answer = connection.getresponse()
            for value in answer.headers.get_all("Set-Cookie", ()):
                self.keep(value)
            return Response(answer.status, answer.headers.get("Location", ""), answer.read())
        finally:
            connection.close()

    def request(self, target: str) -> bytes:
        """Return a request of this visitor as it is sent."""
        lines = (
            f"GET {target} HTTP/1.1",
            f"Host: 127.0.0.1:{self._port}",
            "Accept: text/html",
            f"Cookie: {self.cookie_header}",
        )
        return "\r\n".join((*lines, "", "")).encode()


class Sent(t.NamedTuple):
    """The outcome of many requests."""

    seconds: float
    #: Seconds from each request to the end of its answer.
    latencies: list[float]


def send(port: int, requests: t.Iterable[bytes], connections: int) -> Sent:
    """Send requests over a number of connections, and check that each is answered with success."""
    ahead, latencies = iter(list(requests)), []
    selector = selectors.DefaultSelector()
    opened = [socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(connections)]
    began = time.perf_counter()
    try:
        for each in opened:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            exchange = _Exchange(each)
            if exchange.send_next(ahead):
                selector.register(each, selectors.EVENT_READ, exchange)
        while selector.get_map():
            ready = selector.select(PATIENCE)
            assert ready, f"No answer has come for {PATIENCE} seconds."
            for key, _ in ready:
                if key.data.receive():
                    latencies.append(time.perf_counter() - key.data.began)
                    if not key.data.send_next(ahead):
                        selector.unregister(key.fileobj)
        return Sent(time.perf_counter() - began, latencies)
    finally:
        selector.close()
        for each in opened:
            each.close()


class _Exchange:
    """One connection: a request, and the part of its answer that has come."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._received = b""
        self.began = 0.0

    def send_next(self, requests: t.Iterator[bytes]) -> bool:
        """Send the next request. Return False if there is none."""
        request = next(requests, None)
        if request is None:
            return False
        self._received = b""
        self.began = time.perf_counter()
        self._socket.sendall(request)
        return True

    def receive(self) -> bool:
        """Return True once the answer is complete."""
        chunk = self._socket.recv(65536)
        assert chunk, f"The server has closed a connection after {self._received[:200]!r}."
        self._received += chunk
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return False
        assert head.startswith(b"HTTP/1.1 200 "), self._received
        length = _LENGTH.search(head)
        assert length is not None, head
        return len(body) >= int(length[1])
