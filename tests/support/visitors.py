"""Visitors who are slower, later or worse than `Browser`."""

from __future__ import annotations

import dataclasses
import threading
import time
import typing as t

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from .clock import Clock
from .provider import Browser


def in_wsgi(text: str) -> str:
    """A header's value as WSGI has it."""
    return text.encode().decode("latin-1")


class SlowRequest:
    """A request by a copy of a browser, whose answer that browser takes when it comes."""

    def __init__(self, browser: Browser, app: Flask, send: t.Callable[[Browser], TestResponse]):
        self._browser = browser
        self._answers: list[TestResponse] = []
        visitor = Browser(app)
        visitor.jar = browser.jar.copy()
        self._thread = threading.Thread(target=lambda: self._answers.append(send(visitor)))
        self._thread.start()

    def finish(self) -> TestResponse:
        self._thread.join()
        (answer,) = self._answers
        cookies = answer.headers.getlist("Set-Cookie")
        self._browser.jar.take(f"{self._browser.origin}/x", cookies, "same-origin", top_level=True)
        return answer


class Thief:
    """Somebody with a copy of a browser's cookies, who keeps them as long as he likes."""

    def __init__(self, app: Flask, browser: Browser) -> None:
        self._client = app.test_client()
        for cookie in browser.cookies:
            self._client.set_cookie(cookie.name, cookie.value)

    def get(self, path: str) -> int:
        return self._client.get(path).status_code


def set_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """It is just after a full hour: what is dated by the hour counts longest then."""
    clock = Clock(monkeypatch)
    clock.ahead = 3600 - time.time() % 3600 + 5
    return clock


def visits(lifetime: int) -> list[float]:
    """Seconds, often enough for a session to stay fresh, until well after its lifetime."""
    during = [lifetime * step / 7 for step in range(1, 7)]
    return during + [lifetime + late for late in (4, 600, 2000, 3590)]


def keep_forever(browser: Browser) -> None:
    """Send the cookies from now on, whatever was said of their end, as a program does."""
    for cookie in browser.cookies:
        browser.jar.put(dataclasses.replace(cookie, expires_at=None))


def call_as(browser: Browser, app: Flask | str, path: str = "/call/x") -> int:
    """Call the API with a copy of a browser's cookies."""
    return copy_of(browser, app).fetch(path).status_code


def copy_of(browser: Browser, app: Flask | str) -> Browser:
    """A browser with a copy of another one's cookies."""
    visitor = Browser(app)
    visitor.jar = browser.jar.copy()
    return visitor
