"""`ProcessStore`: records in the memory of one process."""

from __future__ import annotations

import heapq
import time
import typing as t
from dataclasses import dataclass
from dataclasses import replace
from secrets import token_hex

from .base import Outcome
from .base import Stored
from .base import check_labels
from .base import find_index
from .forking import AtRest


@dataclass(frozen=True, slots=True)
class _Record:
    stored: Stored
    labels: dict[str, str]
    expires_at: float


@dataclass(frozen=True, slots=True)
class _Lease:
    ticket: str
    ends: float


class ProcessStore(AtRest):
    """Keeps records in this process: for tests, and for what need not outlive it.

    A forked child begins with what its parent had; from then on they know nothing of each other.

    :param limit: the most records to keep. Beyond it those that would expire first go.
    """

    def __init__(self, limit: int = 100_000) -> None:
        self._limit = limit
        self._records: dict[str, _Record] = {}
        # By the monotonic clock: the other one may jump.
        self._leases: dict[str, _Lease] = {}
        self._seen: dict[str, float] = {}
        super().__init__()

    def read(self, id: str) -> Stored | None:
        with self._lock:
            record = self._live(id)
        return record.stored if record else None

    def create(self, id: str, sealed: str, labels: t.Mapping[str, str], expires_at: float) -> None:
        check_labels(labels)
        with self._lock:
            if self._live(id):
                raise KeyError("A record with this id lives already.")
            self._records[id] = _Record(Stored(sealed, token_hex(8)), dict(labels), expires_at)
            if len(self._records) > self._limit:
                self._make_room()

    def replace(self, id: str, sealed: str, version: str, expires_at: float) -> Outcome:
        with self._lock:
            record = self._live(id)
            if record is None:
                return "gone"
            if record.stored.version != version:
                return "changed"
            stored = Stored(sealed, token_hex(8))
            self._records[id] = replace(record, stored=stored, expires_at=expires_at)
            return "replaced"

    def touch(self, id: str, expires_at: float) -> None:
        with self._lock:
            if record := self._live(id):
                self._records[id] = replace(record, expires_at=expires_at)

    def relabel(self, id: str, labels: t.Mapping[str, str]) -> None:
        check_labels(labels)
        with self._lock:
            if record := self._live(id):
                self._records[id] = replace(record, labels=dict(labels))

    def delete(self, id: str) -> bool:
        with self._lock:
            live = self._live(id) is not None
            self._records.pop(id, None)
            return live

    def find(self, **labels: str) -> list[str]:
        find_index(labels)
        with self._lock:
            return [
                id
                for id, record in self._records.items()
                if labels.items() <= record.labels.items() and self._live(id)
            ]

    def scan(self, after: str | None, limit: int) -> list[str]:
        with self._lock:
            ids = [id for id in self._records if (after is None or id > after) and self._live(id)]
        return heapq.nsmallest(limit, ids)

    def lease(self, name: str, seconds: float) -> str | None:
        now = time.monotonic()
        with self._lock:
            held = self._leases.get(name)
            if held and held.ends > now:
                return None
            if len(self._leases) > self._limit:
                self._leases = {n: held for n, held in self._leases.items() if held.ends > now}
            self._leases[name] = _Lease(token_hex(8), now + seconds)
            return self._leases[name].ticket

    def release(self, name: str, ticket: str) -> None:
        with self._lock:
            held = self._leases.get(name)
            if held and held.ticket == ticket:
                del self._leases[name]

    def once(self, name: str, seconds: float) -> bool:
        now = time.monotonic()
        with self._lock:
            if self._seen.get(name, now) > now:
                return False
            self._seen[name] = now + seconds
            if len(self._seen) > self._limit:
                self._seen = _latest(self._seen, self._limit)
            return True

    def sweep(self) -> int:
        with self._lock:
            return self._sweep()

    def _live(self, id: str) -> _Record | None:
        record = self._records.get(id)
        return record if record and record.expires_at > time.time() else None

    def _sweep(self) -> int:
        wall, steady = time.time(), time.monotonic()
        dead = [id for id, record in self._records.items() if record.expires_at <= wall]
        for id in dead:
            del self._records[id]
        self._leases = {name: held for name, held in self._leases.items() if held.ends > steady}
        self._seen = {name: ends for name, ends in self._seen.items() if ends > steady}
        return len(dead)

    def _make_room(self) -> None:
        self._sweep()
        if len(self._records) > self._limit:
            ends = {id: record.expires_at for id, record in self._records.items()}
            kept = _latest(ends, self._limit)
            self._records = {id: self._records[id] for id in self._records if id in kept}


def _latest(ends: dict[str, float], limit: int) -> dict[str, float]:
    """Those that end last, a tenth less than the limit, so that this is not done each time."""
    return dict(heapq.nlargest(limit - limit // 10, ends.items(), key=lambda item: item[1]))
