"""The tables in `docs/` name tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent


DOCS = TESTS.parent / "docs"


def test_every_test_that_the_documentation_names_exists() -> None:
    code = "\n".join(path.read_text("utf-8") for path in TESTS.glob("test_*.py"))
    defined = set(re.findall(r"^def (test_\w+)\(", code, re.MULTILINE))
    for page in DOCS.glob("*.md"):
        named = set(re.findall(r"`(test_\w+)`", page.read_text("utf-8")))
        assert named - defined == set(), page.name


def test_every_row_of_the_security_table_has_a_test() -> None:
    table = (DOCS / "security.md").read_text("utf-8")
    rows = {line.split("|")[1].strip(): line for line in table.splitlines() if "`test_" in line}
    rows = {name: line for name, line in rows.items() if re.fullmatch("[A-E][0-9]+", name)}
    assert len(rows) == 10 + 6 + 8 + 6 + 8
