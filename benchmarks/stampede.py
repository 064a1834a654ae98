"""Many requests at once with a token that has expired, at a provider that rotates refresh tokens.

One refresh is enough, and every other one is refused, because its refresh token was used before.
"""

from __future__ import annotations

import concurrent.futures
import logging
import multiprocessing
import threading
import time
import typing as t
from multiprocessing.synchronize import Barrier
from pathlib import Path

from .apps import Contestant
from .field import Field
from .provider import Provider
from .table import Cell, Row
from .visitor import Visitor

#: Processes, and threads of each.
SIZES = ((1, 32), (4, 8))
#: Seconds after a login at which its token has expired by anybody's clock.
EXPIRED_AFTER = 2.5

_together: Barrier


def measure(field: Field) -> list[Row]:
    """Send the requests for each contestant that refreshes tokens."""
    return [_measure(field, processes, threads) for processes, threads in SIZES]


def _measure(field: Field, processes: int, threads: int) -> Row:
    visitors = {}
    for each in field.contestants:
        if each.refreshes:
            visitors[each] = Visitor(field.app(each, plan="expiring", protocol=each.main_protocol))
            visitors[each].sign_in()
    time.sleep(EXPIRED_AFTER)
    return Row(
        f"stampede-{processes}x{threads}",
        f"stampede, {processes} of {threads} threads: refreshes, failed requests",
        {
            each.name: _send(field, each, visitor.cookies, processes, threads)
            for each, visitor in visitors.items()
        },
    )


def _send(
    field: Field, contestant: Contestant, cookies: dict[str, str], processes: int, threads: int
) -> Cell:
    before = field.provider.count("refreshes")
    # Not forked: a child of this process would have all of its apps.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        processes, context, _start_process, (context.Barrier(processes),)
    ) as pool:
        app = field.app(contestant, plan="expiring", protocol=contestant.main_protocol)
        provider = field.provider.at(plan="expiring", protocol=contestant.main_protocol)
        given = contestant, provider, Path(app.instance_path), cookies, threads
        running = [pool.submit(_send_from_process, *given) for _ in range(processes)]
        failed = sum(each.result() for each in running)
    refreshes = field.provider.count("refreshes") - before
    return Cell(f"{refreshes}, {failed}", {"refreshes": refreshes, "failed": failed})


def _start_process(together: Barrier) -> None:
    global _together
    _together = together
    logging.disable()  # of tracebacks, which are many


def _send_from_process(
    contestant: Contestant,
    provider: Provider,
    folder: Path,
    cookies: dict[str, str],
    threads: int,
) -> int:
    """Send one request from each of some threads, and return how many failed."""
    app = contestant.make_app(provider, folder)
    Visitor(app).get("/")
    ready = threading.Barrier(threads, lambda: t.cast(None, _together.wait(60)))

    def send(_number: int) -> bool:
        visitor = Visitor(app)
        visitor.cookies = dict(cookies)
        ready.wait(60)
        return visitor.get("/call").status != 200

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(send, range(threads)))
