"""Rows of the table, as text and as JSON."""

from __future__ import annotations

import dataclasses
import typing as t


class Cell(t.NamedTuple):
    """What one measure says of one contestant."""

    text: str
    #: The same as numbers, by their names.
    numbers: dict[str, float]


@dataclasses.dataclass
class Row:
    """What one measure says of all contestants, by their names."""

    measure: str
    title: str
    cells: dict[str, Cell]


def as_text(rows: t.Sequence[Row], names: t.Sequence[str]) -> str:
    """Return the table in Markdown, with a dash where a contestant has no value."""
    found = [
        [row.title, *(row.cells[name].text if name in row.cells else "-" for name in names)]
        for row in rows
    ]
    return as_markdown(["measure", *names], found)


def as_markdown(names: t.Sequence[str], rows: t.Sequence[t.Sequence[str]]) -> str:
    """Return a table in Markdown, with numbers in all columns but the first."""
    lines = [names, ["---", *("---:" for _ in names[1:])], *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(names))]
    return "\n".join(
        "| "
        + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )


def as_json(rows: t.Sequence[Row]) -> list[dict[str, t.Any]]:
    """Return the rows with all their numbers."""
    return [
        {
            "measure": row.measure,
            "title": row.title,
            "found": {name: cell.numbers for name, cell in row.cells.items()},
        }
        for row in rows
    ]
