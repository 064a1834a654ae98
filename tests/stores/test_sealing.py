"""What is sealed is opened as it was, within bounds."""

from __future__ import annotations

import secrets
import tracemalloc
import typing as t

import pytest

from flask_oauth2_login import ProviderError
from flask_oauth2_login.stores.sealing import Sealer


@pytest.mark.parametrize(
    "value",
    [
        None, 0, "", "a", "ab", "abc", "abcd", "abcde", ".", "a.", ".a", "a..b", "-_9.Zz", "ü",
        "a b", [], [None], ["", None, [], {}], ["a.b.c", 1, {"x": ["y"]}], {"x": "y"},
        [["a"], "a" * 500],
    ],
)  # fmt: skip
def test_what_was_sealed_is_opened_as_it_was(value: t.Any) -> None:
    sealer = Sealer(lambda: ("a secret",))
    assert sealer.open(sealer.seal(value, "record", "github"), "record", "github") == value


@pytest.mark.security("C2")
def test_what_is_sealed_is_bounded_before_and_after() -> None:
    sealer = Sealer(lambda: ("a secret",))
    with pytest.raises(ProviderError, match="too large"):
        sealer.seal([{"x": "x" * 1_500_000}, {"x": "x" * 1_500_000}], "record")


@pytest.mark.security("B1", "C2")
def test_what_was_opened_is_remembered_by_its_bytes() -> None:
    sealer = Sealer(lambda: ("a secret",))
    sealed = [sealer.seal(secrets.token_urlsafe(2500), "record") for _ in range(3000)]
    sealed += [sealer.seal({"x": "x" * 1_000_000, "y": number}, "record") for number in range(60)]
    tracemalloc.start()
    try:
        for each in sealed:
            assert sealer.open_cached(each, lambda opened: opened, "record") is not None
        remembered, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 5_000_000 < remembered < 20_000_000
