"""CPU time of requests to an app, divided by what the same costs by hand.

The provider and its API run in another process, so their time does not count. In each round, every
contestant is measured in slices, in random order; it is compared with the floor of the same round
only. What the table shows is the median of these ratios.
"""

from __future__ import annotations

import dataclasses
import gc
import random
import statistics
import typing as t

from flask import Flask

from .apps import FLOOR, FLOOR_AGAIN, Contestant
from .field import Field
from .provider import OAUTH, OPENID
from .table import Cell, Row
from .visitor import Visitor

#: Seconds of CPU time for which a contestant is measured in a round, and the most slices of them.
SECONDS, SLICES = 0.05, 12

#: A function that does once what is measured, and returns the app's CPU time in seconds.
Run = t.Callable[[], float]
#: The type of what is compared.
Who = t.TypeVar("Who", bound=t.Hashable)


@dataclasses.dataclass(frozen=True)
class Measure:
    """A row of the table.

    :param make_run: returns the run of an app, which is repeated.
    :param protocol: the protocol of the apps; None if each uses its main one.
    """

    name: str
    title: str
    make_run: t.Callable[[Flask], Run]
    scheme: str = "http"
    protocol: str | None = None

    def make_runs(self, field: Field) -> dict[Contestant, Run]:
        """Return what to repeat for each contestant that takes part."""
        protocol = self.protocol
        taking_part = field.contestants if protocol is None else field.who_speaks(protocol)
        return {
            each: self.make_run(
                field.app(each, self.scheme, protocol=protocol or each.main_protocol)
            )
            for each in taking_part
        }


def newcomer(act: t.Callable[[Visitor], object]) -> t.Callable[[Flask], Run]:
    """Return a function that makes runs in which a visitor without cookies does something."""

    def make_run(app: Flask) -> Run:
        def run() -> float:
            visitor = Visitor(app)
            act(visitor)
            return visitor.spent

        return run

    return make_run


def view(path: str, *, signed_in: bool) -> t.Callable[[Flask], Run]:
    """Return a function that makes runs in which the same visitor opens a page."""

    def make_run(app: Flask) -> Run:
        visitor = Visitor(app)
        if signed_in:
            visitor.sign_in()

        def run() -> float:
            before = visitor.spent
            response = visitor.get(path)
            assert response.status == 200, response
            return visitor.spent - before

        return run

    return make_run


_sign_in = newcomer(Visitor.sign_in)

MEASURES = (
    Measure("login-redirect", "`/login` redirect", newcomer(lambda each: each.get("/login"))),
    Measure("login-oauth-http", "a whole login, OAuth, http", _sign_in, "http", OAUTH),
    Measure("login-openid-http", "a whole login, OpenID Connect, http", _sign_in, "http", OPENID),
    Measure("login-oauth-https", "a whole login, OAuth, https", _sign_in, "https", OAUTH),
    Measure(
        "login-openid-https", "a whole login, OpenID Connect, https", _sign_in, "https", OPENID
    ),
    Measure("view-signed-out", "a view without login, signed out", view("/", signed_in=False)),
    Measure("view-signed-in", "a view without login, signed in", view("/", signed_in=True)),
    Measure("view-guarded", "a guarded view", view("/guarded", signed_in=True)),
    Measure("api-http", "API call, http", view("/call", signed_in=True)),
    Measure("api-https", "API call, https", view("/call", signed_in=True), "https"),
)


class Race(t.Generic[Who]):
    """A comparison by one measure: how often each contestant runs in a round, and in what order.

    A contestant's runs are divided into slices, which are spread over the round. So other work of
    the machine slows all contestants alike.

    :param seconds: of CPU time that each contestant gets in a round.
    """

    def __init__(self, runs: t.Mapping[Who, Run], seconds: float) -> None:
        self._runs = runs
        for run in runs.values():
            run()  # imports the modules that are imported late
        costs = {who: min(run(), run()) for who, run in runs.items()}
        self._times = {who: max(1, round(seconds / cost)) for who, cost in costs.items()}

    def hold(self) -> dict[Who, float]:
        """Return the seconds of CPU time of one run of each contestant, on average."""
        spent = dict.fromkeys(self._runs, 0.0)
        gc.collect()
        gc.disable()
        try:
            for _position, who, times in sorted(self._slices(), key=lambda each: each[0]):
                run = self._runs[who]
                if times > 1:
                    run()  # is slower, because the processor's caches are full of another app
                spent[who] += sum(run() for _ in range(times))
        finally:
            gc.enable()
        return {who: seconds / self._times[who] for who, seconds in spent.items()}

    def _slices(self) -> t.Iterator[tuple[float, Who, int]]:
        for who, times in self._times.items():
            count = min(SLICES, times)
            for index in range(count):
                position = (index + random.random()) / count  # noqa: S311
                yield position, who, times * (index + 1) // count - times * index // count


def measure(
    field: Field, measures: t.Sequence[Measure], rounds: int, progress: t.Callable[[str], None]
) -> list[Row]:
    """Measure CPU time in a number of rounds, and return a row for each measure."""
    seconds = SECONDS if rounds > 1 else 0
    races = {each: Race(each.make_runs(field), seconds) for each in measures}
    spent: dict[Measure, list[dict[Contestant, float]]] = {each: [] for each in measures}
    gc.collect()
    gc.freeze()  # so that the collections after each race take no time
    for number in range(rounds):
        progress(f"CPU time: round {number + 1} of {rounds}")
        for each in random.sample(measures, len(measures)):
            spent[each].append(races[each].hold())
    gc.unfreeze()
    return [Row(each.name, each.title, make_cells(spent[each])) for each in measures]


def make_cells(rounds: t.Sequence[t.Mapping[Contestant, float]]) -> dict[str, Cell]:
    """Return the cells of a row: the floor's in microseconds, the others' as ratios to it."""
    cells = {}
    for who in rounds[0]:
        seconds = statistics.median(each[who] for each in rounds)
        if who == FLOOR:
            cells[who.name] = Cell(f"{seconds * 1e6:,.0f} µs", {"seconds": seconds})
            continue
        ratios = [each[who] / each[FLOOR] for each in rounds]
        ratio, spread = statistics.median(ratios), quartile_spread(ratios)
        text = f"{ratio:.2f} ±{spread:.2f}" if who == FLOOR_AGAIN else f"{ratio:.2f}"
        cells[who.name] = Cell(text, {"ratio": ratio, "spread": spread, "seconds": seconds})
    return cells


def noise(rows: t.Sequence[Row]) -> float | None:
    """Return the most by which a ratio of the floor's second app differs from 1, or None."""
    again = [row.cells[FLOOR_AGAIN.name].numbers for row in rows if FLOOR_AGAIN.name in row.cells]
    return max((abs(each["ratio"] - 1) for each in again if "ratio" in each), default=None)


def quartile_spread(values: t.Sequence[float]) -> float:
    """Return half of the difference between the first and the third quartile."""
    if len(values) < 2:
        return 0.0
    first, _, third = statistics.quantiles(values, n=4)
    return (third - first) / 2
