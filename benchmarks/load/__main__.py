"""Print how many requests gunicorn serves with two workers, and what these hold afterwards.

    python -m benchmarks.load

It takes about four minutes on two cores, and needs gunicorn, Redis's client and `redis-server`.
The example app, once with its logins in Redis and once in cookies, is compared with an app that is
written by hand. Clients, provider, Redis and gunicorn share the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import random
import statistics
import tempfile
import time
import typing as t
from importlib.util import find_spec
from pathlib import Path

from ..charts import Chart, Panel
from ..page import CHARTS
from ..provider import RunningProvider, run_provider
from ..report import describe_machine, finish, show_progress
from ..servers import find_redis, run_gunicorn, run_redis
from ..table import as_markdown
from .apps import variables
from .client import Sent, WebVisitor, send
from .processes import find_workers, memory_of, settle

WORKERS, THREADS = 2, 4
#: How many connections send requests at once.
CONNECTIONS = 8
#: How many people have signed in and take turns: at first, and in the long run. Those of the long
#: run are more than a worker can cache, so its cache does not grow any more.
PEOPLE, CROWD = 20, 3000

ROUNDS, REQUESTS = 10, 100_000
#: How many requests one page gets in a round.
PAGES = {"/guarded": 1000, "/call": 500}
TITLES = {"/guarded": "a guarded page", "/call": "an API call"}
#: Of each thousand requests of the long run: sign-ins, of two requests each, and API calls.
PORTION, SIGN_INS, CALLS = 1000, 5, 190

#: What each field of `Held` is called.
HELD = {
    "threads": "threads",
    "connections": "connections and other sockets",
    "files": "open files and pipes",
    "kept": "files in the app's folder",
}

#: Numbers by page and server.
Pages = dict[str, dict[str, dict[str, float]]]

BY_HAND, BY_HAND_AGAIN = "by hand", "by hand again"
REDIS, COOKIES = "example, Redis", "example, cookies"


@dataclasses.dataclass
class Server:
    """An app under gunicorn, and people who have signed in there."""

    port: int
    workers: list[int]
    folder: Path
    #: Where the app begins a sign-in.
    login: str
    people: list[WebVisitor] = dataclasses.field(default_factory=list)

    def requests(self, target: str, count: int) -> t.Iterator[bytes]:
        """Return requests of the people in turn, from any of them on."""
        people = random.sample(self.people, len(self.people))
        return (each.request(target) for each in itertools.islice(itertools.cycle(people), count))

    def sign_in(self, count: int) -> None:
        """Let more people sign in."""
        for _ in range(count):
            visitor = WebVisitor(self.port)
            visitor.sign_in(self.login)
            self.people.append(visitor)

    def send(self, target: str, count: int, connections: int = CONNECTIONS) -> Sent:
        """Send requests for one page."""
        return send(self.port, self.requests(target, count), connections)

    def send_portion(self, count: int) -> None:
        """Send requests of all kinds. Some people leave, and as many sign in."""
        sign_ins, calls = (max(1, each * count // PORTION) for each in (SIGN_INS, CALLS))
        del self.people[:sign_ins]
        self.sign_in(sign_ins)
        requests = [
            *self.requests("/call", calls),
            *self.requests("/guarded", count - calls - 2 * sign_ins),
        ]
        random.shuffle(requests)
        send(self.port, requests, CONNECTIONS)


def main() -> None:
    options = parse_options()
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        provider = stack.enter_context(run_provider())
        for name in ("redis", "1", "2", "3", "4"):
            (folder / name).mkdir()
        redis = stack.enter_context(run_redis(folder / "redis"))
        example, floor = ("make_example", "/provider/login"), ("make_floor", "/login")
        servers = {
            name: start(stack, provider, folder / place, *app, store, options.people)
            for name, place, app, store in (
                (BY_HAND, "1", floor, ""),
                (BY_HAND_AGAIN, "2", floor, ""),
                (COOKIES, "3", example, "cookie"),
                (REDIS, "4", example, f"{redis}/0"),
            )
        }
        pages = measure_pages(servers, options)
        run = measure_long_run(servers[REDIS], provider, options)
    about = {
        "machine": describe_machine(),
        "rounds": options.rounds,
        "seconds": round(time.monotonic() - started),
    }
    finish(as_text(pages, run, about), {**about, "pages": pages, "run": run}, options.json)
    if options.charts:
        options.charts.mkdir(exist_ok=True)
        (options.charts / "memory.svg").write_text(make_chart(run["memory"]).as_svg(), "utf-8")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--json", type=Path, metavar="FILE", help="write all numbers there, too")
    add("--charts", type=Path, metavar="FOLDER", help=f"of the chart; {CHARTS}")
    add("--rounds", type=int, default=ROUNDS, metavar="N", help=f"of each page; {ROUNDS}")
    add("--requests", type=int, default=REQUESTS, metavar="N", help=f"long run; {REQUESTS:,}")
    add("--quick", action="store_true", help="one short round: whether all works, no numbers")
    options = parser.parse_args()
    missing = [] if find_spec("gunicorn") else ["gunicorn"]
    missing += [] if find_redis() else ["redis, and the program redis-server"]
    if missing:
        parser.error(f"not installed: {', '.join(missing)}")
    options.people, options.crowd = PEOPLE, CROWD
    options.pages = PAGES
    if options.quick:
        options.rounds, options.requests = 1, 60
        options.people, options.crowd = 2, 5
        options.pages = dict.fromkeys(PAGES, 20)
    elif options.charts is None:
        options.charts = CHARTS
    return options


def start(
    stack: contextlib.ExitStack,
    provider: RunningProvider,
    folder: Path,
    app: str,
    login: str,
    store: str,
    people: int,
) -> Server:
    """Start an app, and sign people in."""
    show_progress(f"starting {app}")
    port, process = stack.enter_context(
        run_gunicorn(
            f"benchmarks.load.apps:{app}()",
            variables(provider.at(), folder, store),
            folder.with_suffix(".log"),
            *("--workers", str(WORKERS), "--threads", str(THREADS), "--keep-alive", "30"),
        )
    )
    server = Server(port, find_workers(process.pid, WORKERS), folder, login)
    server.sign_in(people)
    return server


def measure_pages(servers: t.Mapping[str, Server], options: argparse.Namespace) -> Pages:
    """Send requests for each page to each server in turn, in random order."""
    pairs = list(itertools.product(options.pages, servers))
    found: dict[tuple[str, str], list[Sent]] = {pair: [] for pair in pairs}
    for path, name in pairs:
        servers[name].send(path, options.pages[path])
    for number in range(options.rounds):
        show_progress(f"pages: round {number + 1} of {options.rounds}")
        for path, name in random.sample(pairs, len(pairs)):
            found[path, name].append(servers[name].send(path, options.pages[path]))
    return {
        path: {name: summarize(found[path, name], found[path, BY_HAND]) for name in servers}
        for path in options.pages
    }


def summarize(rounds: t.Sequence[Sent], by_hand: t.Sequence[Sent]) -> dict[str, float]:
    """Return the numbers of one page at one server."""
    latencies = [each for sent in rounds for each in sent.latencies]
    cuts = statistics.quantiles(latencies, n=100)
    return {
        "a second": statistics.median(len(each.latencies) / each.seconds for each in rounds),
        "ratio": statistics.median(
            other.seconds / each.seconds for each, other in zip(rounds, by_hand, strict=True)
        ),
        "median": cuts[49],
        "99th": cuts[98],
    }


def measure_long_run(
    server: Server, provider: RunningProvider, options: argparse.Namespace
) -> dict[str, t.Any]:
    """Send many requests to one server, and look at what its workers hold."""
    requests = options.requests
    portion = min(PORTION, requests // 3)
    show_progress(f"long run: {options.crowd:,} people sign in")
    server.sign_in(options.crowd - len(server.people))
    # With so many connections each worker sees most people, and uses all of its threads at once.
    many = 4 * CONNECTIONS
    server.send("/guarded", 3 * options.crowd, many)
    server.send("/call", max(portion, many), many)
    server.send_portion(portion)
    before = settle(server.workers, server.folder)
    opened = provider.count("http connections")
    memory = {0: [memory_of(each) for each in server.workers]}
    for done in range(portion, requests + 1, portion):
        show_progress(f"long run: {done:,} of {requests:,} requests")
        server.send_portion(portion)
        memory[done] = [memory_of(each) for each in server.workers]
    after = settle(server.workers, server.folder)
    return {
        "requests": max(memory),
        "memory": memory,
        "before": before._asdict(),
        "left over": after.over(before),
        "new connections to the provider": provider.count("http connections") - opened,
    }


def as_text(pages: Pages, run: t.Mapping[str, t.Any], about: t.Mapping[str, t.Any]) -> str:
    """Return the tables, and what a reader must know about the run."""
    rows = []
    for path, by_name in pages.items():
        for what, key, form, factor in (
            ("requests a second", "a second", "{:,.0f}", 1),
            ("the same, divided by that of the first", "ratio", "{:.2f}", 1),
            ("median latency, ms", "median", "{:.1f}", 1000),
            ("99th percentile, ms", "99th", "{:.1f}", 1000),
        ):
            values = [form.format(each[key] * factor) for each in by_name.values()]
            rows.append([f"{TITLES[path]}: {what}", *values])
    memory, last, left = run["memory"], run["requests"], run["left over"]
    held = [["memory, MiB", *(f"{sum(memory[each]) / 2**20:.1f}" for each in (0, last))]]
    held += [
        [HELD[name], str(count), str(count + left[name])] for name, count in run["before"].items()
    ]
    opened = run["new connections to the provider"]
    setting = f"{WORKERS} workers with {THREADS} threads each, {CONNECTIONS} connections"
    return "\n\n".join(
        (
            as_markdown(["under gunicorn", *next(iter(pages.values()))], rows),
            as_markdown([f"{REDIS}, both workers", "before", f"after {last:,} requests"], held),
            f"New connections to the provider in these requests: {opened}.",
            f"{about['machine']}; {setting}, {about['rounds']} rounds, {about['seconds']} seconds.",
        )
    )


def make_chart(memory: t.Mapping[int, t.Sequence[int]]) -> Chart:
    """Return the chart of the workers' memory during the long run."""
    lines = {
        f"worker {index + 1}": [
            (done / 1000, sizes[index] / 2**20) for done, sizes in memory.items()
        ]
        for index in range(WORKERS)
    }
    return Chart(
        "Memory of the workers",
        "thousands of requests",
        "MiB",
        [Panel(REDIS, lines)],
        is_logarithmic=False,
        form="{:.0f}",
    )


if __name__ == "__main__":
    main()
