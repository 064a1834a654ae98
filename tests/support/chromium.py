"""A real browser: headless Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
import threading
import typing as t
from contextlib import contextmanager

import pytest
from flask import Flask
from werkzeug.serving import make_server

from .servers import wait_until

if t.TYPE_CHECKING:
    from playwright.sync_api import Page

#: It runs as root in CI, and asks nobody outside this machine for anything.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
def page() -> t.Iterator[Page]:
    """A page of a browser that knows nothing yet."""
    with new_page() as page:
        yield page


@contextmanager
def new_page(*, back_forward_cache: bool = False) -> t.Iterator[Page]:
    """A page of a browser that knows nothing yet.

    :param back_forward_cache: keep pages for the Back button, as people's browsers do. Playwright
        does not know the pages that come back so: a `HistoryPage` does.
    """
    path = shutil.which("chromium")
    if path is None:
        reason = "needs Chromium: apt-get install chromium"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=ARGUMENTS,
            ignore_default_args=["--disable-back-forward-cache"] if back_forward_cache else None,
        )
        page = browser.new_page()
        page.set_default_timeout(20_000)
        yield page
        browser.close()


class HistoryPage:
    """A page whose history can be walked, with a cache for it."""

    def __init__(self, page: Page) -> None:
        self._devtools = page.context.new_cdp_session(page)

    def goto(self, url: str) -> None:
        self._devtools.send("Page.navigate", {"url": url})

    def click(self, selector: str) -> None:
        """Click on an element, which may lead to another page."""
        self._later(f"document.querySelector({selector!r}).click()")

    def back(self) -> None:
        """Go back, and wait until the former page is left."""
        self.evaluate("window.left = false")
        self._later("history.back()")
        wait_until(lambda: self.evaluate("window.left") is not False)

    def wait_for(self, condition: str) -> None:
        """Wait until a condition is fulfilled in a page that has been loaded."""
        loaded = "document.readyState == 'complete'"
        wait_until(lambda: self.evaluate(f"{loaded} && Boolean({condition})"))

    def evaluate(self, expression: str) -> t.Any:
        answer = self._devtools.send(
            "Runtime.evaluate", {"expression": expression, "returnByValue": True}
        )
        return answer["result"].get("value")

    def _later(self, statement: str) -> None:
        # The answer is sent before the page is left.
        self.evaluate(f"void setTimeout(() => {{ {statement} }})")


@contextmanager
def serving(app: Flask, host: str = "127.0.0.1") -> t.Iterator[str]:
    """Serve an app on a free port; its URL."""
    server = make_server(host, 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
