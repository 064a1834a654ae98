"""The rows of ``presets.jsonl``: a provider a line, in the order of their names.

Only the line of the provider that is asked for is parsed.
"""

from __future__ import annotations

import json
import typing as t
from importlib import resources

_START = '{"name": '


def find_row(name: str) -> dict[str, t.Any] | None:
    """Return the row of a provider, without its name; None if there is none."""
    start = f"{_START}{json.dumps(name)},"
    for line in _lines():
        if line.startswith(start):
            row: dict[str, t.Any] = json.loads(line)
            del row["name"]
            return row
    return None


def all_rows() -> list[dict[str, t.Any]]:
    """Return all rows with their names, for what is about all providers. It parses the file."""
    return [json.loads(line) for line in _lines()]


def row_names() -> list[str]:
    """Return the names of all providers, sorted."""
    return [line[len(_START) + 1 :].partition('"')[0] for line in _lines()]


def _lines() -> list[str]:
    text = resources.files(__package__).joinpath("presets.jsonl").read_text("utf-8")
    return text.splitlines()
