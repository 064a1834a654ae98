"""The documentation names tests that exist, every requirement, and every public name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import flask_oauth2_login
from flask_oauth2_login.providers.presets import preset_names

TESTS = Path(__file__).parents[1]


DOCS = TESTS.parent / "docs"


def defined_tests() -> set[str]:
    code = "\n".join(path.read_text("utf-8") for path in TESTS.rglob("test_*.py"))
    return set(re.findall(r"^def (test_\w+)\(", code, re.MULTILINE))


def test_every_test_that_the_documentation_names_exists() -> None:
    for page in DOCS.rglob("*.md"):
        named = set(re.findall(r"`(test_\w+)`", page.read_text("utf-8")))
        assert named - defined_tests() == set(), page.name


def marked_rows() -> set[str]:
    """The rows of the security table that tests are marked with."""
    found = set()
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.security":
                found |= {ast.literal_eval(argument) for argument in node.args}
    return found


def test_every_row_of_the_security_table_has_a_test_and_every_mark_a_row() -> None:
    table = (DOCS / "security.md").read_text("utf-8")
    rows = re.findall(r"^\| ([A-F][0-9]+) \|", table, re.MULTILINE)
    assert len(rows) == len(set(rows))
    assert set(rows) == marked_rows()


def test_every_public_name_is_in_a_guide() -> None:
    pages = [DOCS.parent / "README.md", *DOCS.rglob("*.md")]
    guides = "\n".join(page.read_text("utf-8") for page in pages)
    missing = {name for name in flask_oauth2_login.__all__ if not re.search(rf"\b{name}\b", guides)}
    assert missing == set()


def test_every_link_to_a_file_leads_to_one() -> None:
    """Sphinx checks the links between pages, but not the README's."""
    root = DOCS.parent
    pages = [root / "README.md", root / "tests/README.md", *root.glob(".github/*.md")]
    for page in [*pages, *DOCS.rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / target).exists() or made_page(page.parent / target), (
                page,
                target,
            )


def made_page(path: Path) -> bool:
    """Return True for the page of a provider, which is made when the documentation is built."""
    return path.parent.resolve() == DOCS / "providers" and path.stem in preset_names()
