"""Whether everybody can use a page: axe-core finds nothing, in light, in dark and at 400 % zoom."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest

if t.TYPE_CHECKING:
    from playwright.sync_api import Page

AXE = Path(__file__).parent / "axe" / "node_modules" / "axe-core" / "axe.min.js"

#: A window of 1280 pixels at 400 % is as wide as this: WCAG 2.2, success criterion 1.4.10.
NARROW = 320


def check_page(page: Page) -> None:
    """Check the page that a browser shows, and leave the window wide."""
    if not AXE.exists():
        reason = "needs npm's axe-core: npm install --prefix tests/support/axe"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    height = page.viewport_size and page.viewport_size["height"]
    for scheme in ("light", "dark"):
        for width in (NARROW, 1280):
            page.emulate_media(color_scheme=t.cast("t.Any", scheme))
            page.set_viewport_size({"width": width, "height": height or 720})
            page.evaluate(AXE.read_text("utf-8"))
            found = page.evaluate("axe.run()")
            assert [each["help"] for each in found["violations"]] == [], (scheme, width)
            checked = {each["id"] for each in found["passes"]}
            assert {"color-contrast", "document-title", "html-has-lang"} <= checked
            assert page.evaluate("document.scrollingElement.scrollWidth") <= width
