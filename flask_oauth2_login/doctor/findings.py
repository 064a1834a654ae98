"""`Finding`: what the doctor says, as data."""

from __future__ import annotations

import dataclasses
import typing as t

#: How grave a finding is. ``unknown`` is a question that could not be answered, ``note`` what a
#: developer may want to know, ``ok`` a question that was answered well.
Level = t.Literal["error", "warning", "unknown", "note", "ok"]
LEVELS: tuple[Level, ...] = t.get_args(Level)


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was found.

    :param level: how grave it is. An ``error`` keeps somebody from signing in, or lets somebody in.
    :param topic: a short name for programs, which does not change.
    :param what: what was found, in a sentence.
    :param why: why that hurts; ``""`` if it does not.
    :param fix: what to do about it; ``""`` if nothing is to be done.
    :param login: the name of the login that it is about; None for the whole app.
    """

    level: Level
    topic: str
    what: str
    why: str = ""
    fix: str = ""
    login: str | None = None


Findings = t.Iterator[Finding]
