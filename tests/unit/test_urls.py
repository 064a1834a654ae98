"""URLs: joined, given parameters, and told apart by whom they may give a secret to."""

from __future__ import annotations

import typing as t

import pytest

from flask_oauth2_login import ConfigurationError
from flask_oauth2_login.protocol.urls import (
    add_params,
    is_absolute,
    is_loopback,
    is_loopback_http,
    is_secure_url,
    join,
    origin,
    require_https,
)


@pytest.mark.parametrize(
    ("base", "path", "joined"),
    [
        ("https://p.example", "token", "https://p.example/token"),
        ("https://p.example/", "token", "https://p.example/token"),
        ("https://p.example/", "/token", "https://p.example/token"),
        ("https://p.example/v1", "/token", "https://p.example/v1/token"),
        ("https://p.example/v1/", "", "https://p.example/v1/"),
        ("https://p.example/v1", "https://q.example/token", "https://q.example/token"),
        # A URL in a query makes no other URL.
        (
            "https://p.example",
            "go?to=https://q.example",
            "https://p.example/go?to=https://q.example",
        ),
    ],
)
def test_join(base: str, path: str, joined: str) -> None:
    assert join(base, path) == joined


@pytest.mark.parametrize(
    ("url", "absolute"),
    [
        ("https://p.example", True),
        ("HTTP://p.example", True),
        ("myapp+x://callback", True),
        ("//p.example", False),
        ("/a", False),
        ("a?b=https://p.example", False),
        ("mailto:a@p.example", False),
        ("", False),
    ],
)
def test_is_absolute(url: str, absolute: bool) -> None:
    assert is_absolute(url) is absolute


@pytest.mark.parametrize(
    ("url", "params", "result"),
    [
        ("https://p.example/a", {"b": "c d"}, "https://p.example/a?b=c%20d"),
        ("https://p.example/a?x=1", {"b": "c"}, "https://p.example/a?x=1&b=c"),
        ("https://p.example/a?x=1&y=2", {"x": "3"}, "https://p.example/a?y=2&x=3"),
        ("https://p.example/a?x=%2F", {"b": "/"}, "https://p.example/a?x=%2F&b=%2F"),
        ("https://p.example/a", {"b": ["c", "d"]}, "https://p.example/a?b=c&b=d"),
        ("https://p.example/a", {"b": None, "c": ""}, "https://p.example/a?c="),
        ("https://p.example/a", {"b": {"c": 1}}, "https://p.example/a?b=%7B%22c%22%3A%201%7D"),
        ("https://p.example/a#f", {"b": 1}, "https://p.example/a?b=1#f"),
        ("https://p.example/a?x=1", {}, "https://p.example/a?x=1"),
        ("https://p.example/a", {"b": "ü&="}, "https://p.example/a?b=%C3%BC%26%3D"),
    ],
)
def test_add_params(url: str, params: dict[str, t.Any], result: str) -> None:
    assert add_params(url, params) == result


@pytest.mark.security("C3")
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://p.example/a", "https://p.example:443"),
        ("https://p.example:443/", "https://p.example:443"),
        ("HTTPS://P.Example", "https://p.example:443"),
        ("http://p.example", "http://p.example:80"),
        ("http://p.example:8080/", "http://p.example:8080"),
        ("https://user:password@p.example/", "https://p.example:443"),
        # Two parsers that differ here would send a token to the wrong host.
        ("https://p.example\\@q.example/", "https://p.example:443"),
        ("https://[::1]/", "https://[::1]:443"),
        ("p.example", ""),
        ("/a", ""),
        ("https://[", ""),
        ("", ""),
    ],
)
def test_origin(url: str, expected: str) -> None:
    assert origin(url) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("app.localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("[::1]", True),
        ("::1", True),
        ("0.0.0.0", False),  # noqa: S104
        ("10.0.0.1", False),
        ("localhost.evil.example", False),
        ("notlocalhost", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
    ],
)
def test_is_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.security("B2")
@pytest.mark.parametrize(
    ("url", "hosts", "secure"),
    [
        ("https://p.example/token", (), True),
        ("http://p.example/token", (), False),
        ("http://localhost:8000/token", (), True),
        ("http://[::1]/token", (), True),
        ("http://p.internal/token", ("p.internal",), True),
        ("http://p.internal:81/token", ("p.internal",), True),
        ("http://p.internal:81/token", ("p.internal:80",), False),
        ("http://p.internal:80/token", ("p.internal:80",), True),
        ("http://[fd00::1]/token", ("fd00::1",), True),
        ("http://q.internal/token", ("p.internal",), False),
        ("ftp://localhost/token", (), False),
        ("https://", (), False),
        ("//p.example/token", (), False),
        ("token", (), False),
        ("http://[", (), False),
    ],
)
def test_a_secret_goes_by_https_or_to_a_host_that_is_named(
    url: str, hosts: tuple[str, ...], secure: bool
) -> None:
    assert is_secure_url(url, hosts) is secure
    if secure:
        assert require_https(url, "token_url", hosts) == url
    else:
        with pytest.raises(ConfigurationError, match=r"token_url is .*https://"):
            require_https(url, "token_url", hosts)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:5000/", True),
        ("http://localhost/", True),
        ("https://localhost/", False),
        ("http://p.example/", False),
        ("localhost", False),
    ],
)
def test_what_passes_by_no_proxy(url: str, expected: bool) -> None:
    assert is_loopback_http(url) is expected
