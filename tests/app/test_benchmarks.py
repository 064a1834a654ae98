"""The benchmarks: one short round, in which everything works. How fast it was is not looked at."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

#: The rows in which the floor has no part, for it neither imports nor refreshes anything.
WITHOUT_FLOOR = ("import", "stampede")


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_every_measure_prints_a_row_of_numbers(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    result = run("--quick", "--contestants", "ours", "--json", str(file))
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    found = json.loads(file.read_text("utf-8"))
    rows = {row["measure"]: row["found"] for row in found["rows"]}
    assert len(rows) == 18
    for measure, by_name in rows.items():
        floors = set() if measure.startswith(WITHOUT_FLOOR) else {"floor", "floor again"}
        assert set(by_name) == {"ours", *floors}, measure
        values = [value for numbers in by_name.values() for value in numbers.values()]
        assert all(map(math.isfinite, values)), measure
    for row in found["rows"]:
        assert f"| {row['title']} " in result.stdout


def test_only_some_measures_can_be_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    run("--quick", "--contestants", "ours", "--only", "view-guarded", "--json", str(file))
    assert [row["measure"] for row in json.loads(file.read_text("utf-8"))["rows"]] == [
        "view-guarded"
    ]


def test_an_unknown_measure_is_told() -> None:
    result = run("--only", "view,speed")
    assert result.returncode == 2
    assert "unknown: speed; known are login-redirect" in result.stderr
