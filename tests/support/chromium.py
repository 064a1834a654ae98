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
    path = shutil.which("chromium")
    if path is None:
        reason = "needs Chromium: apt-get install chromium"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        page = browser.new_page()
        page.set_default_timeout(20_000)
        yield page
        browser.close()


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
