"""Print what the cost of this extension does as the work grows, and draw it.

    python -m benchmarks.growth

It takes about four minutes on two cores. All numbers are CPU time of one request (or of one login,
which is two requests), divided by that of code written by hand at the least size, in the same
round; the tables show the medians. Redis is measured if its server and its client are installed.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import random
import statistics
import tempfile
import time
import typing as t
from pathlib import Path

from ..charts import Chart
from ..charts import Panel as Plot
from ..cpu import SECONDS, Race
from ..page import CHARTS
from ..provider import run_provider
from ..report import describe_machine, finish, show_progress
from ..servers import find_redis, run_redis
from ..table import as_markdown
from .apps import Ground
from .measures import BY_HAND, BY_HAND_AGAIN, GROWTHS, Growth, Panel, Point

ROUNDS = 15

#: The ratios by line and size, for each measure that grows and each of its panels.
Found = dict[str, dict[str, dict[str, dict[int, float]]]]


def main() -> None:
    options = parse_options()
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = None
        if find_redis() and any(each.name == "stored" for each in options.growths):
            (folder / "redis").mkdir()
            redis = stack.enter_context(run_redis(folder / "redis"))
        (folder / "apps").mkdir()
        ground = Ground(stack.enter_context(run_provider()), folder / "apps", redis, stack)
        found = measure(ground, options)
    about = {
        "machine": describe_machine(),
        "rounds": options.rounds,
        "seconds": round(time.monotonic() - started),
        "noise": find_noise(found),
    }
    finish(as_text(options.growths, found, about), about | {"found": found}, options.json)
    if options.charts:
        options.charts.mkdir(exist_ok=True)
        for growth in options.growths:
            path = options.charts / f"{growth.name}.svg"
            path.write_text(make_chart(growth, found[growth.name]).as_svg(), "utf-8")


def parse_options() -> argparse.Namespace:
    known = {each.name: each for each in GROWTHS}
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--json", type=Path, metavar="FILE", help="write all numbers there, too")
    add("--charts", type=Path, metavar="FOLDER", help=f"of the charts; {CHARTS}")
    add("--rounds", type=int, default=ROUNDS, metavar="N", help=f"of CPU time; {ROUNDS}")
    add("--quick", action="store_true", help="one short round: whether all works, no numbers")
    add("--only", metavar="NAME,…", help=f"some of {', '.join(known)}; no charts by default")
    options = parser.parse_args()
    if options.charts is None and not options.quick and not options.only:
        options.charts = CHARTS
    names = options.only.split(",") if options.only else list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known are {', '.join(known)}")
    options.growths = [known[name] for name in known if name in names]
    if options.quick:
        options.rounds = 1
    return options


def measure(ground: Ground, options: argparse.Namespace) -> Found:
    """Measure all panels in interleaved rounds."""
    panels: list[tuple[Growth, Panel]] = []
    for growth in options.growths:
        show_progress(f"preparing: {growth.title.lower()}")
        sizes = growth.quick if options.quick else growth.sizes
        panels += [(growth, panel) for panel in growth.make_panels(ground, sizes)]
    seconds = 0 if options.quick else SECONDS
    races = [Race(panel.runs, seconds) for _, panel in panels]
    spent: list[list[dict[Point, float]]] = [[] for _ in races]
    gc.collect()
    gc.freeze()
    for number in range(options.rounds):
        show_progress(f"growth: round {number + 1} of {options.rounds}")
        for index in random.sample(range(len(races)), len(races)):
            spent[index].append(races[index].hold())
    gc.unfreeze()
    found: Found = {}
    for (growth, panel), rounds in zip(panels, spent, strict=True):
        found.setdefault(growth.name, {})[panel.title] = compare(rounds)
    return found


def compare(rounds: t.Sequence[t.Mapping[Point, float]]) -> dict[str, dict[int, float]]:
    """Return the median ratios of all lines and sizes to the code by hand at its least size."""
    unit = BY_HAND, min(size for line, size in rounds[0] if line == BY_HAND)
    found: dict[str, dict[int, float]] = {}
    for line, size in rounds[0]:
        ratios = [each[line, size] / each[unit] for each in rounds]
        found.setdefault(line, {})[size] = statistics.median(ratios)
    return found


def find_noise(found: Found) -> float:
    """Return the most by which a second app by hand differs from the first."""
    again = [
        ratio
        for panels in found.values()
        for lines in panels.values()
        for ratio in lines[BY_HAND_AGAIN].values()
    ]
    return max(abs(ratio - 1) for ratio in again)


def as_text(growths: t.Sequence[Growth], found: Found, about: t.Mapping[str, t.Any]) -> str:
    """Return a table for each measure that grows, and what a reader must know about the run."""
    parts = []
    for growth in growths:
        panels = found[growth.name]
        sizes = sorted(
            {size for lines in panels.values() for each in lines.values() for size in each}
        )
        rows = [
            [f"{title}: {line}", *(f"{by[size]:.2f}" if size in by else "-" for size in sizes)]
            for title, lines in panels.items()
            for line, by in lines.items()
            if line != BY_HAND_AGAIN
        ]
        parts.append(as_markdown([growth.axis, *(f"{size:,}" for size in sizes)], rows))
    words = f"{about['machine']}; {about['rounds']} rounds, {about['seconds']} seconds."
    noise = f"Noise: a second app by hand differs from 1 by {about['noise']:.1%} at the most."
    return "\n\n".join([*parts, f"{words}\n{noise}"])


def make_chart(growth: Growth, panels: t.Mapping[str, t.Mapping[str, dict[int, float]]]) -> Chart:
    """Return the chart of a measure that grows."""
    plots = [
        Plot(
            title, {line: sorted(by.items()) for line, by in lines.items() if line != BY_HAND_AGAIN}
        )
        for title, lines in panels.items()
    ]
    return Chart(
        growth.title, growth.axis, "CPU time; 1 is code by hand at the least size", plots, {BY_HAND}
    )


if __name__ == "__main__":
    main()
