"""`Finding`: what the doctor says, as data."""

from __future__ import annotations

import dataclasses
import typing as t

from ..protocol.errors import address_of
from ..protocol.json_input import to_one_line

#: How grave a finding is. ``unknown`` is a question that could not be answered, ``note`` what a
#: developer may want to know, ``ok`` a question that was answered well.
Level = t.Literal["error", "warning", "unknown", "note", "ok"]
LEVELS: tuple[Level, ...] = t.get_args(Level)


def listed(values: t.Iterable[t.Any]) -> str:
    """Return what a provider's metadata list, in one line that is not long."""
    return to_one_line(", ".join(map(str, values)))[:200]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was found.

    :param level: how grave it is. An ``error`` keeps somebody from signing in, or lets somebody in.
    :param topic: a short name for programs, which does not change.
    :param what: what was found, in a sentence.
    :param why: why that hurts; ``""`` if it does not.
    :param fix: what to do about it; ``""`` if nothing is to be done.
    :param login: the name of the login that it is about; None for the whole app.
    :param row: the row of ``docs/errors.md`` that is about it; None for that of the topic.
    """

    level: Level
    topic: str
    what: str
    why: str = ""
    fix: str = ""
    login: str | None = None
    row: str | None = None

    @property
    def address(self) -> str | None:
        """The address of its row; None if nothing is wrong."""
        return None if self.level == "ok" else address_of(self.row or self.topic)


Findings = t.Iterator[Finding]
