"""What a session holds of logins, written by us, by an older release, or by somebody else."""

from __future__ import annotations

import typing as t

import pytest
from flask import Flask, session

from flask_oauth2_login.session.flask_session import (
    EPOCH,
    KEY,
    SessionEntry,
    parse_entries,
    this_minute,
    write_entries,
)
from tests.support.clock import Clock


def test_entries_are_read_as_they_were_written() -> None:
    entries = [
        SessionEntry("one", "id-1", "subject", 5),
        SessionEntry("two", "", "subject", 6, "owner"),
        SessionEntry("one", "id-3", "other", 7),
    ]
    app = Flask("app")
    app.secret_key = "x" * 32
    with app.test_request_context():
        write_entries(entries)
        written = session[KEY]
        first_id = written[0]
        write_entries(entries)
        assert session[KEY][0] != first_id
    found = parse_entries(written)
    assert found.id == first_id
    assert found.all == entries
    assert [entry.id for entry in found.live] == ["id-1", "id-3"]
    newest = found.get("one")
    assert newest is not None
    assert newest.id == "id-3"
    assert found.get("three") is None


@pytest.mark.parametrize(
    "value",
    [
        None, [], {}, "", 0, 5, "text", {"a": 1}, ["id", []], ["id", ["one"]], ["id", 5],
        ["id", ["one", "id", "subject", "5"]], ["id", ["one", "id", "subject", True]],
        ["id", ["one", 5, "subject", 5]], ["id", ["one", "id", "subject", 5, None]],
        ["id", ["one", "id", "subject", 5, "owner", 5]],
        ["id", ["one", "id", "subject", 5, "owner", "tenant", "more"]],
        ["id", ["one", "id", "subject", 5], ["two"]],
    ],
)  # fmt: skip
def test_entries_of_another_shape_are_none(value: t.Any) -> None:
    assert parse_entries(value).all == []


@pytest.mark.parametrize(("seconds", "minute"), [(0, 0), (59, 0), (60, 1), (3600, 60)])
def test_minutes_are_counted_from_2025(
    monkeypatch: pytest.MonkeyPatch, seconds: int, minute: int
) -> None:
    monkeypatch.setattr("time.time", lambda: EPOCH + seconds)
    assert this_minute() == minute


def test_a_minute_passes(clock: Clock) -> None:
    before = this_minute()
    clock.ahead += 60
    assert this_minute() == before + 1
