"""Print what an API call with a proof costs (DPoP, RFC 9449), divided by one without.

    python -m benchmarks.proofs

It takes a minute. The numbers are CPU time of a view that sends one request to the API. The proof
is signed by ES256. `again` is the app without proofs a second time, so the difference between its
number and 1 is the noise.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import typing as t
from pathlib import Path

from flask import Flask

from .apps import SECRET_KEY, ours
from .cpu import SECONDS, Race, quartile_spread, view
from .provider import RunningProvider, run_provider
from .report import describe_machine

ROUNDS = 40
BEARER, AGAIN, BOUND = "a Bearer token", "again", "a bound token"


def make_app(provider: RunningProvider, scheme: str, folder: Path, *, is_bound: bool) -> Flask:
    """Return an app that calls the API with a token of either kind."""
    app = Flask("benchmarks.proofs", instance_path=str(folder))
    app.config.update(SECRET_KEY=SECRET_KEY, SESSION_COOKIE_SECURE=True)
    ours.add_login(app, provider.at(scheme, "bound" if is_bound else "typical"), dpop=is_bound)
    return app


def measure(provider: RunningProvider, scheme: str, folder: Path, rounds: int) -> str:
    """Return a row of the table."""
    runs: dict[str, t.Callable[[], float]] = {}
    for who in (BEARER, AGAIN, BOUND):
        own = folder / f"{scheme}-{who}".replace(" ", "-")
        own.mkdir()
        app = make_app(provider, scheme, own, is_bound=who == BOUND)
        runs[who] = view("/call", signed_in=True)(app)
    race = Race(runs, SECONDS if rounds > 1 else 0)
    spent = [race.hold() for _ in range(rounds)]
    cells = [f"{statistics.median(each[BEARER] for each in spent) * 1e6:,.0f} µs"]
    for who in (AGAIN, BOUND):
        ratios = [each[who] / each[BEARER] for each in spent]
        cells.append(f"{statistics.median(ratios):.2f} ±{quartile_spread(ratios):.2f}")
    return f"| API call, {scheme} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.proofs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"{ROUNDS}")
    parser.add_argument("--quick", action="store_true", help="one short round: whether all works")
    options = parser.parse_args()
    rounds = 1 if options.quick else options.rounds
    print(f"| | {BEARER} | {AGAIN} | {BOUND} |\n|---|---|---|---|")
    with run_provider() as provider, tempfile.TemporaryDirectory() as folder:
        for scheme in ("http", "https"):
            print(measure(provider, scheme, Path(folder), rounds))
    print(f"\n{describe_machine()}; {rounds} rounds.")


if __name__ == "__main__":
    main()
