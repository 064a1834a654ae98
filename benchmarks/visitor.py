"""Visitors who sign in at an app: what all of them do, and one whose requests are calls of WSGI.

Without a test client and a server, only the app's own time is measured.
"""

from __future__ import annotations

import io
import time
import typing as t
from urllib.parse import parse_qsl, urlencode, urlsplit

from flask import Flask

from .provider_process import make_code

HOST = "app.example"
#: Bytes of name and value beyond which a browser refuses a cookie.
LARGEST_COOKIE = 4096


class Response(t.NamedTuple):
    """What an app answered."""

    status: int
    location: str
    body: bytes


class Browser:
    """Somebody with a browser: one request after the other, and cookies."""

    def __init__(self) -> None:
        self.cookies: dict[str, str] = {}

    @property
    def cookie_header(self) -> str:
        """The cookies as they are sent."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def get(self, target: str) -> Response:
        """Send one request, with the cookies, and keep those of the answer."""
        raise NotImplementedError

    def keep(self, header: str) -> None:
        """Set or delete the cookie that a ``Set-Cookie`` header names."""
        pair, *attributes = header.split(";")
        name, _, value = pair.partition("=")
        ended = any(each.strip().lower() == "max-age=0" for each in attributes)
        if ended or not value:
            self.cookies.pop(name, None)
        elif len(pair) <= LARGEST_COOKIE:
            self.cookies[name] = value

    def sign_in(self, login: str = "/login") -> None:
        """Sign in as somebody who agrees at the provider at once. No page of it is requested.

        :param login: where the app begins a sign-in.
        """
        began = self.get(login)
        params = dict(parse_qsl(urlsplit(began.location).query))
        answer = {"code": make_code(params), "state": params["state"]}
        finished = self.get(f"{urlsplit(params['redirect_uri']).path}?{urlencode(answer)}")
        assert finished.status == 302, finished


class Visitor(Browser):
    """Somebody whose requests reach an app through WSGI.

    :param app: the app that is visited.
    :param clock: returns the seconds of CPU time that the process, or one thread, has taken.
    """

    def __init__(self, app: Flask, clock: t.Callable[[], float] = time.process_time) -> None:
        super().__init__()
        self._call = app.wsgi_app
        self._clock = clock
        #: Seconds of CPU time that the app has spent.
        self.spent = 0.0

    def get(self, target: str) -> Response:
        environ = self.make_environ(target)
        head: list[t.Any] = []

        def start_response(*arguments: t.Any) -> t.Any:
            head[:] = arguments

        started = self._clock()
        chunks = self._call(environ, start_response)
        body = b"".join(chunks)
        self.spent += self._clock() - started
        if hasattr(chunks, "close"):
            chunks.close()
        status, headers = head[0], head[1]
        location = ""
        for name, value in headers:
            if name.lower() == "set-cookie":
                self.keep(value)
            elif name.lower() == "location":
                location = value
        return Response(int(status[:3]), location, body)

    def make_environ(self, target: str) -> dict[str, t.Any]:
        """Return the environ of a request, as a server behind a proxy with TLS makes it."""
        path, _, query = target.partition("?")
        environ = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_NAME": HOST,
            "SERVER_PORT": "443",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "192.0.2.1",
            "HTTP_HOST": HOST,
            "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0",
            "HTTP_ACCEPT": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "HTTP_ACCEPT_LANGUAGE": "en-GB,en;q=0.5",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        if self.cookies:
            environ["HTTP_COOKIE"] = self.cookie_header
        return environ
