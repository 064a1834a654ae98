"""Every block of Python in the documentation runs, and what it adds to an app can be visited."""

from __future__ import annotations

import ast
import gc
import typing as t
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.documented import Readers, pages, read_blocks, read_templates, visit
from tests.support.provider import Provider

WITH_CODE = [page for page in pages() if read_blocks(page)]
WITH_TEMPLATES = [page for page in pages() if read_templates(page)]

#: An app's databases end with its process, so the pages close none.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")


@pytest.fixture
def readers(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> t.Iterator[Readers]:
    # Files that a block names without a folder are made here.
    monkeypatch.chdir(tmp_path)
    with Readers(provider, tmp_path) as readers:
        yield readers
    # So that no later test is blamed for what the page has left open.
    gc.collect()


@pytest.mark.parametrize("path", WITH_CODE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_code_of_a_page_runs(path: Path, readers: Readers, provider: Provider) -> None:
    for block in read_blocks(path):
        if block.is_foreign:
            ast.parse(block.code)
            continue
        try:
            visit(readers.run(block), provider)
        except Exception as error:
            error.add_note(f"in the block at {block.page}:{block.line}")
            raise


@pytest.mark.parametrize("path", WITH_TEMPLATES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_templates_of_a_page_render(path: Path, readers: Readers) -> None:
    for template in read_templates(path):
        assert readers.render(template).strip()
