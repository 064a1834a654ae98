"""The file of presets, as a whole: its lines, names, URLs, variables and words."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

import pytest

import flask_oauth2_login
from flask_oauth2_login import OAuth2, OpenIDConnect
from flask_oauth2_login.providers.presets import make_handler
from flask_oauth2_login.providers.rows import find_row, row_names

PATH = Path(flask_oauth2_login.__file__).parent / "providers" / "presets.jsonl"
LINES = PATH.read_text("utf-8").splitlines()
ROWS: dict[str, dict[str, t.Any]] = {row["name"]: row for row in map(json.loads, LINES)}


def strings_in(value: t.Any) -> t.Iterator[str]:
    if isinstance(value, dict):
        value = [*value, *value.values()]
    for each in value if isinstance(value, list) else ():
        yield from strings_in(each)
    if isinstance(value, str):
        yield value


def urls_in(row: dict[str, t.Any]) -> dict[str, str]:
    return {word: row[word] for word in row if word == "issuer" or word.endswith("_url")}


def test_names_are_unique_and_sorted() -> None:
    names = [json.loads(line)["name"] for line in LINES]
    assert names == sorted(set(names))
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names)


def test_a_line_begins_with_its_name_so_that_no_other_is_parsed() -> None:
    assert row_names() == list(ROWS)
    for name, row in ROWS.items():
        assert find_row(name) == {word: row[word] for word in row if word != "name"}
    assert find_row("git") is None
    assert find_row('github", "label": "GitHub') is None


@pytest.mark.parametrize("name", ROWS)
def test_urls_are_https_and_well_formed(name: str) -> None:
    for url in urls_in(ROWS[name]).values():
        assert re.fullmatch(r"https://[^\s\"'\\\x00-\x1f\x7f]+", url)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_has_a_label_and_makes_a_handler(name: str) -> None:
    row = ROWS[name]
    assert row["label"].strip() == row["label"] != ""
    handler = make_handler(name, find_row(name) or {}, "id", "secret")
    assert isinstance(handler, OpenIDConnect if handler.openid else OAuth2)
    for word in ("headers", "authorize_params", "token_params", "userinfo_params"):
        assert all(isinstance(value, str) for value in row.get(word, {}).values())
