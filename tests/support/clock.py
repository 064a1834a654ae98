"""A clock that a test sets, so that nobody has to wait for a lifetime to end."""

from __future__ import annotations

import datetime
import time
import typing as t

import flask.sessions
import pytest


class Clock:
    """The time of this process, Flask's sessions included, which a test can let run ahead.

    .. code-block:: python

        clock.ahead += 3600     # an hour later
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        wall, steady = time.time, time.monotonic
        monkeypatch.setattr(time, "time", lambda: wall() + self.ahead)
        monkeypatch.setattr(time, "monotonic", lambda: steady() + self.ahead)

        class Datetime(datetime.datetime):
            @classmethod
            def now(cls, tz: datetime.tzinfo | None = None) -> t.Any:
                return datetime.datetime.fromtimestamp(time.time(), tz)

        monkeypatch.setattr(flask.sessions, "datetime", Datetime)
