"""What a forked child must have for itself: connections, locks."""

from __future__ import annotations

import os
import typing as t
import weakref

T = t.TypeVar("T")


class PerProcess(t.Generic[T]):
    """Something that is made anew in each process.

    The parent's is left alone in a child, not closed: closing may wait for a lock that a thread of
    the parent held at the fork, and that nobody will release in the child.
    """

    def __init__(self, make: t.Callable[[], T]) -> None:
        self._make = make
        self._value = make()
        self._abandoned: list[T] = []
        _all.add(self)

    def get(self) -> T:
        return self._value

    def _after_fork(self) -> None:
        self._abandoned.append(self._value)
        self._value = self._make()


_all: weakref.WeakSet[PerProcess[t.Any]] = weakref.WeakSet()


def _after_fork_all() -> None:
    for one in list(_all):
        one._after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork_all)
