"""Where one may go after a sign-in: a path on this host, whatever a browser makes of it."""

from __future__ import annotations

import pytest
from flask import Flask

from flask_oauth2_login.web.next_url import MAX_NEXT, current_page, own_path, safe_next


@pytest.mark.security("A8")
@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/me",
        "/a/b?c=d&e=//f#g",
        "/search?q=https://example.com/",
        "/caf%C3%A9",
        "/a//b",
        "/.well-known/x",
        "/..a//b",
        "/x" * (MAX_NEXT // 2),
    ],
)
def test_a_path_is_returned_as_it_is(target: str) -> None:
    assert safe_next(target) == target


@pytest.mark.parametrize(
    ("target", "kept"),
    [("/?", "/"), ("/me?", "/me"), ("/me?a=b?", "/me?a=b?"), ("/me#a?", "/me#a?"), ("//?", None)],
)
def test_an_empty_query_is_left_out(target: str, kept: str | None) -> None:
    """Flask's `request.full_path` has one on each page without a query."""
    assert safe_next(target) == kept


@pytest.mark.security("A8")
@pytest.mark.parametrize(
    "target",
    [
        None,
        "",
        "me",
        "https://evil.example/",
        "javascript:alert(1)",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "/\t/evil.example",
        "/a\r\nSet-Cookie: b=c",
        "/\x7f",
        # What a browser removes from the beginning of a path.
        "/.//evil.example",
        "/..//evil.example",
        "/././/evil.example",
        # What a proxy decodes once more, and then once more.
        "/%2Fevil.example",
        "/%5Cevil.example",
        "/%252Fevil.example",
        "/%255Cevil.example",
        "/%0D%0Ab",
        "/%2E%2F/evil.example",
        "/" + "x" * MAX_NEXT,
    ],
)
def test_anything_else_leads_nowhere(target: str | None) -> None:
    assert safe_next(target) is None


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://localhost/me", "/me"),
        ("http://localhost/me?a=b#c", "/me?a=b"),
        ("http://localhost:80/me", None),
        ("https://localhost/me", None),
        ("http://localhost.evil.example/me", None),
        ("http://user@localhost/me", None),
        ("http://localhost//evil.example", None),
        ("http://[", None),
        ("/me", None),
        ("", None),
        (None, None),
    ],
)
def test_only_a_url_of_this_origin_has_a_path_of_ours(url: str | None, path: str | None) -> None:
    with Flask("app").test_request_context("/"):
        assert own_path(url) == path


@pytest.mark.parametrize(
    ("method", "headers", "path"),
    [
        ("GET", {}, "/a%20b?c=d"),
        ("HEAD", {}, "/a%20b?c=d"),
        # A form, a frame and a script are on the page that they name.
        ("POST", {"Referer": "http://localhost/form"}, "/form"),
        ("POST", {"Referer": "https://evil.example/form"}, None),
        ("POST", {}, None),
        ("GET", {"Sec-Fetch-Dest": "iframe", "Referer": "http://localhost/outer"}, "/outer"),
        ("GET", {"HX-Request": "true", "HX-Current-URL": "http://localhost/list?p=2"}, "/list?p=2"),
        ("GET", {"HX-Request": "true"}, None),
    ],
)
def test_the_page_that_a_visitor_is_on(
    method: str, headers: dict[str, str], path: str | None
) -> None:
    with Flask("app").test_request_context("/a b?c=d", method=method, headers=headers):
        assert current_page() == path


def test_the_page_of_a_mounted_app_has_its_mount() -> None:
    with Flask("app").test_request_context("/me", base_url="http://localhost/below"):
        assert current_page() == "/below/me"
