"""Which URLs the token may be sent to."""

from __future__ import annotations

import pytest

from flask_oauth2_login.client.resource_server import ResourceServer

API = ResourceServer(
    "https://api.example/v1",
    frozenset({
        "https://api.example:443",
        "https://other.example:8443",
        "https://odd.example:80",
        "http://inner:80",
        "http://named:8080",
        "http://plain:80",
        "http://[::1]:80",
    }),
    http_hosts=frozenset({"inner", "named:8080"}),
)  # fmt: skip


@pytest.mark.security("C3")
@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("https://api.example/v1/x?y#z", True),
        ("https://api.example", True),
        ("https://api.example?x", True),
        ("https://api.example:443/", True),
        ("HTTPS://API.example/x", True),
        ("https://other.example:8443/x", True),
        ("https://odd.example:80/x", True),
        ("http://inner/x", True),
        ("http://inner:80/x", True),
        ("http://named:8080/x", True),
        ("http://[::1]/x", True),
        ("https://user@api.example/", True),
        ("http://api.example/", False),
        ("https://api.example:8443/", False),
        ("https://other.example/", False),
        ("https://other.example:84439/", False),
        ("https://odd.example/", False),
        ("http://odd.example/", False),
        ("http://odd.example:80/", False),
        ("https://inner/", False),
        ("http://named/", False),
        ("http://plain/", False),
        ("http://plain:80/", False),
        ("https://api.example.evil.example/", False),
        ("https://api.example@evil.example/", False),
        ("https://api.example:443@evil.example/", False),
        # urllib3, which opens the connection, ends the host at a backslash.
        ("https://api.example\\@evil.example/", True),
        ("https://evil.example\\@api.example/", False),
        (" https://api.example/", False),
        ("https:/api.example/", False),
        ("//api.example/", False),
        ("https://evil.example/https://api.example/", False),
        ("ftp://api.example/", False),
        ("https://", False),
        ("", False),
    ],
)
def test_a_token_goes_to_secure_urls_of_the_api_alone(url: str, is_allowed: bool) -> None:
    assert API.allows_token(url) is is_allowed


@pytest.mark.security("C3")
def test_an_api_without_origins_gets_no_token() -> None:
    assert not ResourceServer("", frozenset()).allows_token("https://api.example/")
    assert not ResourceServer("", frozenset({""})).allows_token("")
