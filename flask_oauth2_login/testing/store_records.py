"""The tests of a store's records: to read, create, replace, touch and delete them by id.

They are part of :class:`~flask_oauth2_login.testing.stores.StoreConformance`.
"""

# ruff: noqa: S101

from __future__ import annotations

import time
import typing as t
from secrets import token_hex

import pytest

from ..stores.base import LABELS, Stored, TokenStore
from .store_races import TIMEOUT


def new_name() -> str:
    return token_hex(16)


def new_labels() -> dict[str, str]:
    return {label: new_name() for label in LABELS}


def soon() -> float:
    """Return a time (s) at which the test has certainly ended."""
    return time.time() + 600


def create(
    store: TokenStore,
    sealed: str = "sealed",
    *,
    labels: t.Mapping[str, str] | None = None,
    expires_at: float | None = None,
) -> str:
    """Create a record, and return its id."""
    id = new_name()
    store.create(id, sealed, labels or {}, soon() if expires_at is None else expires_at)
    return id


def read(store: TokenStore, id: str) -> Stored:
    stored = store.read(id)
    assert stored is not None
    return stored


def scan_all(store: TokenStore, limit: int = 100) -> list[str]:
    """Return the ids of all records, scanned in pages of ``limit``."""
    ids: list[str] = []
    while True:
        page = store.scan(ids[-1] if ids else None, limit)
        assert len(page) <= limit
        ids += page
        if len(page) < limit:
            return ids


def wait_for(condition: t.Callable[[], t.Any]) -> t.Any:
    """Call a function until it returns something true, and return that."""
    deadline = time.monotonic() + TIMEOUT
    while not (value := condition()):
        assert time.monotonic() < deadline, f"The condition was not met within {TIMEOUT} seconds."
        time.sleep(0.02)
    return value


class RecordTests:
    """Tests that need the fixture ``store``."""

    # read and create

    def test_an_unknown_record_is_none(self, store: TokenStore) -> None:
        assert store.read(new_name()) is None

    # The ids are short, because a test's name is in the environment of the servers that it starts.
    @pytest.mark.parametrize(
        "sealed", ["", "sealed", "eyJ.-_~ " * 20_000], ids=["empty", "short", "long"]
    )
    def test_what_was_created_is_read(self, store: TokenStore, sealed: str) -> None:
        id = create(store, sealed)
        assert read(store, id).sealed == sealed
        assert isinstance(read(store, id).version, str)

    def test_reading_changes_nothing(self, store: TokenStore) -> None:
        id = create(store)
        assert store.read(id) == store.read(id)

    def test_the_repr_does_not_show_the_sealed_record(self, store: TokenStore) -> None:
        assert "unspeakable" not in repr(store.read(create(store, "unspeakable")))

    def test_an_existing_record_is_not_created_again(self, store: TokenStore) -> None:
        id, owner = create(store, "first"), new_name()
        before = store.read(id)
        with pytest.raises(KeyError) as caught:
            store.create(id, "second", {"owner": owner}, soon())
        assert "second" not in repr(caught.value)
        assert store.read(id) == before
        assert store.find(owner=owner) == []

    def test_a_record_in_place_of_an_expired_one_is_new(self, store: TokenStore) -> None:
        id, before, after = new_name(), new_name(), new_name()
        store.create(id, "first", {"owner": before}, time.time() + 0.2)
        first = store.read(id)
        wait_for(lambda: store.read(id) is None)
        store.create(id, "second", {"owner": after}, soon())
        second = read(store, id)
        assert second.sealed == "second"
        assert first is None or first.version != second.version
        assert (store.find(owner=before), store.find(owner=after)) == ([], [id])

    def test_a_record_in_place_of_a_deleted_one_is_new(self, store: TokenStore) -> None:
        id, before, after = new_name(), new_name(), new_name()
        store.create(id, "first", {"owner": before}, soon())
        version = read(store, id).version
        store.delete(id)
        store.create(id, "second", {"owner": after}, soon())
        assert store.replace(id, "third", version, soon()) == "changed"
        assert read(store, id).sealed == "second"
        assert (store.find(owner=before), store.find(owner=after)) == ([], [id])

    def test_a_record_expires(self, store: TokenStore) -> None:
        labels = new_labels()
        id = create(store, labels=labels)
        version = read(store, id).version
        store.touch(id, time.time() + 0.3)
        wait_for(lambda: store.read(id) is None)
        assert store.find(owner=labels["owner"]) == []
        assert id not in scan_all(store)
        assert store.replace(id, "new", version, soon()) == "gone"
        store.touch(id, soon())
        assert store.delete(id) is False
        assert store.read(id) is None

    def test_a_new_record_expires(self, store: TokenStore) -> None:
        labels = new_labels()
        id = create(store, labels=labels, expires_at=time.time() + 0.3)
        wait_for(lambda: store.read(id) is None)
        assert store.find(owner=labels["owner"]) == []
        assert id not in scan_all(store)
        assert store.delete(id) is False

    def test_a_record_may_be_created_expired(self, store: TokenStore) -> None:
        assert store.read(create(store, expires_at=time.time() - 1)) is None

    def test_create_refuses_an_unknown_label(self, store: TokenStore) -> None:
        id = new_name()
        with pytest.raises(TypeError, match="colour"):
            store.create(id, "sealed", {"colour": "red"}, soon())
        assert store.read(id) is None

    # replace

    def test_the_version_that_was_read_is_replaced(self, store: TokenStore) -> None:
        id = create(store, "first")
        first = read(store, id)
        assert store.replace(id, "second", first.version, soon()) == "replaced"
        second = read(store, id)
        assert second.sealed == "second"
        assert second.version != first.version

    def test_another_version_is_not_replaced(self, store: TokenStore) -> None:
        id = create(store, "first")
        first = read(store, id)
        store.replace(id, "second", first.version, soon())
        assert store.replace(id, "third", first.version, soon()) == "changed"
        assert read(store, id).sealed == "second"

    def test_no_version_comes_twice(self, store: TokenStore) -> None:
        id, versions = create(store), []
        for _ in range(10):
            versions.append(read(store, id).version)
            assert store.replace(id, "sealed", versions[-1], soon()) == "replaced"
        assert len(set(versions)) == 10

    def test_nothing_is_created_by_replacing(self, store: TokenStore) -> None:
        id, unknown = create(store), new_name()
        version = read(store, id).version
        assert store.delete(id)
        assert store.replace(id, "new", version, soon()) == "gone"
        assert store.replace(unknown, "new", version, soon()) == "gone"
        assert (store.read(id), store.read(unknown)) == (None, None)

    # touch

    def test_a_new_expiry_counts(self, store: TokenStore) -> None:
        seconds = 1.0
        while True:
            touched_by, replaced_by = new_labels(), new_labels()
            end = time.time() + seconds
            touched = create(store, labels=touched_by, expires_at=end)
            replaced = create(store, labels=replaced_by, expires_at=end)
            before, first = store.read(touched), store.read(replaced)
            store.touch(touched, soon())
            store.replace(replaced, "new", first.version if first else "", soon())
            if time.time() < end:
                break
            # The machine was busy, so the records had expired. Try again with more time.
            seconds *= 5
            assert seconds < TIMEOUT, "A few calls to the store take too long."
        wait_for(lambda: time.time() > end + 0.1)
        assert store.read(touched) == before
        assert read(store, replaced).sealed == "new"
        assert store.find(owner=touched_by["owner"]) == [touched]
        assert store.find(owner=replaced_by["owner"]) == [replaced]
        store.touch(touched, time.time() - 1)
        store.replace(replaced, "last", read(store, replaced).version, time.time() - 1)
        assert (store.read(touched), store.read(replaced)) == (None, None)

    def test_nothing_is_created_by_touching(self, store: TokenStore) -> None:
        id, labels = new_name(), new_labels()
        store.touch(id, soon())
        assert store.read(id) is None
        id = create(store, labels=labels)
        store.delete(id)
        store.touch(id, soon())
        assert store.read(id) is None
        assert store.find(owner=labels["owner"]) == []

    # delete

    def test_deleting_is_done_once(self, store: TokenStore) -> None:
        labels = new_labels()
        id = create(store, labels=labels)
        assert store.delete(id) is True
        assert store.delete(id) is False
        assert store.delete(new_name()) is False
        assert store.read(id) is None
        assert store.find(owner=labels["owner"]) == []
        assert id not in scan_all(store)
