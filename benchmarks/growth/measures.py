"""What grows, and what is repeated at each of its sizes."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import threading
import time
import typing as t

from flask import Flask

from ..apps import FLOOR, OURS
from ..cpu import Run, newcomer, view
from ..provider import Provider
from ..provider_process import TOKENS_OF
from ..visitor import Visitor
from .apps import Ground, signed_in

#: The names of lines that are compared: the floor, and the extension with its default store.
BY_HAND, BY_HAND_AGAIN, COOKIES = "by hand", "by hand again", "cookies, the default"
SQLITE, REDIS = "SQLiteStore", "RedisStore"

#: A line's name and a size.
Point = tuple[str, int]
MakeRun = t.Callable[[Flask], Run]


@dataclasses.dataclass(frozen=True)
class Panel:
    """One measure at all sizes.

    :param requests: the number of requests that one run sends.
    """

    title: str
    runs: t.Mapping[Point, Run]
    requests: int = 1


@dataclasses.dataclass(frozen=True)
class Growth:
    """Something that grows.

    :param axis: what the sizes count.
    :param quick: the sizes of a smoke run.
    """

    name: str
    title: str
    axis: str
    sizes: tuple[int, ...]
    quick: tuple[int, ...]
    make_panels: t.Callable[[Ground, t.Sequence[int]], list[Panel]]


_LOGIN = "/login redirect", newcomer(lambda visitor: visitor.get("/login"))
_SIGN_IN = "a whole login", newcomer(Visitor.sign_in)
_GUARDED = "a guarded view", view("/guarded", signed_in=True)
_CALL = "an API call", view("/call", signed_in=True)


def _compare(
    ground: Ground,
    apps: t.Mapping[Point, Flask],
    *measures: tuple[str, MakeRun],
    hand: t.Mapping[int, Provider] | None = None,
) -> list[Panel]:
    """Return a panel for each measure.

    :param hand: the sizes at which code written by hand is measured, too; by default the least.
    """
    least = min(size for _, size in apps)
    at_hand = {
        (BY_HAND, size): ground.app(FLOOR, provider)
        for size, provider in (hand or {least: ground.provider.at()}).items()
    }
    again = {(BY_HAND_AGAIN, least): ground.app(FLOOR, (hand or {}).get(least))}
    everything = at_hand | again | dict(apps)
    return [
        Panel(title, {point: make_run(app) for point, app in everything.items()})
        for title, make_run in measures
    ]


def _logins(ground: Ground, sizes: t.Sequence[int]) -> list[Panel]:
    apps = {(COOKIES, size): ground.app_with_logins(size) for size in sizes}
    # Most browsers send some cookie. This one is not of an attempt.
    returning = "/login redirect, with a cookie", newcomer(_begin_with_cookie)
    return _compare(ground, apps, _GUARDED, returning, _SIGN_IN)


def _begin_with_cookie(visitor: Visitor) -> None:
    visitor.cookies = {"theme": "dark"}
    visitor.get("/login")


def _stored(ground: Ground, sizes: t.Sequence[int]) -> list[Panel]:
    apps = {(COOKIES, size): ground.app_with_ended_logins(size) for size in sizes}
    apps |= {(SQLITE, size): ground.app_with_records_in_file(size) for size in sizes}
    if ground.redis:
        apps |= {(REDIS, size): ground.app_with_records_in_redis(size) for size in sizes}
    return _compare(ground, apps, _GUARDED, _SIGN_IN)


def _scopes(ground: Ground, sizes: t.Sequence[int]) -> list[Panel]:
    providers = {size: dataclasses.replace(ground.provider.at(), scopes=size) for size in sizes}
    apps = {(COOKIES, size): ground.app(OURS, provider) for size, provider in providers.items()}
    return _compare(ground, apps, _GUARDED, _LOGIN, _SIGN_IN, hand=providers)


def _tokens(ground: Ground, sizes: t.Sequence[int]) -> list[Panel]:
    providers = {size: ground.provider.at(plan=f"{TOKENS_OF}{size}") for size in sizes}
    apps = {
        (COOKIES, size): ground.app(OURS, provider)
        for size, provider in providers.items()
        if size <= LARGEST_IN_COOKIES
    }
    store = f"sqlite:///{ground.new_folder(OURS)}/logins.db"
    apps |= {
        (SQLITE, size): ground.app(OURS, provider, OAUTH2_LOGIN_STORE=store)
        for size, provider in providers.items()
    }
    hand = {size: provider for size, provider in providers.items() if size <= LARGEST_IN_SESSION}
    return _compare(ground, apps, _GUARDED, _CALL, hand=hand)


#: The most characters of a token that fit into the session's cookie, and into the record's cookies.
LARGEST_IN_SESSION, LARGEST_IN_COOKIES = 2000, 4000


def _threads(ground: Ground, sizes: t.Sequence[int]) -> list[Panel]:
    apps = {BY_HAND: ground.app(FLOOR), COOKIES: ground.app(OURS)}
    panels = []
    for title, path, requests in (
        ("a guarded view", "/guarded", 4 * max(sizes)),
        ("an API call", "/call", 2 * max(sizes)),
    ):
        runs = {
            (who, size): _at_once(ground, app, path, size, requests)
            for who, app in apps.items()
            for size in sizes
        }
        again = _at_once(ground, ground.app(FLOOR), path, min(sizes), requests)
        panels.append(Panel(title, {**runs, (BY_HAND_AGAIN, min(sizes)): again}, requests))
    return panels


def _at_once(ground: Ground, app: Flask, path: str, threads: int, requests: int) -> Run:
    """Return a run in which as many visitors as threads open a page again and again."""
    pool = ground.stack.enter_context(concurrent.futures.ThreadPoolExecutor(threads))
    visitors = [signed_in(app, time.thread_time) for _ in range(threads)]
    together = threading.Barrier(threads)

    def send(visitor: Visitor) -> float:
        together.wait(60)
        before = visitor.spent
        for _ in range(requests // threads):
            response = visitor.get(path)
            assert response.status == 200, response
        return visitor.spent - before

    return lambda: sum(pool.map(send, visitors))


def _attempts(ground: Ground, sizes: t.Sequence[int]) -> list[Panel]:
    apps: dict[Point, Flask] = {(COOKIES, size): ground.app() for size in sizes}
    others = {size: _begun(apps[COOKIES, size], size - 1) for size in sizes}
    floors = {name: ground.app(FLOOR) for name in (BY_HAND, BY_HAND_AGAIN)}
    panels = []
    for title, act in (("/login redirect", lambda each: each.get("/login")), _ACT_SIGN_IN):
        runs = {(who, min(sizes)): _continued(app, {}, act) for who, app in floors.items()}
        runs |= {
            (who, size): _continued(app, others[size], act) for (who, size), app in apps.items()
        }
        panels.append(Panel(title, runs))
    return panels


_ACT_SIGN_IN: tuple[str, t.Callable[[Visitor], object]] = "a whole login", Visitor.sign_in


def _begun(app: Flask, count: int) -> dict[str, str]:
    """Return the cookies of a visitor who has begun a number of sign-ins, and finished none."""
    visitor = Visitor(app)
    for _ in range(count):
        visitor.get("/login")
    return visitor.cookies


def _continued(app: Flask, cookies: t.Mapping[str, str], act: t.Callable[[Visitor], object]) -> Run:
    """Return a run in which a visitor with cookies does something."""

    def run() -> float:
        visitor = Visitor(app)
        visitor.cookies = dict(cookies)
        act(visitor)
        return visitor.spent

    return run


GROWTHS = (
    Growth(
        "logins",
        "Logins in an app",
        "logins registered in the app",
        (1, 5, 20, 50),
        (1, 2),
        _logins,
    ),
    Growth(
        "stored", "Logins in a store", "logins stored", (1, 1000, 10_000, 100_000), (1, 20), _stored
    ),
    Growth(
        "threads",
        "Threads",
        "threads in one process, all busy",
        (1, 2, 4, 8, 16, 32, 64),
        (1, 2),
        _threads,
    ),
    Growth("scopes", "Scopes", "scopes asked for", (1, 5, 20, 50), (1, 2), _scopes),
    Growth(
        "tokens",
        "Size of the access token",
        "characters of the access token",
        (250, 1000, 2000, 4000, 16_000),
        (250, 4000),
        _tokens,
    ),
    Growth(
        "attempts",
        "Sign-ins under way in one browser",
        "attempts, with the measured one",
        (1, 2, 4, 8, 16, 32),
        (1, 9),
        _attempts,
    ),
)
