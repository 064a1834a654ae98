"""npm's oidc-provider, the certified one, and an app that signs in at it."""

from __future__ import annotations

import contextlib
import html
import json
import os
import re
import subprocess
import threading
import typing as t
from http.cookiejar import Cookie
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests
from requests.cookies import RequestsCookieJar
from werkzeug.serving import make_server

from .servers import free_port

if t.TYPE_CHECKING:
    from flask import Flask

    from .provider.tls import Files

_FORM = re.compile(r'<form[^>]* action="([^"]*)"')
_INPUT = re.compile(r"<input[^>]*>")
_BUTTON = re.compile(r"<button[^>]*>")
_ATTRIBUTE = re.compile(r'(name|value)="([^"]*)"')

FOLDER = Path(__file__).parent / "oidc_provider"
NODE = FOLDER / "node_modules" / ".bin" / "node"


class LoopbackCookies(RequestsCookieJar):
    """Cookies as browsers send them to this machine: Secure ones by http, too."""

    def set_cookie(self, cookie: Cookie, *arguments: t.Any, **named: t.Any) -> None:
        cookie.secure = False
        super().set_cookie(cookie, *arguments, **named)


class Site(t.NamedTuple):
    """An app that is served, and the provider it signs in at."""

    app: Flask
    url: str
    issuer: str


class Visited(t.Protocol):
    """An app, and the provider it signs in at."""

    @property
    def url(self) -> str: ...

    @property
    def issuer(self) -> str: ...


class Provider(t.NamedTuple):
    """The provider, which runs."""

    issuer: str
    #: What it has granted and refused, in order, such as ``"granted refresh_token"``.
    events: list[str]


@contextlib.contextmanager
def certified_provider(
    url: str,
    *,
    port: int | None = None,
    client: t.Mapping[str, t.Any] | None = None,
    configuration: t.Mapping[str, t.Any] | None = None,
    tls: Files | None = None,
    require_nonce: bool | None = None,
    first_lifetime: int | None = None,
) -> t.Iterator[Provider]:
    """Run the provider with the app at a URL as its client.

    :param port: where it is to listen.
    :param client: the client's metadata that differ from those in ``server.mjs``.
    :param configuration: the provider's configuration that differs, such as
        ``{"features": {"dPoP": {"enabled": True}}}``.
    :param require_nonce: whether it demands a nonce in each proof; None where it has no nonces.
    :param tls: the certificates of a provider that is served over https, and asks clients for one.
    :param first_lifetime: the seconds for which the access token of a sign-in is valid. Those of
        refreshes are valid for an hour.
    """
    if not NODE.exists():
        reason = "needs npm's oidc-provider: npm install --prefix tests/support/oidc_provider"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    port = port or free_port()
    settings: dict[str, t.Any] = {"client": client or {}, "configuration": configuration or {}}
    if require_nonce is not None:
        settings["requireNonce"] = require_nonce
    if first_lifetime is not None:
        settings["firstLifetime"] = first_lifetime
    if tls:
        settings["tls"] = {"server": Path(tls.server).read_text(), "ca": Path(tls.ca).read_text()}
    command = [str(NODE), str(FOLDER / "server.mjs"), str(port), url, json.dumps(settings)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        output, events = process.stdout, list[str]()
        first = output.readline().strip()
        reader = threading.Thread(target=lambda: events.extend(line.strip() for line in output))
        reader.start()
        try:
            assert first == "listening"
            yield Provider(issuer_of(port, tls), events)
        finally:
            process.terminate()
            reader.join()


def issuer_of(port: int, tls: Files | None = None) -> str:
    return f"{'https' if tls else 'http'}://localhost:{port}"


@contextlib.contextmanager
def certified_site(
    make_app: t.Callable[[str], Flask], *, tls: Files | None = None, **provider: t.Any
) -> t.Iterator[Site]:
    """Serve an app, and the provider with that app as its client.

    :param make_app: makes the app, called with the provider's issuer.
    :param provider: what :func:`certified_provider` takes.
    """
    port, issuer_port = free_port(), free_port()
    url, issuer = f"http://127.0.0.1:{port}", issuer_of(issuer_port, tls)
    app = make_app(issuer)
    server = make_server("127.0.0.1", port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        with certified_provider(url, port=issuer_port, tls=tls, **provider):
            yield Site(app, url, issuer)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sign_in(
    site: Visited, path: str = "/me", *, name: str = "ada", verify: str | bool = True
) -> tuple[requests.Session, requests.Response]:
    """Go to a page that asks for a sign-in, and answer the provider's forms, without a browser.

    :param verify: the certificate of the authority of a provider over https.
    :returns: the visitor, and the page at the end of all redirects.
    """
    visitor = requests.Session()
    visitor.verify = verify
    # Its certificates and proxies would go before these.
    visitor.trust_env = False
    visitor.headers["Accept"] = "text/html"
    visitor.cookies = LoopbackCookies()
    response = visitor.get(f"{site.url}{path}")
    return visitor, answer_forms(visitor, response, site.issuer, login=name, password="any")


def answer_forms(
    visitor: requests.Session, response: requests.Response, issuer: str, **values: str
) -> requests.Response:
    """Submit the forms of the provider's pages until one has none, or is another server's.

    :param values: what a person types into the fields of these names, or presses.
    """
    for _ in range(8):
        form = _FORM.search(response.text)
        if form is None or not response.url.startswith(issuer):
            break
        # Buttons may stand outside of the form. The first is the one that goes on.
        buttons = _BUTTON.findall(response.text)
        tags = [*_INPUT.findall(response.text), *buttons[:1]]
        inputs = [dict(_ATTRIBUTE.findall(each)) for each in tags]
        fields = {
            each["name"]: html.unescape(each.get("value", "")) for each in inputs if "name" in each
        }
        typed = {name: value for name, value in values.items() if f'name="{name}"' in response.text}
        url = urljoin(response.url, html.unescape(form[1]))
        response = visitor.post(url, data={**fields, **typed})
    return response
