"""The most that gunicorn, with its own settings, accepts of cookies."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.support.apps import serve
from tests.support.provider import Browser, Provider


@pytest.mark.security("C4")
def test_gunicorn_takes_whatever_the_browser_keeps(provider: Provider, tmp_path: Path) -> None:
    accepted = 0
    with serve(provider, tmp_path, workers=1) as site:
        for size in range(1000, 9000, 500):
            provider.access_token_size = size
            browser = Browser(site.url, provider)
            response = browser.sign_in()
            assert response.status_code in {302, 502}
            if response.status_code == 302:
                accepted = size
                url = ""
                for _ in range(10):
                    url = browser.begin(f"/login?next=/{secrets.token_hex(90)}")
                assert browser.fetch("/call/x").status_code == 200
                assert browser.finish(url).status_code == 302
    assert accepted >= 5000
