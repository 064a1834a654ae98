"""What worker processes hold: memory, threads, connections and files. It runs on Linux only."""

from __future__ import annotations

import contextlib
import os
import resource
import time
import typing as t
from pathlib import Path

#: The most seconds to wait until workers have started, and unused connections are closed.
PATIENCE = 10.0


class Held(t.NamedTuple):
    """What some processes hold together."""

    threads: int
    connections: int
    #: Open files, and whatever else is open.
    files: int
    #: The files in their folder, open or not.
    kept: int

    def over(self, before: Held) -> dict[str, int]:
        """Return what is held beyond what was held before."""
        return {name: now - getattr(before, name) for name, now in self._asdict().items()}


def find_workers(master: int, count: int) -> list[int]:
    """Return the child processes of gunicorn's own process, once there are as many as expected."""
    deadline = time.monotonic() + PATIENCE
    while len(workers := _children(master)) != count:
        assert time.monotonic() < deadline, f"gunicorn has {len(workers)} workers, not {count}."
        time.sleep(0.05)
    return workers


def _children(process: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name, in brackets, may have spaces.
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == process and fields[0] != "Z":
                found.append(int(path.parent.name))
    return sorted(found)


def memory_of(process: int) -> int:
    """Return the bytes of memory that a process takes."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def held_by(processes: t.Sequence[int], folder: Path) -> Held:
    """Return what processes hold.

    :param folder: that of the app's files.
    """
    threads = sum(len(os.listdir(f"/proc/{each}/task")) for each in processes)
    opened = [_target(each) for pid in processes for each in Path(f"/proc/{pid}/fd").iterdir()]
    connections = sum(each.startswith("socket:") for each in opened)
    kept = sum(each.is_file() for each in folder.rglob("*"))
    return Held(threads, connections, len(opened) - connections, kept)


def settle(processes: t.Sequence[int], folder: Path) -> Held:
    """Return what processes hold once that does not change any more."""
    deadline = time.monotonic() + PATIENCE
    held = held_by(processes, folder)
    while time.monotonic() < deadline:
        time.sleep(1)
        former, held = held, held_by(processes, folder)
        if former == held:
            break
    return held


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:
        # It has just been closed.
        return ""
