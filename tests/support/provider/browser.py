"""A small browser for sign-in flows: navigates as Chromium does, with the cookies it would send."""

from __future__ import annotations

import re
import typing as t
from html import unescape
from urllib.parse import urlencode, urljoin, urlsplit

import urllib3
from flask import Flask
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder, TestResponse

from .cookies import Cookie, CookieJar, Site, is_trustworthy
from .grants import Claims
from .provider import Provider

#: Pages that one request may lead through.
MAX_STEPS = 10
HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"

_REFRESH = re.compile(
    r"""<meta\s+http-equiv=["']refresh["']\s+content=["']0;\s*url=([^"']*)["']""", re.I
)
_LINK = re.compile(r'href="([^"]*[?&](?:amp;)?link=1[^"]*)"')


class Browser:
    """One visitor of one app.

    .. code-block:: python

        browser = Browser(app, provider=provider)
        browser.sign_in()
        browser.get("/me").json

    :param app: an app, which is called in this process, or the URL of a running one.
    :param provider: where :meth:`sign_in` consents.
    :param base_url: of an app in this process; a path in it is where the app is mounted.
    """

    def __init__(
        self,
        app: Flask | str,
        provider: Provider | None = None,
        *,
        base_url: str = "http://localhost",
    ) -> None:
        self._app = app if isinstance(app, Flask) else None
        self._provider = provider
        self.base_url = (base_url if isinstance(app, Flask) else app).rstrip("/")
        parts = urlsplit(self.base_url)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self._root = parts.path
        self.jar = CookieJar()

    @property
    def cookies(self) -> list[Cookie]:
        """The cookies that the browser has."""
        return list(self.jar)

    def cookie(self, name: str) -> Cookie | None:
        """The cookie of this name, if the browser has it."""
        return next((cookie for cookie in self.jar if cookie.name == name), None)

    # -- requests

    def get(self, path: str, *, site: Site = "none", **more: t.Any) -> TestResponse:
        """Go to a page: by the address bar, or by a link where ``site`` says which.

        :param path: an absolute path as the browser sees it, or a URL of the app.
        :param more: see :meth:`send`.
        """
        return self.send("GET", path, site=site, **more)

    def post(
        self,
        path: str,
        data: t.Mapping[str, str] | None = None,
        *,
        site: Site = "same-origin",
        origin: str | None = None,
        **more: t.Any,
    ) -> TestResponse:
        """Submit a form: the app's own, or another site's where ``site`` says so.

        :param origin: of the page with the form; by default the app's, or ``null`` of others.
        :param more: see :meth:`send`.
        """
        origin = origin or (self.origin if site == "same-origin" else "null")
        headers = {"Origin": origin, "Content-Type": "application/x-www-form-urlencoded"}
        headers |= more.pop("headers", {})
        return self.send(
            "POST", path, urlencode(data or {}).encode(), site=site, headers=headers, **more
        )

    def fetch(self, path: str, method: str = "GET", **more: t.Any) -> TestResponse:
        """Ask by a script of the app's own page.

        :param more: see :meth:`send`.
        """
        headers = {"Accept": "*/*"} | more.pop("headers", {})
        if method not in {"GET", "HEAD"}:
            headers.setdefault("Origin", self.origin)
        more = {"site": "same-origin", "mode": "cors", "dest": "empty", **more}
        return self.send(method, path, headers=headers, **more)

    def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        site: Site = "none",
        mode: str = "navigate",
        dest: str = "document",
        headers: t.Mapping[str, str | None] | None = None,
    ) -> TestResponse:
        """Send one request, and follow nothing.

        :param site: where it comes from, in the words of Sec-Fetch-Site.
        :param mode: Sec-Fetch-Mode.
        :param dest: Sec-Fetch-Dest.
        :param headers: sent as well, or instead; None takes one away.
        """
        url = self._url(path)
        top_level = mode == "navigate" and dest == "document"
        own = {"User-Agent": "Mozilla/5.0 Chrome/140.0", "Accept": HTML, "Accept-Language": "en"}
        if is_trustworthy(urlsplit(url)):
            own |= {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
        if mode == "navigate":
            own["Upgrade-Insecure-Requests"] = "1"
        safe = method in {"GET", "HEAD"}
        if cookies := self.jar.header(url, site, safe=safe, top_level=top_level):
            own["Cookie"] = cookies
        all_headers = {k: v for k, v in {**own, **(headers or {})}.items() if v is not None}
        send = self._send_in_process if self._app is not None else _send_over_http
        response = send(method, url, all_headers, body)
        self.jar.take(url, response.headers.getlist("Set-Cookie"), site, top_level=top_level)
        return response

    def _url(self, path: str) -> str:
        url = urljoin(f"{self.origin}/", path)
        if not f"{url}/".startswith(f"{self.origin}/"):
            raise ValueError(f"{url!r} is not at {self.origin}.")
        return url.partition("#")[0]

    def _send_in_process(
        self, method: str, url: str, headers: dict[str, str], body: bytes
    ) -> TestResponse:
        assert self._app is not None
        parts = urlsplit(url)
        path = parts.path.removeprefix(self._root) or "/"
        builder = EnvironBuilder(
            path=path,
            base_url=self.base_url,
            query_string=parts.query,
            method=method,
            headers=Headers(headers),
            data=body or None,
        )
        client = self._app.test_client(use_cookies=False)
        try:
            return client.open(builder)
        finally:
            builder.close()

    # -- flows

    def follow(self, response: TestResponse, *, site: Site = "same-origin") -> TestResponse:
        """Follow redirects, and pages that go on by themselves, while they stay at the app.

        A redirect keeps the ``site`` of what it answers; a page that goes on is the app's own.

        :returns: the first answer that leads nowhere else, or to another origin.
        """
        for _ in range(MAX_STEPS):
            target, by_page = next_step(response)
            if target is None or not self._is_own(target):
                return response
            site = "same-origin" if by_page else site
            response = self.get(target, site=site)
        raise AssertionError(f"More than {MAX_STEPS} steps, the last to {response.request.url}.")

    def _is_own(self, url: str) -> bool:
        return f"{urljoin(self.origin, url)}/".startswith(f"{self.origin}/")

    def begin(self, login_path: str = "/login") -> str:
        """Begin a sign-in by a link of the app's own page.

        :returns: the URL at the provider where the app sends the browser.
        :raises AssertionError: it sends it nowhere.
        """
        response = self.follow(self.get(login_path, site="same-origin"))
        target, _by_page = next_step(response)
        assert target is not None, f"{login_path}: {response.status}\n{response.text}"
        return target

    def finish(
        self,
        authorize_url: str,
        *,
        provider: Provider | None = None,
        person: Claims | None = None,
        **overrides: t.Any,
    ) -> TestResponse:
        """Consent at the provider and take its answer home, as a link or form of its page does.

        A page of the app that goes on by itself is followed; a redirect is not.

        :param person: see `Provider.consent`, as for ``overrides``.
        :returns: the answer of the callback.
        """
        provider = provider or self._provider
        assert provider is not None, "Browser(app, provider) or sign_in(provider=…)"
        answer = provider.answer(authorize_url, person=person, **overrides)
        if answer.mode == "form_post":
            response = self.post(
                answer.redirect_uri, answer.params, site="cross-site", origin=provider.url
            )
        else:
            response = self.get(answer.url, site="cross-site")
        target, by_page = next_step(response)
        if by_page and target is not None and self._is_own(target):
            return self.get(target, site="same-origin")
        return response

    def sign_in(
        self,
        login_path: str = "/login",
        *,
        provider: Provider | None = None,
        person: Claims | None = None,
        **overrides: t.Any,
    ) -> TestResponse:
        """Sign in: :meth:`begin`, then :meth:`finish`."""
        authorize_url = self.begin(login_path)
        return self.finish(authorize_url, provider=provider, person=person, **overrides)

    def link_path(self, login_path: str = "/login") -> str:
        """The path that adds an account, from the page that asks whether one is to be added."""
        page = self.get(f"{login_path}?link=1", site="same-origin")
        found = _LINK.search(page.text)
        assert found is not None, f"{page.status}\n{page.text}"
        return unescape(found[1])


def next_step(response: TestResponse) -> tuple[str | None, bool]:
    """Where an answer leads by itself, and whether a page does it rather than a redirect."""
    if 300 <= response.status_code < 400:
        return response.headers.get("Location"), False
    page = response.mimetype == "text/html" and _REFRESH.search(response.text)
    return (unescape(page[1]), True) if page else (None, False)


def _send_over_http(method: str, url: str, headers: dict[str, str], body: bytes) -> TestResponse:
    with urllib3.PoolManager(cert_reqs="CERT_NONE") as pool:
        got = pool.request(
            method, url, headers=headers, body=body or None, redirect=False, retries=False
        )
    request = EnvironBuilder(url, method=method).get_request()
    reason = f"{got.status} {got.reason or ''}"
    # The annotation of `history` is that of one earlier answer; there is none.
    history = t.cast(t.Any, ())
    return TestResponse([got.data], reason, Headers(list(got.headers.items())), request, history)
