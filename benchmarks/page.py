"""Write the numbers into the documentation's page.

    python -m benchmarks.page --table FILE --growth FILE --load FILE

Each file is what a command wrote by `--json`. The tables that it printed are written between two
comments of the page, and replace what was there.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from .servers import ROOT

PAGE = ROOT / "docs" / "performance.md"
#: The folder of the page's charts.
CHARTS = ROOT / "docs" / "performance"
#: The names of the page's parts that are written by this program.
PARTS = ("table", "growth", "load")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.page",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for part in PARTS:
        parser.add_argument(f"--{part}", type=Path, metavar="FILE")
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE", help=str(PAGE))
    options = parser.parse_args()
    text = options.page.read_text("utf-8")
    for part in PARTS:
        file = getattr(options, part)
        if file is not None:
            text = fill(text, part, json.loads(file.read_text("utf-8"))["printed"])
    options.page.write_text(text, "utf-8")


def fill(text: str, part: str, content: str) -> str:
    """Return the page with other content in one of its parts."""
    begin, end = _markers(part)
    pattern = f"({re.escape(begin)}).*?({re.escape(end)})"
    filled, count = re.subn(
        pattern, lambda found: f"{found[1]}\n{content}\n{found[2]}", text, flags=re.DOTALL
    )
    if count != 1:
        raise ValueError(f"The page has the comments {begin} and {end} {count} times, not once.")
    return filled


def read(text: str, part: str) -> str:
    """Return the content of one of the page's parts."""
    begin, end = _markers(part)
    return text.partition(begin)[2].partition(end)[0].strip()


def _markers(part: str) -> tuple[str, str]:
    return f"<!-- begin {part} -->", f"<!-- end {part} -->"


if __name__ == "__main__":
    main()
