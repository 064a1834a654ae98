"""The benchmarks: one short round, in which everything works, and the page that is made of them.

How fast it was is not looked at.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import page
from benchmarks.charts import Chart, Panel, spread
from tests.support import ROOT
from tests.support.servers import need

#: The rows in which the floor has no part, for it neither imports nor refreshes anything.
WITHOUT_FLOOR = ("import", "stampede")


def run(*options: str, module: str = "benchmarks") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *options]
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


def test_the_cost_of_proofs_is_printed() -> None:
    result = run("--quick", module="benchmarks.proofs")
    assert (result.returncode, result.stderr) == (0, "")
    [(names, rows)] = read_tables(result.stdout)
    assert names[1:] == ["a Bearer token", "again", "a bound token"]
    assert set(rows) == {"API call, http", "API call, https"}


def test_an_unknown_measure_is_told() -> None:
    result = run("--only", "view,speed")
    assert result.returncode == 2
    assert "unknown: speed; known are login-redirect" in result.stderr


#: A cell of a table: a number, several, or none; with a unit, its noise, or a word.
CELL = re.compile(r"-|[\d.,]+( µs| ±[\d.]+|; (kept|lost)|, \d+)?")


def read_tables(text: str) -> list[tuple[list[str], dict[str, list[str]]]]:
    """The tables of a text in Markdown: the names of columns, and the rows by their names."""
    tables = []
    for table in re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE):
        head, _line, *rows = (
            [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()
        )
        assert {len(row) for row in rows} == {len(head)}, table
        cells = [cell for row in rows for cell in row[1:]]
        assert [cell for cell in cells if not CELL.fullmatch(cell)] == []
        tables.append((head, {row[0]: row[1:] for row in rows}))
    return tables


def check_chart(path: Path) -> None:
    """See that a chart is an SVG with a title and a description of each axis."""
    root = ElementTree.fromstring(path.read_text("utf-8"))  # noqa: S314  (our own file)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    texts = {element.get("class"): element.text for element in root.iter() if element.get("class")}
    assert {"title", "panel", "axis", "tick"} <= set(texts)


@pytest.mark.parametrize("only", ["logins,attempts", "threads,scopes,tokens"])
def test_growth_prints_a_table_and_draws_a_chart_of_each_measure(tmp_path: Path, only: str) -> None:
    file = tmp_path / "found.json"
    options = ("--quick", "--only", only, "--json", str(file), "--charts", str(tmp_path))
    result = run(*options, module="benchmarks.growth")
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(file.read_text("utf-8"))
    assert found["printed"] in result.stdout
    assert len(read_tables(result.stdout)) == len(found["found"]) == len(only.split(","))
    for name, panels in found["found"].items():
        check_chart(tmp_path / f"{name}.svg")
        for lines in panels.values():
            assert {"by hand", "cookies, the default"} <= set(lines)
            ratios = [ratio for sizes in lines.values() for ratio in sizes.values()]
            assert all(map(math.isfinite, ratios)), name


@pytest.mark.slow
def test_all_benchmarks_write_a_page_whose_tables_can_be_read(tmp_path: Path) -> None:
    need("redis-server", "redis-server")
    copy = tmp_path / "performance.md"
    copy.write_text(page.PAGE.read_text("utf-8"), "utf-8")
    options = ("--quick", "--page", str(copy), "--folder", str(tmp_path))
    result = run(*options, module="benchmarks.all")
    assert (result.returncode, result.stderr) == (0, "")
    for name in ("logins", "stored", "threads", "scopes", "tokens", "attempts", "memory"):
        check_chart(tmp_path / "performance" / f"{name}.svg")
    written = copy.read_text("utf-8")
    assert [len(read_tables(page.read(written, part))) for part in page.PARTS] == [1, 6, 2]
    left = json.loads((tmp_path / "load.json").read_text("utf-8"))["run"]["left over"]
    # So few requests may not have opened all connections that a worker keeps.
    assert {name: left[name] for name in ("threads", "files", "kept")} == dict.fromkeys(
        ("threads", "files", "kept"), 0
    )


def test_the_documentation_has_the_tables_and_the_charts_that_the_benchmarks_make() -> None:
    text = page.PAGE.read_text("utf-8")
    [(names, rows)] = read_tables(page.read(text, "table"))
    assert {"floor", "floor again", "ours", "Flask-Dance", "Authlib"} <= set(names)
    assert len(rows) == 19
    assert len(read_tables(page.read(text, "growth"))) == 6
    assert len(read_tables(page.read(text, "load"))) == 2
    charts = re.findall(r"\]\((performance/\w+\.svg)\)", text)
    assert len(charts) == 7
    for chart in charts:
        check_chart(page.PAGE.parent / chart)


def test_only_what_is_between_two_comments_of_the_page_is_replaced() -> None:
    text = "Before.\n<!-- begin load -->\nold\n<!-- end load -->\nAfter.\n"
    filled = page.fill(text, "load", "new, \\1")
    assert filled == text.replace("old", "new, \\1")
    assert page.read(filled, "load") == "new, \\1"
    with pytest.raises(ValueError, match=r"begin table .* 0 times"):
        page.fill(text, "table", "new")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ([], []),
        ([10, 50], [10, 50]),
        ([20, 22], [16, 26]),
        ([20, 22, 27], [13, 23, 33]),
        ([1, 2], [5, 15]),
    ],
)
def test_labels_of_a_chart_are_moved_apart(wanted: list[float], found: list[float]) -> None:
    assert spread(wanted, 10, 5) == found


def test_a_chart_says_what_its_lines_and_points_are() -> None:
    plot = Panel("a <view>", {"by hand": [(1, 1.0)], "ours": [(1, 0.5), (64, 2.25)]})
    text = Chart("Title", "threads", "seconds", [plot], {"by hand"}).as_svg()
    root = ElementTree.fromstring(text)  # noqa: S314  (made here)
    words = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"Title", "a <view>", "by hand", "ours", "threads", "seconds", "0.50", "2.25"} <= words
