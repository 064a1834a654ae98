"""The tables in `docs/` name tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import flask_oauth2_login

TESTS = Path(__file__).parents[1]


DOCS = TESTS.parent / "docs"


def defined_tests() -> set[str]:
    code = "\n".join(path.read_text("utf-8") for path in TESTS.rglob("test_*.py"))
    return set(re.findall(r"^def (test_\w+)\(", code, re.MULTILINE))


def test_every_test_that_the_documentation_names_exists() -> None:
    for page in DOCS.glob("*.md"):
        named = set(re.findall(r"`(test_\w+)`", page.read_text("utf-8")))
        assert named - defined_tests() == set(), page.name


def test_every_row_of_the_security_table_has_a_test() -> None:
    table = (DOCS / "security.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| ([A-E][0-9]+) (\|.*)$", table, re.MULTILINE))
    assert len(rows) == 13 + 6 + 13 + 6 + 8
    for row, rest in rows.items():
        own = re.compile(rf"test_([a-e][0-9]+_and_)*{row.lower()}_")
        assert "`test_" in rest or any(map(own.match, defined_tests())), row


def test_every_public_name_is_in_a_guide() -> None:
    pages = [DOCS.parent / "README.md", *DOCS.glob("*.md")]
    guides = "\n".join(page.read_text("utf-8") for page in pages)
    missing = {name for name in flask_oauth2_login.__all__ if not re.search(rf"\b{name}\b", guides)}
    assert missing == set()
