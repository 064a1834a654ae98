"""Requests to a provider that nobody has to wait for."""

from __future__ import annotations

import threading
import time
import typing as t

#: Seconds that a visitor waits for what is done for him on the side; it goes on without him.
WAIT_TIMEOUT = 0.5


def run_briefly(*functions: t.Callable[[], object]) -> None:
    """Call functions, each in a thread, and wait :data:`WAIT_TIMEOUT` at the most.

    They may take longer. What they raise is lost: they see to that themselves.
    """
    deadline = time.monotonic() + WAIT_TIMEOUT
    threads = [
        threading.Thread(target=function, daemon=True, name="oauth2-aside")
        for function in functions
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
