"""What an import costs beyond that of Flask and requests. Each import has a process of its own.

All modules are loaded as bytecode, as in an app that was started before. Without that, a library
that runs from a working copy would be compared with libraries that `pip` has compiled. The memory
is read from Linux's /proc, so this runs on Linux only.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import typing as t

from .apps import FLOOR, FLOOR_AGAIN
from .field import Field
from .table import Cell, Row

#: How often each contestant is imported. The numbers differ little.
TIMES = 9

_PROGRAM = """
import gc, json, resource, sys, time
from importlib import import_module

def memory():
    gc.collect()
    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[1]) * resource.getpagesize()

started = time.process_time()
import flask, requests
floor = time.process_time() - started
modules, size = len(sys.modules), memory()
started = time.process_time()
import_module(sys.argv[1])
own = time.process_time() - started
print(json.dumps([1 + own / floor, len(sys.modules) - modules, (memory() - size) / 2**20]))
"""

#: CPU time as a ratio, modules, and MiB.
Found = tuple[float, float, float]


def measure(field: Field, times: int = TIMES) -> list[Row]:
    """Import each contestant a number of times, in random order, and return three rows."""
    importing = [each for each in field.contestants if each not in {FLOOR, FLOOR_AGAIN}]
    found: dict[str, list[Found]] = {each.name: [] for each in importing}
    with tempfile.TemporaryDirectory() as bytecode:
        for each in importing:
            _import(each.imports, bytecode)  # compiles
        for _ in range(times):
            for each in random.sample(importing, len(importing)):
                found[each.name].append(_import(each.imports, bytecode))
    cpu, modules, memory = (
        {name: statistics.median(each[index] for each in own) for name, own in found.items()}
        for index in range(3)
    )
    return [
        _row("import-cpu", "import: CPU time", "ratio", cpu, "{:.2f}"),
        _row("import-modules", "import: modules", "modules", modules, "{:.0f}"),
        _row("import-memory", "import: memory, MiB", "MiB", memory, "{:.1f}"),
    ]


def _import(module: str, bytecode: str) -> Found:
    environ = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", _PROGRAM, module]
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environ)  # noqa: S603
    cpu, modules, memory = json.loads(output.stdout)
    return cpu, modules, memory


def _row(name: str, title: str, what: str, values: t.Mapping[str, float], form: str) -> Row:
    return Row(name, title, {who: Cell(form.format(v), {what: v}) for who, v in values.items()})
