"""How commands print: columns for people, JSON for programs."""

from __future__ import annotations

import json
import typing as t

import click

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for a program.")


def print_json(value: t.Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(rows: t.Sequence[t.Sequence[str]]) -> None:
    """Print rows in columns. Of several rows, each has the same number of cells."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the right form."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def tell(text: str) -> None:
    """Print what is no part of the result."""
    click.echo(text, err=True)
