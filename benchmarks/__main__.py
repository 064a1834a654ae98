"""Print what this extension costs, compared with code written by hand and with other libraries.

    pip install -e . -r benchmarks/requirements.txt
    python -m benchmarks

It takes about five minutes on two cores. Numbers without a unit are CPU time divided by that of
`floor`, an app that does the same by hand. `floor again` is that app a second time, so the
difference between its numbers and 1 is the noise.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
import typing as t
from importlib import metadata
from pathlib import Path

from . import counts, cpu, imports, stampede
from .apps import CONTESTANTS, FLOOR, FLOOR_AGAIN
from .field import Field
from .provider import environment, run_provider
from .report import describe_machine, finish, show_progress
from .table import Row, as_json, as_text

ROUNDS = 40

#: The measures that do not run in rounds, by the first words of the names of their rows.
OTHERS = ("connections", "import", "stampede", "cookies")


def main() -> None:
    options = parse_options()
    started = time.monotonic()
    contestants = [each for each in options.contestants if each.is_installed]
    with contextlib.ExitStack() as stack:
        # oauthlib refuses a provider on plain http otherwise.
        stack.enter_context(environment(OAUTHLIB_INSECURE_TRANSPORT="1"))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        field = Field(contestants, stack.enter_context(run_provider()), Path(folder))
        rows = measure(field, options)
    about = {
        "machine": describe_machine(),
        "rounds": options.rounds,
        "seconds": round(time.monotonic() - started),
        "noise": cpu.noise(rows),
        "versions": {each: metadata.version(each) for each in ("Flask", "requests")}
        | {each.name: each.version for each in contestants if each.version},
        "missing": [each.name for each in options.contestants if not each.is_installed],
    }
    printed = f"{as_text(rows, [each.name for each in contestants])}\n\n{describe(about)}"
    finish(printed, about | {"rows": as_json(rows)}, options.json)


def parse_options() -> argparse.Namespace:
    known = [*(each.name for each in cpu.MEASURES), *OTHERS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--json", type=Path, metavar="FILE", help="write all numbers there, too")
    add("--rounds", type=int, default=ROUNDS, metavar="N", help=f"of CPU time; {ROUNDS}")
    add("--quick", action="store_true", help="one short round: whether all works, no numbers")
    add("--only", metavar="MEASURE,…", help=f"these, or those that begin so: {', '.join(known)}")
    add("--contestants", metavar="NAME,…", help="these, and the floor twice")
    options = parser.parse_args()
    if options.quick:
        options.rounds = 1
    wanted = options.only.split(",") if options.only else known
    options.measures = [name for name in known if name.startswith(tuple(wanted))]
    unknown = [each for each in wanted if not any(name.startswith(each) for name in known)]
    names = [each.name for each in CONTESTANTS]
    chosen = options.contestants.split(",") if options.contestants else names
    unknown += [name for name in chosen if name not in names]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known are {', '.join(known + names)}")
    options.contestants = [
        each for each in CONTESTANTS if each in {FLOOR, FLOOR_AGAIN} or each.name in chosen
    ]
    return options


def measure(field: Field, options: argparse.Namespace) -> list[Row]:
    rows = []
    in_rounds = [each for each in cpu.MEASURES if each.name in options.measures]
    if in_rounds:
        rows += cpu.measure(field, in_rounds, options.rounds, show_progress)
    if "connections" in options.measures:
        show_progress("connections")
        rows += counts.connections(field, 5 if options.quick else counts.LOGINS)
    if "import" in options.measures:
        show_progress("imports")
        rows += imports.measure(field, 1 if options.quick else imports.TIMES)
    if "stampede" in options.measures:
        show_progress("stampede")
        rows += stampede.measure(field, ((2, 2),) if options.quick else stampede.SIZES)
    if "cookies" in options.measures:
        show_progress("cookies")
        rows += counts.cookies(field)
    return rows


def describe(about: dict[str, t.Any]) -> str:
    """Return what a reader must know about a run."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    lines = [f"{about['machine']}; {about['rounds']} rounds, {about['seconds']} seconds."]
    if about["noise"] is not None:
        noise = f"{about['noise']:.1%}"
        lines.append(f"Noise: a ratio of `floor again` differs from 1 by {noise} at the most.")
    lines.append(f"Versions: {versions}.")
    if about["missing"]:
        lines.append(f"Left out, because not installed: {', '.join(about['missing'])}.")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
