"""`Reasons`: which kinds of faults the log has told of, so that each is a warning once."""

from __future__ import annotations

import re

#: The most reasons to remember. Later ones don't count as new.
MAX_REASONS = 50


class Reasons:
    """The kinds of faults that one handler has met."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def is_new(self, error: Exception | str) -> bool:
        """Return True for the first error of a kind, or text, and remember the kind."""
        # Numbers in the text, such as those of a time, differ each time.
        reason = re.sub("[0-9]+", "0", str(error))
        if reason in self._known or len(self._known) >= MAX_REASONS:
            return False
        self._known.add(reason)
        return True
