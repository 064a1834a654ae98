"""`run`: the provider in a thread, for tests and the example."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import typing as t
from urllib.parse import urlsplit

import requests
from flask.testing import FlaskClient
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from ...client.openid import OpenIDConnect
from .app import People, make_app

#: It accepts every client. These are what the guides write.
CLIENT_ID, CLIENT_SECRET = "dev", "dev-secret"


class _QuietHandler(WSGIRequestHandler):
    """Logs no requests, because codes are in their URLs."""

    def log_request(self, *_args: t.Any) -> None:
        pass


@dataclasses.dataclass(frozen=True)
class DevProvider:
    """A running provider.

    The fixture ``oauth2_login_provider`` is one.
    """

    issuer: str

    def handler(self, **options: t.Any) -> OpenIDConnect:
        """Return a handler for this provider.

        :param options: more options of :class:`OpenIDConnect`.
        """
        return OpenIDConnect(CLIENT_ID, CLIENT_SECRET, self.issuer, **options)

    def sign_in(self, client: FlaskClient, login: str = "/login", sub: str = "ada") -> t.Any:
        """Sign somebody in the whole way: ``/login``, the provider's page, ``/callback``.

        :param client: the test client that stands for the browser.
        :param login: the URL of ``/login`` in the app, or of a guarded page.
        :param sub: who presses the button at the provider.
        :returns: the response of ``/callback``.
        """
        location = login
        while not location.startswith(self.issuer):
            location = str(client.get(location, headers={"Accept": "text/html"}).location)
        with requests.Session() as visitor:
            visitor.trust_env = False
            answer = visitor.post(location, data={"sub": sub}, allow_redirects=False, timeout=10)
        back = urlsplit(answer.headers["Location"])
        return client.get(f"{back.path}?{back.query}")


def make_dev_server(port: int, people: People | None = None, **options: t.Any) -> BaseWSGIServer:
    """Return a server on ``localhost`` that listens, and does not serve yet.

    :param port: 0 takes a free one.
    :param people: who can sign in, by ``sub``, with their claims; by default Ada and Grace.
    :param options: see :func:`make_app`.
    """
    app = make_app(people, **options)
    return make_server("localhost", port, app, threaded=True, request_handler=_QuietHandler)


@contextlib.contextmanager
def run(port: int = 0, people: People | None = None, **options: t.Any) -> t.Iterator[DevProvider]:
    """Run a provider in a thread of this process. The parameters are those of `make_dev_server`."""
    server = make_dev_server(port, people, **options)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    thread.start()
    try:
        yield DevProvider(f"http://localhost:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
