"""What sent a request, by the headers that it came with."""

from __future__ import annotations

import pytest
from flask import Flask, request

from flask_oauth2_login.web.user_agent import (
    UserAgent,
    find_user_agent,
    is_prefetch,
    is_same_origin,
)

HTML = "text/html,application/xhtml+xml,*/*;q=0.8"
NAVIGATE = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
BROWSERS = {UserAgent.NAVIGATION, UserAgent.PAGE, UserAgent.PREFETCH, UserAgent.HTMX}


@pytest.mark.security("D2")
@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("GET", NAVIGATE, UserAgent.NAVIGATION),
        ("HEAD", NAVIGATE, UserAgent.NAVIGATION),
        ("GET", {"Accept": HTML}, UserAgent.NAVIGATION),
        ("GET", {"Accept": "TEXT/HTML ; q=1"}, UserAgent.NAVIGATION),
        ("GET", {**NAVIGATE, "Sec-Fetch-Dest": "empty", "Accept": HTML}, UserAgent.NAVIGATION),
        ("POST", {**NAVIGATE, "Sec-Fetch-Dest": "empty", "Accept": HTML}, UserAgent.PAGE),
        ("GET", {**NAVIGATE, "Sec-Fetch-Dest": "empty", "Accept": "*/*"}, UserAgent.PAGE),
        ("POST", NAVIGATE, UserAgent.PAGE),
        ("GET", {**NAVIGATE, "Sec-Fetch-Dest": "iframe"}, UserAgent.PAGE),
        ("POST", {"Accept": HTML}, UserAgent.PAGE),
        ("GET", {"HX-Request": "true", "Accept": HTML}, UserAgent.HTMX),
        ("GET", {**NAVIGATE, "Sec-Purpose": "prefetch;prerender"}, UserAgent.PREFETCH),
        ("GET", {"HX-Request": "true", "Purpose": "prefetch"}, UserAgent.PREFETCH),
    ],
)
def test_a_browser_is_told_by_its_headers(
    method: str, headers: dict[str, str], expected: UserAgent
) -> None:
    with Flask("app").test_request_context("/", method=method, headers=headers):
        assert find_user_agent(request) is expected


@pytest.mark.security("D2")
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Accept": "*/*"},
        {"Accept": "application/json, text/html;q=0"},
        {"Accept": "text/html;q=0.0"},
        {"Sec-Fetch-Mode": "cors", "Accept": HTML},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"X-Requested-With": "XMLHttpRequest", "Accept": HTML},
        {"HX-Request": "false"},
    ],
)
def test_a_script_or_a_program_is_no_browsers_window(headers: dict[str, str]) -> None:
    with Flask("app").test_request_context("/", headers=headers):
        assert find_user_agent(request) not in BROWSERS


@pytest.mark.security("A3")
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, False),
        ({"Sec-Purpose": "prefetch"}, True),
        ({"Purpose": "Prefetch"}, True),
        ({"X-Purpose": "preview"}, True),
        ({"X-Moz": "prefetch"}, True),
        ({"Sec-Purpose": "anything"}, False),
    ],
)
def test_a_prefetch_says_so(headers: dict[str, str], expected: bool) -> None:
    with Flask("app").test_request_context("/", headers=headers):
        assert is_prefetch(request) is expected


@pytest.mark.security("D3")
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://app.example"}, False),
        ({"Origin": "https://app.example"}, True),
        ({"Origin": "http://app.example"}, False),
        ({"Origin": "https://app.example:8443"}, False),
        ({"Origin": "https://app.example.evil.example"}, False),
        ({"Origin": "null"}, None),
        ({}, None),
    ],
)
def test_a_page_of_ours_is_told_by_its_origin(
    headers: dict[str, str], expected: bool | None
) -> None:
    app = Flask("app")
    with app.test_request_context("/", base_url="https://app.example", headers=headers):
        assert is_same_origin(request) is expected
