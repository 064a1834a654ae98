"""Run all benchmarks, and write the documentation's page with what they find.

    python -m benchmarks.all

It takes about twelve minutes on two cores that have nothing else to do. `--rounds 5` takes half of
that, and its numbers differ more from run to run. All packages of benchmarks/requirements.txt and
the program `redis-server` have to be installed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from .page import CHARTS, PAGE
from .servers import ROOT, find_redis


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.all",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--rounds", type=int, metavar="N", help="of each command, instead of its own number")
    add("--requests", type=int, metavar="N", help="of the long run under gunicorn")
    add("--quick", action="store_true", help="whether all works, no numbers; needs --page")
    add("--page", type=Path, default=PAGE, metavar="FILE", help=f"to write into; {PAGE}")
    add("--folder", type=Path, metavar="FOLDER", help="for the JSON of each command; none is kept")
    options = parser.parse_args()
    if options.quick and options.page == PAGE:
        parser.error("--quick finds no numbers for the documentation; name another --page")
    missing = find_missing()
    if missing and not options.quick:
        parser.error(f"not installed: {', '.join(missing)}. See benchmarks/requirements.txt")
    with tempfile.TemporaryDirectory() as temporary:
        run_all(options, options.folder or Path(temporary))


def find_missing() -> list[str]:
    """Return what is not installed, so that the page would lack its numbers."""
    missing = [] if find_redis() else ["redis, and the program redis-server"]
    for line in (ROOT / "benchmarks" / "requirements.txt").read_text("utf-8").splitlines():
        name = line.partition("#")[0].partition(">")[0].strip()
        try:
            metadata.version(name or "flask")
        except metadata.PackageNotFoundError:
            missing.append(name)
    return missing


def run_all(options: argparse.Namespace, folder: Path) -> None:
    """Run each command, and write the page."""
    charts = CHARTS if options.page == PAGE else options.page.parent / CHARTS.name
    common = ["--quick"] if options.quick else []
    if options.rounds:
        common += ["--rounds", str(options.rounds)]
    drawing = ["--charts", str(charts)]
    loading = ["--requests", str(options.requests)] if options.requests else []
    written: list[str] = []
    for part, module, further in (
        ("table", "benchmarks", []),
        ("growth", "benchmarks.growth", drawing),
        ("load", "benchmarks.load", [*drawing, *loading]),
    ):
        file = str(folder / f"{part}.json")
        run(module, "--json", file, *further, *common)
        written += [f"--{part}", file]
    run("benchmarks.page", "--page", str(options.page), *written)


def run(module: str, *arguments: str) -> None:
    """Run a module in a process of its own, so that it has no effect on the next module."""
    print(f"\n$ python -m {module} {' '.join(arguments)}", flush=True)
    subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, check=True)  # noqa: S603


if __name__ == "__main__":
    main()
