"""A browser at Keycloak's pages: its forms are filled in and sent, without scripts."""

from __future__ import annotations

import re
import typing as t
from html import unescape
from urllib.parse import urljoin

import requests
from werkzeug.test import TestResponse

from ..provider import Browser
from .server import Keycloak, Person

#: Redirects that one request may lead through.
MAX_STEPS = 10

_FORM = re.compile(r'<form[^>]*\baction="([^"]*)"[^>]*>(.*?)</form>', re.S)
_HIDDEN = re.compile(r'<input[^>]*type="hidden"[^>]*>')
_ATTRIBUTE = re.compile(r'\b(name|value)="([^"]*)"')


class Page(t.NamedTuple):
    """What a request led to: one of Keycloak's pages, or the way back to the app."""

    url: str
    #: The page's HTML; "" for a URL of the app, which is not requested.
    html: str


class Visitor:
    """Somebody's browser, which is signed in at Keycloak or not.

    :param browser: the same browser at the app.
    """

    def __init__(self, keycloak: Keycloak, browser: Browser) -> None:
        self._keycloak = keycloak
        self._browser = browser
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.verify = keycloak.ca

    def close(self) -> None:
        self._http.close()

    def open(self, url: str, method: str = "GET", data: t.Any = None) -> Page:
        """Send a request, and follow redirects for as long as they stay at Keycloak."""
        for _ in range(MAX_STEPS):
            if not url.startswith(f"https://{self._keycloak.domain}/"):
                return Page(url, "")
            response = self._http.request(method, url, data=data, allow_redirects=False, timeout=30)
            if not response.is_redirect:
                return Page(url, response.text)
            url, method, data = urljoin(url, response.headers["Location"]), "GET", None
        raise AssertionError(f"More than {MAX_STEPS} steps, the last to {url}.")

    def submit(self, page: Page, **fields: str) -> Page:
        """Send the form of a page, with its hidden fields."""
        form = _FORM.search(page.html)
        assert form is not None, f"{page.url} has no form:\n{page.html}"
        hidden = [dict(_ATTRIBUTE.findall(field)) for field in _HIDDEN.findall(form[2])]
        data = {field["name"]: unescape(field.get("value", "")) for field in hidden}
        url = urljoin(page.url, unescape(form[1]))
        return self.open(url, "POST", {**data, **fields})

    def log_in(self, url: str, person: Person) -> Page:
        """Open a URL that asks for a password, and give it."""
        return self.submit(self.open(url), username=person.name, password=person.password)

    def take_home(self, page: Page) -> TestResponse:
        """Open the app's URL that Keycloak has redirected to."""
        assert not page.html, f"Keycloak shows a page of its own, {page.url}:\n{page.html}"
        return self._browser.get(page.url, site="cross-site")

    def sign_in(self, person: Person, path: str = "/login") -> TestResponse:
        """Sign in at the app by a password; return the answer of the callback."""
        return self.take_home(self.log_in(self._browser.begin(path), person))
