"""Base classes for objects whose locks and connections must not be shared across a fork.

A forked child has a copy of all objects, but only the thread that forked. A lock that another
thread held stays locked in the child, and a connection would be used by two processes.
"""

from __future__ import annotations

import os
import threading
import typing as t
import weakref

T = t.TypeVar("T")


class ForkSafe:
    """Base class for objects whose lock must be free while the process forks.

    Python takes the lock before ``os.fork()``, so that the child's copy is in a consistent state.
    Servers that fork in C code run only the hook after the fork. The child gets a new lock in
    either case.

    Subclasses must call ``super().__init__()`` last: fork hooks may run from then on.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _fork_safe.add(self)

    def _before_fork(self) -> None:
        """Release resources that must not cross the fork. The caller holds the lock."""

    def _after_fork(self) -> None:
        """Replace the parent's resources in the child, but do not close them."""


class PerProcess(t.Generic[T]):
    """A value that is made anew in each process.

    A child keeps the parent's value without using or closing it. Closing it may wait for a lock
    that a thread of the parent held at the fork, and that nobody can release in the child.

    :param make: makes the value: now, and in each forked child.
    """

    def __init__(self, make: t.Callable[[], T]) -> None:
        self._make = make
        self._value = make()
        self._abandoned: list[T] = []
        _per_process.add(self)

    def get(self) -> T:
        """Return this process's value."""
        return self._value

    def _after_fork(self) -> None:
        self._abandoned.append(self._value)
        self._value = self._make()


_fork_safe: weakref.WeakSet[ForkSafe] = weakref.WeakSet()
_per_process: weakref.WeakSet[PerProcess[t.Any]] = weakref.WeakSet()
#: The objects whose locks the running fork holds.
_locked: list[ForkSafe] = []
#: Only one thread may fork at a time; two would wait for each other's locks.
_fork_lock = threading.Lock()


def _before_fork() -> None:
    _fork_lock.acquire()
    for each in list(_fork_safe):
        each._lock.acquire()
        _locked.append(each)
        each._before_fork()


def _after_fork_in_parent() -> None:
    while _locked:
        _locked.pop()._lock.release()
    _fork_lock.release()


def _after_fork_in_child() -> None:
    global _fork_lock
    _fork_lock = threading.Lock()
    _locked.clear()
    for each in list(_fork_safe):
        each._lock = threading.Lock()
        each._after_fork()
    for value in list(_per_process):
        value._after_fork()


if hasattr(os, "register_at_fork"):  # Windows has no fork.
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
