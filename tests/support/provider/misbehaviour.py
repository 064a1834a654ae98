"""The ways in which a provider can fail its clients, each as a value for `Provider.on`."""

from __future__ import annotations

import dataclasses
import functools
import threading
import typing as t
import zlib

from .messages import Answer, Request
from .server import Connection

Behave = t.Callable[[], Answer]


class Misbehaviour:
    """Something other than an answer.

    :meth:`play` has the connection for itself, and may handle the request by ``behave``, with all
    that follows of it. It returns an answer to send, or None to close the connection.
    """

    def play(self, connection: Connection, request: Request, behave: Behave) -> Answer | None:
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Hang(Misbehaviour):
    """Reads the request, and never answers."""

    def play(self, connection: Connection, request: Request, behave: Behave) -> Answer | None:
        connection.wait_until_left()
        return None


class Hold(Misbehaviour):
    """Answers well, but not before a test says so.

    :param handled: True handles the request when it arrives; else when it is released.
    """

    def __init__(self, handled: bool = False) -> None:
        self._handled = handled
        self._arrived = threading.Event()
        self._released = threading.Event()

    def wait(self, seconds: float = 30) -> None:
        """Wait until a request is held.

        :raises TimeoutError: none came.
        """
        if not self._arrived.wait(seconds):
            raise TimeoutError(f"No request within {seconds} seconds.")

    def release(self) -> None:
        """Let all requests go that are held, and those to come."""
        self._released.set()

    def play(self, connection: Connection, request: Request, behave: Behave) -> Answer | None:
        answer = behave() if self._handled else None
        self._arrived.set()
        while not self._released.wait(0.02):
            if connection.closing.is_set():
                return None
        return answer or behave()


@dataclasses.dataclass(frozen=True)
class Cut(Misbehaviour):
    """Closes the connection without an answer, having handled the request or not."""

    handled: bool

    def play(self, connection: Connection, request: Request, behave: Behave) -> Answer | None:
        if self.handled:
            behave()
        return None


@dataclasses.dataclass(frozen=True)
class CutInHeaders(Misbehaviour):
    """Handles the request, and closes amid the headers: to http.client a good answer, and empty."""

    def play(self, connection: Connection, request: Request, behave: Behave) -> Answer | None:
        head = behave().head(0)
        connection.send(head[: head.index(b"\r\n") + 4])
        return None


@dataclasses.dataclass(frozen=True)
class Drip(Misbehaviour):
    """Handles the request, and sends the answer byte by byte.

    :param part: where it begins to drip.
    :param seconds: between two bytes.
    """

    part: t.Literal["status", "headers", "body"]
    seconds: float = 0.2

    def play(self, connection: Connection, request: Request, behave: Behave) -> Answer | None:
        answer = behave()
        body = answer.payload
        head = answer.head(len(body), Connection="close")
        start = {"status": 0, "headers": head.index(b"\r\n") + 2, "body": len(head)}[self.part]
        data = head + body
        connection.send(data[:start])
        for byte in data[start:]:
            connection.sleep(self.seconds)
            connection.send(bytes([byte]))
        return None


@dataclasses.dataclass(frozen=True)
class EndlessBody(Misbehaviour):
    """A JSON body in chunks that never ends.

    :param seconds: between two chunks of 16 KiB.
    """

    seconds: float = 0

    def play(self, connection: Connection, request: Request, behave: Behave) -> Answer | None:
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
        connection.send(f"{head}\r\n".encode())
        connection.send(b'c\r\n{"padding":"\r\n')
        chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
        while True:
            connection.send(chunk)
            connection.sleep(self.seconds)


@dataclasses.dataclass(frozen=True)
class EndlessContinue(Misbehaviour):
    """An interim answer again and again.

    :param seconds: between two of them.
    """

    seconds: float = 0.05

    def play(self, connection: Connection, request: Request, behave: Behave) -> Answer | None:
        while True:
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            connection.sleep(self.seconds)


@dataclasses.dataclass(frozen=True)
class ZipBomb(Misbehaviour):
    """Handles the request; the answer is tiny on the wire, behind megabytes of white space.

    :param megabytes: after inflation.
    """

    megabytes: int = 100

    def play(self, connection: Connection, request: Request, behave: Behave) -> Answer | None:
        answer = behave()
        bomb = _gzip_spaces(self.megabytes, answer.payload)
        return dataclasses.replace(
            answer,
            body=bomb,
            content_type="application/json",
            headers={**answer.headers, "Content-Encoding": "gzip"},
        )


def _gzip_spaces(megabytes: int, end: bytes) -> bytes:
    begun, compressor = _begin_gzip(megabytes)
    compressor = compressor.copy()
    rest: bytes = compressor.compress(end) + compressor.flush()
    return begun + rest


@functools.cache
def _begin_gzip(megabytes: int) -> tuple[bytes, t.Any]:
    compressor = zlib.compressobj(level=1, wbits=31)
    spaces = b" " * 1024 * 1024
    return b"".join(compressor.compress(spaces) for _ in range(megabytes)), compressor


@dataclasses.dataclass(frozen=True)
class TooLong(Misbehaviour):
    """Handles the request, promises more than the answer's length, and closes.

    :param extra: how many bytes more.
    """

    extra: int = 1000

    def play(self, connection: Connection, request: Request, behave: Behave) -> Answer | None:
        answer = behave()
        body = answer.payload
        connection.send(answer.head(len(body) + self.extra) + body)
        return None


@dataclasses.dataclass(frozen=True)
class Garbage(Misbehaviour):
    """Answers with something that is no HTTP."""

    data: bytes = b"\x16\x03\x01\x00SSH-2.0-nothing\r\n\x00\xff\xfe\r\n\r\n"

    def play(self, connection: Connection, request: Request, behave: Behave) -> Answer | None:
        connection.send(self.data)
        return None


HANG = Hang()
CUT_BEFORE = Cut(handled=False)
CUT_AFTER = Cut(handled=True)
CUT_IN_HEADERS = CutInHeaders()
DRIP_STATUS = Drip("status")
DRIP_HEADERS = Drip("headers")
DRIP_BODY = Drip("body")
ENDLESS_BODY = EndlessBody()
ENDLESS_CONTINUE = EndlessContinue()
ZIP_BOMB = ZipBomb()
TOO_LONG_CONTENT_LENGTH = TooLong()
GARBAGE = Garbage()
