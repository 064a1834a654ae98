"""Many requests at once with an expired token, at a provider whose refresh tokens work only once.

One refresh is enough. Every other one is refused, because its refresh token was used before.
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

#: Numbers of processes, and of threads in each.
Sizes = t.Sequence[tuple[int, int]]
SIZES: Sizes = ((1, 32), (4, 8))
#: Seconds after a login at which its token has expired, however a contestant rounds times.
EXPIRED_AFTER = 1.6

_together: Barrier


def measure(field: Field, sizes: Sizes = SIZES) -> list[Row]:
    """Send the requests for each contestant that refreshes tokens."""
    refreshing = [each for each in field.contestants if each.refreshes]
    cookies = {(each, size): _sign_in(field, each) for each in refreshing for size in sizes}
    time.sleep(EXPIRED_AFTER)
    return [
        Row(
            f"stampede-{size[0]}x{size[1]}",
            f"stampede, {size[0]} × {size[1]}: refreshes, failed requests",  # noqa: RUF001
            {each.name: _send(field, each, cookies[each, size], *size) for each in refreshing},
        )
        for size in sizes
    ]


def _sign_in(field: Field, contestant: Contestant) -> dict[str, str]:
    visitor = Visitor(field.app(contestant, plan="expiring", protocol=contestant.main_protocol))
    visitor.sign_in()
    return visitor.cookies


def _send(
    field: Field, contestant: Contestant, cookies: dict[str, str], processes: int, threads: int
) -> Cell:
    before = field.provider.count("refreshes")
    # The processes are not forked, because a forked child would have all apps of this process.
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
    logging.disable()  # because the failed requests log many tracebacks


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
