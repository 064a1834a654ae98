"""JSON that a provider wrote: read, unless it is nonsense."""

from __future__ import annotations

import math
import typing as t

import pytest

from flask_oauth2_login.protocol.json_input import MAX_DEPTH, is_intact, parse_json, to_one_line


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a": [1, 2.5, null, true, "x"]}', {"a": [1, 2.5, None, True, "x"]}),
        (b'"\\u00e9"', "é"),
        (b'"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        ('"é"'.encode(), "é"),
        (b"  1  ", 1),
    ],
)
def test_json_is_read(data: bytes, value: t.Any) -> None:
    assert parse_json(data) == value


@pytest.mark.security("B3")
@pytest.mark.parametrize(
    "data",
    [
        b"", b"<html>", b"{", b"{'a': 1}", b"a=b", b"\xff\xfe\xfd", b'"\xe9"',
        b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_json_is_none(data: bytes) -> None:
    assert parse_json(data) is None


@pytest.mark.security("B3")
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_what_is_nested_too_deep_is_none(opening: bytes, closing: bytes) -> None:
    deepest = MAX_DEPTH - 1
    assert parse_json(opening * deepest + b"1" + closing * deepest) is not None
    assert parse_json(opening * (MAX_DEPTH + 1) + b"1" + closing * (MAX_DEPTH + 1)) is None


@pytest.mark.security("B3")
def test_a_number_beyond_all_measure_is_infinite() -> None:
    assert parse_json(b"1" * 300) == int("1" * 300)
    assert parse_json(b"1" * 10_000) == math.inf
    assert parse_json(b"-" + b"1" * 10_000) == -math.inf


@pytest.mark.parametrize(
    ("data", "text", "whole"),
    [
        (b'"\\ud83d"', "\N{REPLACEMENT CHARACTER}", False),
        (b'"a\\ude00b"', "a\N{REPLACEMENT CHARACTER}b", False),
        (b'"ada"', "ada", True),
        (b'""', "", True),
    ],
)
def test_half_a_character_is_noticed(data: bytes, text: str, whole: bool) -> None:
    assert parse_json(data) == text
    assert is_intact(text) is whole


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a b", "a b"),
        ("a\nb\r\nc\td", "a b  c d"),
        ("\x1b[31mred", " [31mred"),
        ("a\u2028b\u202ec", "a b c"),
        ("é\N{GRINNING FACE}", "é\N{GRINNING FACE}"),
    ],
)
def test_a_text_for_a_log_is_one_line(text: str, line: str) -> None:
    assert to_one_line(text) == line
