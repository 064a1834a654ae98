"""What all commands report of a run: its progress, its machine and its numbers."""

from __future__ import annotations

import json
import os
import platform
import sys
import typing as t
from pathlib import Path


def show_progress(what: str) -> None:
    """Print on a terminal what is being measured."""
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="\r", file=sys.stderr, flush=True)


def describe_machine() -> str:
    """Return what the numbers depend on besides the code."""
    return f"Python {platform.python_version()}, {os.cpu_count()} cores"


def finish(printed: str, numbers: t.Mapping[str, t.Any], file: Path | None) -> None:
    """Print the numbers, and write them to a file, if one is given.

    :param printed: the tables as Markdown. The file has them too, so pages show what was printed.
    """
    show_progress("")
    print(printed)
    if file is not None:
        text = json.dumps({**numbers, "printed": printed}, indent=1, ensure_ascii=False)
        file.write_text(f"{text}\n", "utf-8")
