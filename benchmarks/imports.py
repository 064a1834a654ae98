"""What an import costs beyond that of Flask and requests. Each import has a process of its own.

The memory is read from Linux's /proc, so this runs on Linux only.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import typing as t

from .apps import FLOOR, FLOOR_AGAIN
from .field import Field
from .table import Cell, Row

#: How often each contestant is imported. The numbers differ little.
TIMES = 9

_PROGRAM = """
import gc, json, resource, sys, time
from importlib import import_module

def now():
    gc.collect()
    with open("/proc/self/statm") as memory:
        pages = int(memory.read().split()[1])
    return time.process_time(), len(sys.modules), pages * resource.getpagesize()

started = now()
import flask, requests
before = now()
import_module(sys.argv[1])
after = now()
print(json.dumps([started, before, after]))
"""

Found = tuple[float, float, float]


def measure(field: Field, times: int = TIMES) -> list[Row]:
    """Import each contestant a number of times, in random order, and return three rows."""
    importing = [each for each in field.contestants if each not in {FLOOR, FLOOR_AGAIN}]
    found: dict[str, list[Found]] = {each.name: [] for each in importing}
    for _ in range(times):
        for each in random.sample(importing, len(importing)):
            found[each.name].append(_import(each.imports))
    cpu, modules, memory = (
        {name: statistics.median(each[index] for each in own) for name, own in found.items()}
        for index in range(3)
    )
    return [
        _row("import-cpu", "import: CPU time", "ratio", cpu, "{:.2f}"),
        _row("import-modules", "import: modules", "modules", modules, "{:.0f}"),
        _row("import-memory", "import: memory, MiB", "MiB", memory, "{:.1f}"),
    ]


def _import(module: str) -> Found:
    command = [sys.executable, "-c", _PROGRAM, module]
    output = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    started, before, after = json.loads(output.stdout)
    cpu = (after[0] - started[0]) / (before[0] - started[0])
    return cpu, after[1] - before[1], (after[2] - before[2]) / 2**20


def _row(name: str, title: str, what: str, values: t.Mapping[str, float], form: str) -> Row:
    return Row(name, title, {who: Cell(form.format(v), {what: v}) for who, v in values.items()})
