"""Signals, sent with the app as sender, after the fact. Arguments are keywords."""

from __future__ import annotations

import logging
import typing as t

from blinker import Namespace
from flask import Flask, current_app

log = logging.getLogger("flask_oauth2_login")

_signals = Namespace()

#: Somebody signed in: ``login`` (its name), ``identity``, ``token``.
logged_in = _signals.signal("oauth2-logged-in")

#: A login ended: ``login``, ``identity``, ``reason`` (``"asked"``, ``"expired"``,
#: ``"replaced"``, ``"back-channel"``, ``"front-channel"``, ``"unlinked"``).
logged_out = _signals.signal("oauth2-logged-out")

#: A sign-in came to nothing: ``login``, ``error``.
login_failed = _signals.signal("oauth2-login-failed")

#: A token was renewed, outside a request too: ``login``, ``identity``, ``token``.
token_refreshed = _signals.signal("oauth2-token-refreshed")


def send(signal: t.Any, **arguments: t.Any) -> None:
    """Tell every receiver of this app; one that raises is logged, and loses nothing."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    for receiver in signal.receivers_for(app) if signal.receivers else ():
        try:
            receiver(app, **arguments)
        except Exception:
            log.exception("A receiver of the signal %s failed.", signal.name)
