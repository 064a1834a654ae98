"""The table in `docs/security.md` names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent


def test_every_test_in_the_table_exists_and_every_row_has_one() -> None:
    table = (TESTS.parent / "docs" / "security.md").read_text("utf-8")
    code = "\n".join(path.read_text("utf-8") for path in TESTS.glob("test_*.py"))
    defined = set(re.findall(r"^def (test_\w+)\(", code, re.MULTILINE))
    rows = {line.split("|")[1].strip(): line for line in table.splitlines() if "`test_" in line}
    rows = {name: line for name, line in rows.items() if re.fullmatch("[A-E][0-9]+", name)}
    named = {name for line in rows.values() for name in re.findall(r"`(test_\w+)`", line)}
    assert named - defined == set()
    assert len(rows) == 10 + 6 + 8 + 6 + 8
