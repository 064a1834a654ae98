"""URLs that are sent as they are written, without being parsed."""

from __future__ import annotations

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from flask_oauth2_login.protocol.http import PLAIN_URL


@given(st.from_regex(PLAIN_URL, fullmatch=True))
def test_requests_would_not_change_a_plain_url(url: str) -> None:
    prepared = requests.PreparedRequest()
    prepared.prepare_url(url, None)
    assert prepared.url == url


@pytest.mark.parametrize(
    "url",
    [
        "https://provider.example", "https://Provider.example/token", "https://ä.example/token",
        "https://provider.example:0443/token", "https://provider.example:99999/token",
        "https://id:secret@provider.example/token", "https://provider.example/a/../token",
        "https://provider.example/./token", "https://provider.example/%74oken",
        "https://provider.example/token?a=b", "https://provider.example/token#a",
        "https://provider.example/token\n", " https://provider.example/token",
    ],
)  # fmt: skip
def test_a_url_that_requests_would_read_in_another_way_is_not_plain(url: str) -> None:
    assert not PLAIN_URL.fullmatch(url)
