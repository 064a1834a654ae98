"""What all commands say of a run: how far it is, on which machine it is, and its files."""

from __future__ import annotations

import json
import os
import platform
import sys
import typing as t
from pathlib import Path


def show_progress(what: str) -> None:
    """Say on a terminal what is being measured."""
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="\r", file=sys.stderr, flush=True)


def describe_machine() -> str:
    """Return what numbers depend on beside the code."""
    return f"Python {platform.python_version()}, {os.cpu_count()} cores"


def finish(printed: str, numbers: t.Mapping[str, t.Any], file: Path | None) -> None:
    """Print what was found, and write it to a file, if one is wanted.

    :param printed: Markdown, which the file has, too. So pages show what was printed.
    """
    show_progress("")
    print(printed)
    if file is not None:
        text = json.dumps({**numbers, "printed": printed}, indent=1, ensure_ascii=False)
        file.write_text(f"{text}\n", "utf-8")
