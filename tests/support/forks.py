"""Forked children."""

from __future__ import annotations

import os
import traceback
import typing as t


def in_child(work: t.Callable[[], object]) -> int:
    """Fork, do some work in the child, and return the child's process id.

    The child's exit code is 1 if the work fails.
    """
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child
