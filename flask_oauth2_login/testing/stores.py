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

The fixture ``elsewhere`` is for stores that several processes share. It returns a callable that can
be pickled, and that opens the same store when another process calls it. Without it, the tests with
several processes are skipped.

The tests use random names, so the store need not be empty. They take a few seconds, because they
wait until records expire. They need pytest and nothing else.
"""

# ruff: noqa: S101

from __future__ import annotations

import time
import typing as t
from secrets import token_hex

import pytest

from ..stores.base import TokenStore
from .store_races import Call, call_in_processes, call_in_threads
from .store_races import Elsewhere as Elsewhere
from .store_records import RecordTests, create, new_labels, new_name, read, scan_all, soon, wait_for

#: How often each competition is repeated.
ROUNDS = 5
#: Methods whose call only one of any number of callers succeeds with.
ONE_WINNER = ("create", "replace", "delete", "lease", "once")


class StoreConformance(RecordTests):
    """Tests for every promise of :class:`~flask_oauth2_login.stores.base.TokenStore`.

    Subclasses override the fixture ``store`` and, if processes can share the store, ``elsewhere``.
    """

    @pytest.fixture
    def store(self) -> TokenStore:
        """Return the store to test."""
        raise NotImplementedError("Override the fixture `store`.")

    @pytest.fixture
    def elsewhere(self) -> Elsewhere | None:
        """Return a callable that opens the same store in another process, or None."""
        return None

    # find, scan and relabel

    def test_records_are_found_by_each_index(self, store: TokenStore) -> None:
        a, b = new_labels(), new_labels()
        both = {"owner": a["owner"], "provider": a["provider"], "tenant": a["tenant"]}
        first = create(store, labels=a)
        second = create(store, labels={**both, "subject": a["subject"], "sid": b["sid"]})
        third = create(store, labels={**both, "subject": b["subject"], "sid": a["sid"]})
        create(store, labels=b)
        place = {"provider": a["provider"], "tenant": a["tenant"]}
        assert set(store.find(owner=a["owner"])) == {first, second, third}
        assert set(store.find(**place, subject=a["subject"])) == {first, second}
        assert set(store.find(**place, sid=a["sid"])) == {first, third}
        assert store.find(provider=a["provider"], tenant=b["tenant"], sid=a["sid"]) == []
        assert store.find(owner=new_name()) == []

    def test_a_record_without_labels_is_not_found_by_any(self, store: TokenStore) -> None:
        a = new_labels()
        id = create(store, labels={"provider": a["provider"], "sid": a["sid"]})
        assert store.find(provider=a["provider"], tenant=a["tenant"], sid=a["sid"]) == []
        assert store.find(owner="") == []
        assert id in scan_all(store)

    @pytest.mark.parametrize("names", [(), ("sid",), ("owner", "provider"), ("colour",)])
    def test_find_refuses_other_labels(self, store: TokenStore, names: tuple[str, ...]) -> None:
        with pytest.raises(TypeError):
            store.find(**dict.fromkeys(names, "x"))

    def test_all_of_many_records_are_found(self, store: TokenStore) -> None:
        owner = new_name()
        ids = {create(store, labels={"owner": owner}) for _ in range(60)}
        assert sorted(store.find(owner=owner)) == sorted(ids)

    def test_a_scan_pages_through_all_records_in_the_order_of_bytes(
        self, store: TokenStore
    ) -> None:
        mark = new_name()[:16]
        ids = [f"{mark}{end}" for end in ("", "-", "0", "A", "B", "_", "a", "aB", "aa", "b")]
        for id in reversed(ids):
            store.create(id, "sealed", {}, soon())
        assert [id for id in scan_all(store, 3) if id.startswith(mark)] == ids
        assert store.scan(ids[3], 4) == ids[4:8]
        assert store.scan(f"{mark}AA", 2) == ids[4:6]

    def test_a_relabelled_record_is_found_by_its_new_labels_only(self, store: TokenStore) -> None:
        id, before, after, sid = new_name(), new_name(), new_name(), new_name()
        store.create(id, "sealed", {"owner": before}, soon())
        first = store.read(id)
        by_sid = {"provider": new_name(), "tenant": new_name(), "sid": sid}
        store.relabel(id, {"owner": after, **by_sid})
        assert store.read(id) == first
        assert store.find(owner=before) == []
        assert store.find(owner=after) == store.find(**by_sid) == [id]
        with pytest.raises(TypeError):
            store.relabel(id, {"colour": "red"})
        store.delete(id)
        store.relabel(id, {"owner": after})
        assert (store.read(id), store.find(owner=after)) == (None, [])

    # Ids, names and labels are compared by their bytes

    def test_ids_are_compared_by_their_bytes(self, store: TokenStore) -> None:
        id = new_name() + "abc"
        others = [id[:-3] + "AbC", id + " ", id[:-1], id + "c", id[:-3] + "%"]
        store.create(id, "sealed", {}, soon())
        assert [store.read(other) for other in others] == [None] * len(others)
        for other in others:
            store.create(other, other, {}, soon())
        assert read(store, id).sealed == "sealed"
        assert [read(store, other).sealed for other in others] == others

    def test_labels_are_compared_by_their_bytes(self, store: TokenStore) -> None:
        owner = new_name() + "abc"
        create(store, labels={"owner": owner})
        for other in (owner[:-3] + "AbC", owner + " ", owner[:-1], owner[:-3] + "%"):
            assert store.find(owner=other) == []

    def test_names_are_compared_by_their_bytes(self, store: TokenStore) -> None:
        name = new_name() + "abc"
        assert store.lease(name, 60)
        assert store.once(name, 60)
        for other in (name[:-3] + "AbC", name + " ", name[:-1]):
            assert store.lease(other, 60)
            assert store.once(other, 60)

    def test_names_of_64_characters_are_possible(self, store: TokenStore) -> None:
        id, name = token_hex(32), token_hex(32)
        labels = {label: token_hex(32) for label in new_labels()}
        store.create(id, "sealed", labels, soon())
        assert store.find(owner=labels["owner"]) == [id]
        assert store.lease(name, 60)
        assert store.once(name, 60)

    # lease and once

    def test_a_lease_is_held_until_it_is_released(self, store: TokenStore) -> None:
        name = new_name()
        ticket = store.lease(name, 60)
        assert ticket
        assert store.lease(name, 60) is None
        assert store.lease(new_name(), 60)
        store.release(name, ticket)
        assert store.lease(name, 60) not in (None, ticket)

    def test_a_short_lease_does_not_end_a_long_one(self, store: TokenStore) -> None:
        name = new_name()
        assert store.lease(name, 3600)
        assert store.lease(name, 0.01) is None
        assert store.lease(name, 60) is None

    def test_a_lease_is_released_with_its_own_ticket_alone(self, store: TokenStore) -> None:
        name = new_name()
        assert store.lease(name, 60)
        store.release(name, "another")
        assert store.lease(name, 60) is None
        store.release(new_name(), "another")

    def test_a_lease_ends(self, store: TokenStore) -> None:
        name = new_name()
        first = store.lease(name, 0.3)
        assert first
        second = wait_for(lambda: store.lease(name, 60))
        store.release(name, first)
        assert store.lease(name, 60) is None
        store.release(name, second)
        assert store.lease(name, 60)

    def test_once_is_true_once(self, store: TokenStore) -> None:
        name = new_name()
        assert store.once(name, 60) is True
        assert store.once(name, 60) is False
        assert store.once(new_name(), 60) is True

    def test_once_is_forgotten_after_its_time(self, store: TokenStore) -> None:
        name = new_name()
        assert store.once(name, 0.3)
        assert wait_for(lambda: store.once(name, 60))
        assert not store.once(name, 60)

    def test_a_lease_a_record_and_once_may_have_the_same_name(self, store: TokenStore) -> None:
        name = new_name()
        ticket = store.lease(name, 60)
        assert ticket
        assert store.once(name, 60)
        store.create(name, "sealed", {}, soon())
        store.release(name, ticket)
        assert not store.once(name, 60)
        assert store.delete(name)
        assert not store.once(name, 60)

    # sweep

    def test_a_sweep_keeps_what_has_not_expired(self, store: TokenStore) -> None:
        labels, held, seen = new_labels(), new_name(), new_name()
        living = create(store, labels=labels)
        create(store, labels=labels, expires_at=time.time() - 1)
        assert store.lease(held, 60)
        assert store.once(seen, 60)
        assert store.sweep() >= 0
        assert store.find(owner=labels["owner"]) == [living]
        assert living in scan_all(store)
        assert store.lease(held, 60) is None
        assert not store.once(seen, 60)
        assert store.sweep() == 0

    # Callers at the same time

    @pytest.mark.parametrize("method", ONE_WINNER)
    def test_one_of_many_threads_succeeds(self, store: TokenStore, method: str) -> None:
        calls = [_prepare(store, method) for _ in range(ROUNDS)]
        results = [call_in_threads(store, call) for call in calls]
        _check_winners(store, calls, results)

    @pytest.mark.parametrize("method", ONE_WINNER)
    def test_one_of_many_processes_succeeds(
        self, store: TokenStore, elsewhere: Elsewhere | None, method: str
    ) -> None:
        if elsewhere is None:
            pytest.skip("Processes can't share this store, or it has no fixture `elsewhere`.")
        calls = [_prepare(store, method) for _ in range(ROUNDS)]
        _check_winners(store, calls, call_in_processes(elsewhere, calls))


def _prepare(store: TokenStore, method: str) -> Call:
    """Return a call of a method that only one of many callers may succeed with."""
    if method == "create":
        return method, (new_name(), "new", {"owner": new_name()}, soon())
    if method == "replace":
        id = create(store)
        return method, (id, "new", read(store, id).version, soon())
    if method == "delete":
        return method, (create(store, labels=new_labels()),)
    return method, (new_name(), 60)


def _check_winners(store: TokenStore, calls: list[Call], results: list[list[t.Any]]) -> None:
    for (method, arguments), outcomes in zip(calls, results, strict=True):
        winners = [outcome for outcome in outcomes if outcome not in (None, False, "changed")]
        assert len(winners) == 1, (method, outcomes)
        if method == "replace":
            assert read(store, arguments[0]).sealed == "new"
