"""Locks and connections at a fork: at rest when it happens, the child's own afterwards."""

from __future__ import annotations

import os
import threading
import weakref


class ForkSafe:
    """Something behind a lock, in whose midst no fork happens.

    Python's own forks wait until the lock is free, so that a child finds nothing half done. A
    server that forks in C tells Python only afterwards. The child has a new lock in any case.

    What inherits from it initialises it last: a fork may come at any time from then on.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _guarded.add(self)

    def _before_fork(self) -> None:
        """Let go of what a child could not use. Called before a fork, with the lock held."""

    def _after_fork(self) -> None:
        """Forget what is the parent's, but do not close it. Called in the child."""


_guarded: weakref.WeakSet[ForkSafe] = weakref.WeakSet()
_held: list[ForkSafe] = []
_forking = threading.Lock()


def _before() -> None:
    # Two threads that fork at once would wait for each other's locks.
    _forking.acquire()
    for one in list(_guarded):
        one._lock.acquire()
        _held.append(one)
        one._before_fork()


def _in_parent() -> None:
    while _held:
        _held.pop()._lock.release()
    _forking.release()


def _in_child() -> None:
    global _forking
    _forking = threading.Lock()
    _held.clear()
    for one in list(_guarded):
        one._lock = threading.Lock()
        one._after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
