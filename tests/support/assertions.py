"""What tests ask of a response, a browser, or the provider."""

from __future__ import annotations

import typing as t
from urllib.parse import parse_qs, urlsplit

from .provider import Browser, Provider


def query_of(url: str) -> dict[str, str]:
    """The parameters of a URL; of several with one name, the first."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def is_signed_in(browser: Browser) -> bool:
    """True if the guarded page of `make_app` lets this browser in."""
    return browser.fetch("/me").status_code == 200


def assert_rejected(browser: Browser, provider: Provider, response: t.Any) -> None:
    """A sign-in ended in a page of ours, before a code was sent, and nobody is signed in."""
    assert 400 <= response.status_code < 500
    assert "<h1>" in response.text
    assert not provider.calls("/token")
    assert not is_signed_in(browser)


def refreshes(provider: Provider) -> int:
    """How many refreshes the provider was asked for."""
    return len(provider.calls("/token", grant_type="refresh_token"))
