"""Tests that any `TokenStore` must pass: run them over a store of your own.

Write a class in your tests that gives them the store::

    import functools
    import pytest
    from flask_oauth2_login.stores.conformance import StoreConformance

    class TestMyStore(StoreConformance):
        @pytest.fixture
        def store(self):
            return MyStore("db.example.com")

        @pytest.fixture
        def elsewhere(self):
            return functools.partial(MyStore, "db.example.com")

``elsewhere`` is for stores that several processes share: something that can be pickled, and that
opens the same store when it is called in another process. The tests use random names, so that they
need no empty store. They take a few seconds, for some things have to expire.

Needs pytest, and nothing else.
"""

# ruff: noqa: S101

from __future__ import annotations

import functools
import multiprocessing
import threading
import time
import traceback
import typing as t
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from secrets import token_hex

import pytest

from .base import Stored, TokenStore

THREADS = 8
PROCESSES = 4
ROUNDS = 5
#: Seconds within which anything here has happened.
PATIENCE = 30.0

#: Opens a store in another process.
Elsewhere = t.Callable[[], TokenStore]
#: A method's name and its arguments, whose results are to be compared.
Call = tuple[str, tuple[t.Any, ...]]


class StoreConformance:
    """What :class:`~flask_oauth2_login.stores.base.TokenStore` promises, sentence by sentence."""

    @pytest.fixture
    def store(self) -> TokenStore:
        """The store to try. Override it."""
        raise NotImplementedError("Override the fixture `store`.")

    @pytest.fixture
    def elsewhere(self) -> Elsewhere | None:
        """What opens the same store in another process. Override it where that is possible."""
        return None

    # read, create

    def test_an_unknown_record_is_none(self, store: TokenStore) -> None:
        assert store.read(_name()) is None

    # Named, for the name of a running test is in the environment of every server that it starts.
    @pytest.mark.parametrize(
        "sealed", ["", "sealed", "eyJ.-_~ " * 20_000], ids=["empty", "short", "long"]
    )
    def test_what_was_created_is_read(self, store: TokenStore, sealed: str) -> None:
        id = _create(store, sealed)
        assert _read(store, id).sealed == sealed
        assert isinstance(_read(store, id).version, str)

    def test_reading_changes_nothing(self, store: TokenStore) -> None:
        id = _create(store)
        assert store.read(id) == store.read(id)

    def test_what_is_sealed_is_in_no_repr(self, store: TokenStore) -> None:
        assert "unspeakable" not in repr(store.read(_create(store, "unspeakable")))

    def test_a_record_that_lives_is_not_created_again(self, store: TokenStore) -> None:
        id, owner = _create(store, "first"), _name()
        before = store.read(id)
        with pytest.raises(KeyError) as caught:
            store.create(id, "second", {"owner": owner}, _soon())
        assert "second" not in repr(caught.value)
        assert store.read(id) == before
        assert store.find(owner=owner) == []

    def test_a_relabelled_record_is_found_by_its_new_labels_only(self, store: TokenStore) -> None:
        id, before, after, sid = _name(), _name(), _name(), _name()
        store.create(id, "sealed", {"owner": before}, _soon())
        first = store.read(id)
        by_sid = {"provider": _name(), "tenant": _name(), "sid": sid}
        store.relabel(id, {"owner": after, **by_sid})
        assert store.read(id) == first
        assert store.find(owner=before) == []
        assert store.find(owner=after) == store.find(**by_sid) == [id]
        with pytest.raises(TypeError):
            store.relabel(id, {"colour": "red"})
        store.delete(id)
        store.relabel(id, {"owner": after})
        assert (store.read(id), store.find(owner=after)) == (None, [])

    def test_a_record_in_place_of_an_expired_one_is_new(self, store: TokenStore) -> None:
        id, before, after = _name(), _name(), _name()
        store.create(id, "first", {"owner": before}, time.time() + 0.2)
        first = store.read(id)
        _wait(lambda: store.read(id) is None)
        store.create(id, "second", {"owner": after}, _soon())
        second = _read(store, id)
        assert second.sealed == "second"
        assert first is None or first.version != second.version
        assert (store.find(owner=before), store.find(owner=after)) == ([], [id])

    def test_a_record_in_place_of_a_deleted_one_is_new(self, store: TokenStore) -> None:
        id, before, after = _name(), _name(), _name()
        store.create(id, "first", {"owner": before}, _soon())
        version = _read(store, id).version
        store.delete(id)
        store.create(id, "second", {"owner": after}, _soon())
        assert store.replace(id, "third", version, _soon()) == "changed"
        assert _read(store, id).sealed == "second"
        assert (store.find(owner=before), store.find(owner=after)) == ([], [id])

    def test_a_record_expires(self, store: TokenStore) -> None:
        labels = _labels()
        id = _create(store, labels=labels)
        version = _read(store, id).version
        store.touch(id, time.time() + 0.3)
        _wait(lambda: store.read(id) is None)
        assert store.find(owner=labels["owner"]) == []
        assert id not in _all(store)
        assert store.replace(id, "new", version, _soon()) == "gone"
        store.touch(id, _soon())
        assert store.delete(id) is False
        assert store.read(id) is None

    def test_a_new_record_expires(self, store: TokenStore) -> None:
        labels = _labels()
        id = _create(store, labels=labels, expires_at=time.time() + 0.3)
        _wait(lambda: store.read(id) is None)
        assert store.find(owner=labels["owner"]) == []
        assert id not in _all(store)
        assert store.delete(id) is False

    def test_a_record_may_have_expired_from_the_start(self, store: TokenStore) -> None:
        assert store.read(_create(store, expires_at=time.time() - 1)) is None

    def test_an_unknown_label_is_a_mistake(self, store: TokenStore) -> None:
        id = _name()
        with pytest.raises(TypeError, match="colour"):
            store.create(id, "sealed", {"colour": "red"}, _soon())
        assert store.read(id) is None

    # replace

    def test_the_version_that_was_read_is_replaced(self, store: TokenStore) -> None:
        id = _create(store, "first")
        first = _read(store, id)
        assert store.replace(id, "second", first.version, _soon()) == "replaced"
        second = _read(store, id)
        assert second.sealed == "second"
        assert second.version != first.version

    def test_another_version_is_not_replaced(self, store: TokenStore) -> None:
        id = _create(store, "first")
        first = _read(store, id)
        store.replace(id, "second", first.version, _soon())
        assert store.replace(id, "third", first.version, _soon()) == "changed"
        assert _read(store, id).sealed == "second"

    def test_no_version_comes_twice(self, store: TokenStore) -> None:
        id, versions = _create(store), []
        for _ in range(10):
            versions.append(_read(store, id).version)
            assert store.replace(id, "sealed", versions[-1], _soon()) == "replaced"
        assert len(set(versions)) == 10

    def test_nothing_is_created_by_replacing(self, store: TokenStore) -> None:
        id, unknown = _create(store), _name()
        version = _read(store, id).version
        assert store.delete(id)
        assert store.replace(id, "new", version, _soon()) == "gone"
        assert store.replace(unknown, "new", version, _soon()) == "gone"
        assert (store.read(id), store.read(unknown)) == (None, None)

    # touch

    def test_an_end_that_was_moved_counts(self, store: TokenStore) -> None:
        seconds = 1.0
        while True:
            touched_by, replaced_by = _labels(), _labels()
            end = time.time() + seconds
            touched = _create(store, labels=touched_by, expires_at=end)
            replaced = _create(store, labels=replaced_by, expires_at=end)
            before, first = store.read(touched), store.read(replaced)
            store.touch(touched, _soon())
            store.replace(replaced, "new", first.version if first else "", _soon())
            if time.time() < end:
                break
            # The machine was busy and the records had expired: try again with more time.
            seconds *= 5
            assert seconds < PATIENCE, "A few calls to the store take too long."
        _wait(lambda: time.time() > end + 0.1)
        assert store.read(touched) == before
        assert _read(store, replaced).sealed == "new"
        assert store.find(owner=touched_by["owner"]) == [touched]
        assert store.find(owner=replaced_by["owner"]) == [replaced]
        store.touch(touched, time.time() - 1)
        store.replace(replaced, "last", _read(store, replaced).version, time.time() - 1)
        assert (store.read(touched), store.read(replaced)) == (None, None)

    def test_nothing_is_created_by_touching(self, store: TokenStore) -> None:
        id, labels = _name(), _labels()
        store.touch(id, _soon())
        assert store.read(id) is None
        id = _create(store, labels=labels)
        store.delete(id)
        store.touch(id, _soon())
        assert store.read(id) is None
        assert store.find(owner=labels["owner"]) == []

    # delete

    def test_deleting_is_done_once(self, store: TokenStore) -> None:
        labels = _labels()
        id = _create(store, labels=labels)
        assert store.delete(id) is True
        assert store.delete(id) is False
        assert store.delete(_name()) is False
        assert store.read(id) is None
        assert store.find(owner=labels["owner"]) == []
        assert id not in _all(store)

    # find, scan

    def test_records_are_found_by_each_index(self, store: TokenStore) -> None:
        a, b = _labels(), _labels()
        both = {"owner": a["owner"], "provider": a["provider"], "tenant": a["tenant"]}
        first = _create(store, labels=a)
        second = _create(store, labels={**both, "subject": a["subject"], "sid": b["sid"]})
        third = _create(store, labels={**both, "subject": b["subject"], "sid": a["sid"]})
        _create(store, labels=b)
        place = {"provider": a["provider"], "tenant": a["tenant"]}
        assert set(store.find(owner=a["owner"])) == {first, second, third}
        assert set(store.find(**place, subject=a["subject"])) == {first, second}
        assert set(store.find(**place, sid=a["sid"])) == {first, third}
        assert store.find(provider=a["provider"], tenant=b["tenant"], sid=a["sid"]) == []
        assert store.find(owner=_name()) == []

    def test_a_record_without_labels_is_not_found_by_any(self, store: TokenStore) -> None:
        a = _labels()
        id = _create(store, labels={"provider": a["provider"], "sid": a["sid"]})
        assert store.find(provider=a["provider"], tenant=a["tenant"], sid=a["sid"]) == []
        assert store.find(owner="") == []
        assert id in _all(store)

    @pytest.mark.parametrize("names", [(), ("sid",), ("owner", "provider"), ("colour",)])
    def test_other_questions_are_a_mistake(self, store: TokenStore, names: tuple[str, ...]) -> None:
        with pytest.raises(TypeError):
            store.find(**dict.fromkeys(names, "x"))

    def test_all_of_many_records_are_found(self, store: TokenStore) -> None:
        owner = _name()
        ids = {_create(store, labels={"owner": owner}) for _ in range(60)}
        assert sorted(store.find(owner=owner)) == sorted(ids)

    def test_a_scan_pages_through_all_records_in_the_order_of_bytes(
        self, store: TokenStore
    ) -> None:
        mark = _name()[:16]
        ids = [f"{mark}{end}" for end in ("", "-", "0", "A", "B", "_", "a", "aB", "aa", "b")]
        for id in reversed(ids):
            store.create(id, "sealed", {}, _soon())
        assert [id for id in _all(store, 3) if id.startswith(mark)] == ids
        assert store.scan(ids[3], 4) == ids[4:8]
        assert store.scan(f"{mark}AA", 2) == ids[4:6]

    # bytes

    def test_ids_are_compared_by_their_bytes(self, store: TokenStore) -> None:
        id = _name() + "abc"
        others = [id[:-3] + "AbC", id + " ", id[:-1], id + "c", id[:-3] + "%"]
        store.create(id, "sealed", {}, _soon())
        assert [store.read(other) for other in others] == [None] * len(others)
        for other in others:
            store.create(other, other, {}, _soon())
        assert _read(store, id).sealed == "sealed"
        assert [_read(store, other).sealed for other in others] == others

    def test_labels_are_compared_by_their_bytes(self, store: TokenStore) -> None:
        owner = _name() + "abc"
        _create(store, labels={"owner": owner})
        for other in (owner[:-3] + "AbC", owner + " ", owner[:-1], owner[:-3] + "%"):
            assert store.find(owner=other) == []

    def test_names_are_compared_by_their_bytes(self, store: TokenStore) -> None:
        name = _name() + "abc"
        assert store.lease(name, 60)
        assert store.once(name, 60)
        for other in (name[:-3] + "AbC", name + " ", name[:-1]):
            assert store.lease(other, 60)
            assert store.once(other, 60)

    def test_names_of_64_characters_are_possible(self, store: TokenStore) -> None:
        id, name = token_hex(32), token_hex(32)
        labels = {label: token_hex(32) for label in _labels()}
        store.create(id, "sealed", labels, _soon())
        assert store.find(owner=labels["owner"]) == [id]
        assert store.lease(name, 60)
        assert store.once(name, 60)

    # lease, once

    def test_a_lease_is_held_until_it_is_released(self, store: TokenStore) -> None:
        name = _name()
        ticket = store.lease(name, 60)
        assert ticket
        assert store.lease(name, 60) is None
        assert store.lease(_name(), 60)
        store.release(name, ticket)
        assert store.lease(name, 60) not in (None, ticket)

    def test_a_long_lease_is_held_against_who_asks_for_a_short_one(self, store: TokenStore) -> None:
        name = _name()
        assert store.lease(name, 3600)
        assert store.lease(name, 0.01) is None
        assert store.lease(name, 60) is None

    def test_a_lease_is_released_with_its_own_ticket_alone(self, store: TokenStore) -> None:
        name = _name()
        assert store.lease(name, 60)
        store.release(name, "another")
        assert store.lease(name, 60) is None
        store.release(_name(), "another")

    def test_a_lease_ends(self, store: TokenStore) -> None:
        name = _name()
        first = store.lease(name, 0.3)
        assert first
        second = _wait(lambda: store.lease(name, 60))
        store.release(name, first)
        assert store.lease(name, 60) is None
        store.release(name, second)
        assert store.lease(name, 60)

    def test_once_is_true_once(self, store: TokenStore) -> None:
        name = _name()
        assert store.once(name, 60) is True
        assert store.once(name, 60) is False
        assert store.once(_name(), 60) is True

    def test_once_is_forgotten_after_its_time(self, store: TokenStore) -> None:
        name = _name()
        assert store.once(name, 0.3)
        assert _wait(lambda: store.once(name, 60))
        assert not store.once(name, 60)

    def test_a_lease_a_name_and_a_record_do_not_meet(self, store: TokenStore) -> None:
        name = _name()
        ticket = store.lease(name, 60)
        assert ticket
        assert store.once(name, 60)
        store.create(name, "sealed", {}, _soon())
        store.release(name, ticket)
        assert not store.once(name, 60)
        assert store.delete(name)
        assert not store.once(name, 60)

    # sweep

    def test_a_sweep_leaves_what_lives(self, store: TokenStore) -> None:
        labels, held, seen = _labels(), _name(), _name()
        living = _create(store, labels=labels)
        _create(store, labels=labels, expires_at=time.time() - 1)
        assert store.lease(held, 60)
        assert store.once(seen, 60)
        assert store.sweep() >= 0
        assert store.find(owner=labels["owner"]) == [living]
        assert living in _all(store)
        assert store.lease(held, 60) is None
        assert not store.once(seen, 60)
        assert store.sweep() == 0

    # all at once

    def test_threads_create_a_record_once(self, store: TokenStore) -> None:
        self._compete(store, None, "create")

    def test_threads_replace_a_version_once(self, store: TokenStore) -> None:
        self._compete(store, None, "replace")

    def test_threads_delete_a_record_once(self, store: TokenStore) -> None:
        self._compete(store, None, "delete")

    def test_threads_lease_a_name_once(self, store: TokenStore) -> None:
        self._compete(store, None, "lease")

    def test_threads_use_a_name_once(self, store: TokenStore) -> None:
        self._compete(store, None, "once")

    def test_processes_create_a_record_once(
        self, store: TokenStore, elsewhere: Elsewhere | None
    ) -> None:
        self._compete(store, _need(elsewhere), "create")

    def test_processes_replace_a_version_once(
        self, store: TokenStore, elsewhere: Elsewhere | None
    ) -> None:
        self._compete(store, _need(elsewhere), "replace")

    def test_processes_delete_a_record_once(
        self, store: TokenStore, elsewhere: Elsewhere | None
    ) -> None:
        self._compete(store, _need(elsewhere), "delete")

    def test_processes_lease_a_name_once(
        self, store: TokenStore, elsewhere: Elsewhere | None
    ) -> None:
        self._compete(store, _need(elsewhere), "lease")

    def test_processes_use_a_name_once(
        self, store: TokenStore, elsewhere: Elsewhere | None
    ) -> None:
        self._compete(store, _need(elsewhere), "once")

    def _compete(self, store: TokenStore, elsewhere: Elsewhere | None, method: str) -> None:
        calls = [_prepare(store, method) for _ in range(ROUNDS)]
        if elsewhere is None:
            rounds = [_call_in_threads(store, call) for call in calls]
        else:
            pipes = _processes()[1]
            for pipe in pipes:
                pipe.send((elsewhere, calls))
            results = [_receive(pipe) for pipe in pipes]
            rounds = [list(chain(*at_once)) for at_once in zip(*results, strict=True)]
            assert len(rounds[0]) == PROCESSES * THREADS
        for call, outcomes in zip(calls, rounds, strict=True):
            winners = [outcome for outcome in outcomes if outcome not in (None, False, "changed")]
            assert len(winners) == 1, (method, outcomes)
            if method == "replace":
                assert _read(store, call[1][0]).sealed == "new"


def _prepare(store: TokenStore, method: str) -> Call:
    """A call that only one of those who make it may succeed with."""
    if method == "create":
        return method, (_name(), "new", {"owner": _name()}, _soon())
    if method == "replace":
        id = _create(store)
        return method, (id, "new", _read(store, id).version, _soon())
    if method == "delete":
        return method, (_create(store, labels=_labels()),)
    return method, (_name(), 60)


def _call_in_threads(store: TokenStore, call: Call) -> list[t.Any]:
    method, arguments = call
    gate = threading.Barrier(THREADS)

    def once() -> t.Any:
        gate.wait(PATIENCE)
        try:
            outcome = getattr(store, method)(*arguments)
        except KeyError:
            return False
        return True if method == "create" else outcome

    with ThreadPoolExecutor(THREADS) as threads:
        return [task.result() for task in [threads.submit(once) for _ in range(THREADS)]]


@functools.cache
def _processes() -> tuple[Barrier, list[Connection]]:
    """Pipes to processes that began with nothing of this one's, and end with it.

    The barrier is what they all wait at. It must live as long as they do.
    """
    spawn = multiprocessing.get_context("spawn")
    gate = spawn.Barrier(PROCESSES)
    pipes = []
    for _ in range(PROCESSES):
        ours, theirs = spawn.Pipe()
        spawn.Process(target=_answer, args=(theirs, gate), daemon=True).start()
        theirs.close()
        pipes.append(ours)
    return gate, pipes


def _receive(pipe: Connection) -> list[list[t.Any]]:
    if not pipe.poll(2 * PATIENCE):
        pytest.fail("Another process has not answered.")
    answer = pipe.recv()
    if isinstance(answer, str):
        pytest.fail(f"In another process:\n{answer}")
    return t.cast("list[list[t.Any]]", answer)


def _answer(pipe: Connection, gate: Barrier) -> None:
    """Live in another process: open a store, make calls, tell their results."""
    while True:
        try:
            elsewhere, calls = pipe.recv()
        except EOFError:
            return
        try:
            store = elsewhere()
            outcomes = []
            for call in calls:
                gate.wait(PATIENCE)
                outcomes.append(_call_in_threads(store, call))
            pipe.send(outcomes)
        except Exception:
            pipe.send(traceback.format_exc())


def _need(elsewhere: Elsewhere | None) -> Elsewhere:
    if elsewhere is None:
        pytest.skip("This store is one process's own, or has no fixture `elsewhere`.")
    return elsewhere


def _name() -> str:
    return token_hex(16)


def _labels() -> dict[str, str]:
    return {name: _name() for name in ("owner", "provider", "tenant", "subject", "sid")}


def _soon() -> float:
    return time.time() + 600


def _create(
    store: TokenStore,
    sealed: str = "sealed",
    *,
    labels: t.Mapping[str, str] | None = None,
    expires_at: float | None = None,
) -> str:
    id = _name()
    store.create(id, sealed, labels or {}, _soon() if expires_at is None else expires_at)
    return id


def _read(store: TokenStore, id: str) -> Stored:
    stored = store.read(id)
    assert stored is not None
    return stored


def _all(store: TokenStore, limit: int = 100) -> list[str]:
    ids: list[str] = []
    while True:
        page = store.scan(ids[-1] if ids else None, limit)
        assert len(page) <= limit
        ids += page
        if len(page) < limit:
            return ids


def _wait(is_so: t.Callable[[], t.Any]) -> t.Any:
    """What something returns as soon as it is true."""
    deadline = time.monotonic() + PATIENCE
    while not (value := is_so()):
        assert time.monotonic() < deadline, "It did not come true."
        time.sleep(0.02)
    return value
