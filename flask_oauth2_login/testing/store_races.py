"""Calls to a store that threads and processes make at the same time.

Processes are spawned, not forked, so that they share nothing with this one but the store.
"""

from __future__ import annotations

import functools
import multiprocessing
import threading
import traceback
import typing as t
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

import pytest

from ..stores.base import TokenStore

#: Threads that make the same call at once, in each process.
THREADS = 8
#: Processes that make the same call at once.
PROCESSES = 4
#: The longest wait (s) for the other threads and processes, and for a call.
TIMEOUT = 30.0

#: Opens a store in another process.
Elsewhere = t.Callable[[], TokenStore]
#: The name of a store's method, and the arguments to call it with.
Call = tuple[str, tuple[t.Any, ...]]


def call_in_threads(store: TokenStore, call: Call) -> list[t.Any]:
    """Make a call in several threads at once.

    :returns: the results. For ``create``, which returns nothing: True if it succeeded, and False
        if the record existed.
    """
    method, arguments = call
    barrier = threading.Barrier(THREADS)

    def make_call() -> t.Any:
        barrier.wait(TIMEOUT)
        try:
            result = getattr(store, method)(*arguments)
        except KeyError:
            return False
        return True if method == "create" else result

    with ThreadPoolExecutor(THREADS) as threads:
        return [task.result() for task in [threads.submit(make_call) for _ in range(THREADS)]]


def call_in_processes(elsewhere: Elsewhere, calls: list[Call]) -> list[list[t.Any]]:
    """Make calls one after the other, each in all threads of several processes at once.

    :returns: for each call, the results of all processes' :func:`call_in_threads`.
    """
    pipes = _start_processes()[1]
    for pipe in pipes:
        pipe.send((elsewhere, calls))
    by_process = [_receive(pipe) for pipe in pipes]
    by_call = [list(chain(*results)) for results in zip(*by_process, strict=True)]
    assert {len(results) for results in by_call} == {PROCESSES * THREADS}  # noqa: S101
    return by_call


@functools.cache
def _start_processes() -> tuple[Barrier, list[Connection]]:
    """Start the processes, which end with this one. Return a pipe to each of them.

    The barrier at which they wait for each other is returned, too, because it must live as long as
    they do.
    """
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(PROCESSES)
    pipes = []
    for _ in range(PROCESSES):
        ours, theirs = spawn.Pipe()
        spawn.Process(target=_make_calls, args=(theirs, barrier), daemon=True).start()
        theirs.close()
        pipes.append(ours)
    return barrier, pipes


def _make_calls(pipe: Connection, barrier: Barrier) -> None:
    """Receive stores and calls, and send the calls' results, until the pipe is closed."""
    while True:
        try:
            elsewhere, calls = pipe.recv()
        except EOFError:
            return
        try:
            store = elsewhere()
            results = []
            for call in calls:
                barrier.wait(TIMEOUT)
                results.append(call_in_threads(store, call))
            pipe.send(results)
        except Exception:
            pipe.send(traceback.format_exc())


def _receive(pipe: Connection) -> list[list[t.Any]]:
    """Return the results that a process sends, and fail the test if it sends a traceback."""
    if not pipe.poll(2 * TIMEOUT):
        pytest.fail(f"Another process sent no results within {2 * TIMEOUT} seconds.")
    received = pipe.recv()
    if isinstance(received, str):
        pytest.fail(f"Another process failed:\n{received}")
    return t.cast("list[list[t.Any]]", received)
