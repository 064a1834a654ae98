"""The signals."""

from __future__ import annotations

import typing as t

from flask import Flask

from flask_oauth2_login import Identity, logged_in, logged_out, login_failed, token_refreshed
from tests.support.provider import REMOVED, Browser, Provider


def test_signals_are_sent_and_a_failing_receiver_loses_nothing(
    app: Flask, browser: Browser, provider: Provider
) -> None:
    sent: list[t.Any] = []

    def note(name: str) -> t.Callable[..., None]:
        def receiver(sender: Flask, **arguments: t.Any) -> None:
            assert sender is app
            sent.append((name, arguments.get("reason")))
            raise RuntimeError(name)

        return receiver

    signals = {
        "in": logged_in, "out": logged_out, "failed": login_failed, "refreshed": token_refreshed,
    }  # fmt: skip
    receivers = {name: note(name) for name in signals}
    for name, signal in signals.items():
        signal.connect(receivers[name], app)
    browser.sign_in()
    provider.grants.expire_access()
    assert browser.fetch("/call/x").status_code == 200
    browser.sign_in(code=REMOVED)
    browser.sign_in(person={"sub": "bob"})
    browser.post("/logout")
    assert sent == [
        ("in", None), ("refreshed", None), ("failed", None), ("out", "replaced"), ("in", None),
        ("out", "asked"),
    ]  # fmt: skip


def test_signing_in_again_is_no_sign_out_of_the_same_person(app: Flask, browser: Browser) -> None:
    left = []

    def note(_sender: t.Any, identity: Identity, reason: str, **_: t.Any) -> None:
        left.append((identity.id, reason))

    with logged_out.connected_to(note, app):
        browser.sign_in()
        browser.sign_in()
        assert left == []
        browser.sign_in(person={"sub": "eve"})
        assert left == [("ada", "replaced")]
