"""What tests of the command line share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import typing as t
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask

from flask_oauth2_login.cli import oauth2
from tests.support import ROOT

#: Settings of an app with which nothing is wrong.
GOOD = {
    "SERVER_NAME": "app.example",
    "PREFERRED_URL_SCHEME": "https",
    "SESSION_COOKIE_SECURE": True,
}


def run(app: Flask, *arguments: str) -> Result:
    """Run ``flask oauth2`` with these arguments, within this process."""
    return app.test_cli_runner().invoke(oauth2, arguments)


def lines(result: Result) -> list[str]:
    """The result of a command that has succeeded."""
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def run_flask(
    folder: Path, environment: t.Mapping[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run ``flask`` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "flask", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """The environment of a process in which this package is installed, with its commands."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    metadata = tmp_path / "site" / "flask_oauth2_login_here-0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Name: flask-oauth2-login-here\nVersion: 0\n")
    found = groups["flask.commands"].items()
    entries = "".join(f"{name} = {value}\n" for name, value in found)
    (metadata / "entry_points.txt").write_text(f"[flask.commands]\n{entries}")
    path = os.pathsep.join([str(tmp_path / "site"), str(ROOT)])
    return {**os.environ, "PYTHONPATH": path}


class Found(t.NamedTuple):
    """A finding of the doctor, as a test compares it."""

    level: str
    topic: str


def examine(app: Flask, *arguments: str) -> dict[Found, dict[str, t.Any]]:
    """Have the doctor examine an app, and check the exit status. Return its findings."""
    result = run(app, "check", "--json", *arguments)
    answer = json.loads(result.stdout)
    findings = answer["findings"]
    has_errors = any(finding["level"] == "error" for finding in findings)
    assert (result.exit_code, answer["ok"]) == (int(has_errors), not has_errors), result.output
    for finding in findings:
        is_answer = finding["level"] == "ok"
        assert bool(finding["what"]), finding
        # Whatever is wrong is told with why it hurts.
        assert is_answer or finding["why"] or finding["level"] == "unknown", finding
        assert finding["fix"] or finding["level"] in {"ok", "unknown"}, finding
    return {Found(finding["level"], finding["topic"]): finding for finding in findings}
