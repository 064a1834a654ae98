"""Run functions in threads and wait at most :data:`WAIT_TIMEOUT` seconds for them."""

from __future__ import annotations

import threading
import time
import typing as t

#: How long (s) a request waits for work that it does not depend on, such as a revocation.
WAIT_TIMEOUT = 0.5


def run_briefly(*functions: t.Callable[[], object]) -> None:
    """Call each function in a thread of its own, and wait at most :data:`WAIT_TIMEOUT` seconds.

    Functions that take longer go on in the background. Exceptions are not propagated; the functions
    must handle their own.
    """
    deadline = time.monotonic() + WAIT_TIMEOUT
    threads = [
        threading.Thread(target=function, daemon=True, name="oauth2-background")
        for function in functions
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
