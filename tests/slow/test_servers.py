"""The servers that people run apps on: a sign-in, and one refresh for many requests at once."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import requests

from tests.support import ROOT
from tests.support.assertions import is_signed_in, refreshes
from tests.support.provider import Browser, Provider
from tests.support.servers import free_port, wait_until
from tests.support.threads import at_once
from tests.support.visitors import call_as

GUNICORN = ["gunicorn", "--log-level", "error", "--workers", "2"]
APP = "tests.support.worker:make_worker()"
COMMANDS = {
    "gunicorn sync": [*GUNICORN, "--bind", "127.0.0.1:{port}", APP],
    "gunicorn gthread": [*GUNICORN, "--threads", "8", "--bind", "127.0.0.1:{port}", APP],
    "gunicorn gevent": [
        *GUNICORN, "--worker-class", "gevent", "--bind", "127.0.0.1:{port}", APP,
    ],
    "gunicorn gevent preload": [
        *GUNICORN, "--worker-class", "gevent", "--preload", "--bind", "127.0.0.1:{port}", APP,
    ],
    "waitress": [
        "waitress", "--listen", "127.0.0.1:{port}", "--call", "tests.support.worker:make_worker",
    ],
}  # fmt: skip


@contextlib.contextmanager
def serve(command: list[str], provider: Provider, instance: Path) -> t.Iterator[str]:
    port = free_port()
    environment = {**os.environ, "PROVIDER": provider.url, "INSTANCE": str(instance)}
    words = [word.format(port=port) for word in command]
    with subprocess.Popen([sys.executable, "-m", *words], cwd=ROOT, env=environment) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: requests.get(url, timeout=5).ok, process)
            yield url
        finally:
            process.terminate()


@pytest.mark.security("C6")
@pytest.mark.parametrize("server", COMMANDS)
def test_a_server(server: str, provider: Provider, tmp_path: Path) -> None:
    with serve(COMMANDS[server], provider, tmp_path) as url:
        browser = Browser(url, provider)
        assert browser.sign_in().status_code == 302
        assert is_signed_in(browser)
        provider.grants.expire_access()
        before = refreshes(provider)
        assert at_once(functools.partial(call_as, browser, url), 16) == [200] * 16
        assert refreshes(provider) - before == 1
        browser.post("/logout")
        assert not is_signed_in(browser)
