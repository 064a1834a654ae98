"""Servers that measures need besides the provider: Redis, and apps under gunicorn."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import typing as t
from pathlib import Path

#: Seconds for a server to begin to listen.
PATIENCE = 30.0
#: The parent of all packages that are started here.
ROOT = Path(__file__).parents[1]


def find_redis() -> str | None:
    """Return the path of Redis's server; None if it, or its client for Python, is missing."""
    try:
        import redis  # noqa: F401
    except ImportError:
        return None
    return shutil.which("redis-server")


@contextlib.contextmanager
def run_redis(folder: Path) -> t.Iterator[str]:
    """Run a Redis that keeps nothing on the disk, and return its URL, without a database.

    :param folder: an empty folder for it.
    """
    program, port = find_redis(), free_port()
    assert program is not None
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command += ["--save", "", "--appendonly", "no", "--loglevel", "warning"]
    with _running(command, {}, port, folder / "redis.log"):
        yield f"redis://127.0.0.1:{port}"


@contextlib.contextmanager
def run_gunicorn(
    app: str, variables: t.Mapping[str, str], log: Path, *options: str
) -> t.Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Run an app under gunicorn, and return its port and gunicorn's own process.

    :param app: the app's module and name, as gunicorn's argument.
    :param variables: further variables of the environment.
    :param log: a file for what gunicorn prints.
    """
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}"]
    with _running([*command, *options, app], variables, port, log) as process:
        yield port, process


@contextlib.contextmanager
def _running(
    command: list[str], variables: t.Mapping[str, str], port: int, log: Path
) -> t.Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603
            command, cwd=ROOT, env={**os.environ, **variables}, stdout=output, stderr=output
        )
    with process:
        try:
            _wait_for(port, process, log)
            yield process
        finally:
            process.terminate()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            words = log.read_text("utf-8", "replace")
            raise RuntimeError(f"{process.args!r} does not listen on port {port}: {words}")
        time.sleep(0.05)


def free_port() -> int:
    """Return a port of loopback that no program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
