"""Several threads that begin at the same time."""

from __future__ import annotations

import threading
import typing as t
from concurrent.futures import ThreadPoolExecutor


def at_once(work: t.Callable[[], t.Any], count: int) -> list[t.Any]:
    """Do something in so many threads at the same time; return what each of them returned."""
    return at_once_numbered(lambda _: work(), count)


def at_once_numbered(work: t.Callable[[int], t.Any], count: int) -> list[t.Any]:
    """The same; each thread is given its number."""
    barrier = threading.Barrier(count)

    def run(number: int) -> t.Any:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
