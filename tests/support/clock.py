"""A clock that a test sets, so that nobody has to wait for a lifetime to end."""

from __future__ import annotations

import datetime
import os
import time
import typing as t
from pathlib import Path

import flask.sessions
import pytest

SetAttribute = t.Callable[[t.Any, str, t.Any], None]


class Clock:
    """The time of this process, Flask's sessions included, which a test can let run ahead.

    .. code-block:: python

        clock.ahead += 3600     # an hour later
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        _let_run(lambda: self.ahead, monkeypatch.setattr)


class SharedClock:
    """The time of other processes, which a test can let run ahead. They call :meth:`follow`.

    :param path: of a file whose date says how far: one call changes it for all.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._path.touch()
        self.ahead = 0.0

    @property
    def ahead(self) -> float:
        return self._path.stat().st_mtime

    @ahead.setter
    def ahead(self, seconds: float) -> None:
        os.utime(self._path, (seconds, seconds))

    @staticmethod
    def follow(path: str) -> None:
        """Let this process have the time of a test, until it ends."""
        _let_run(lambda: os.stat(path).st_mtime, setattr)


def _let_run(ahead: t.Callable[[], float], set_attribute: SetAttribute) -> None:
    wall, steady = time.time, time.monotonic
    set_attribute(time, "time", lambda: wall() + ahead())
    set_attribute(time, "monotonic", lambda: steady() + ahead())

    class Datetime(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> t.Any:
            return datetime.datetime.fromtimestamp(time.time(), tz)

    set_attribute(flask.sessions, "datetime", Datetime)
