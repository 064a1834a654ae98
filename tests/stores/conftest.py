"""Which of the stores' conformance tests are slow."""

from __future__ import annotations

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow the conformance tests that start processes."""
    for item in items:
        if item.name.startswith("test_processes_"):
            item.add_marker(pytest.mark.slow)
