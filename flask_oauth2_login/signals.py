"""The four signals. The app is the sender; the arguments are keywords.

A receiver that raises is logged. It changes nothing about what has happened.
"""

from __future__ import annotations

import logging
import typing as t

from blinker import Namespace
from flask import Flask, current_app

log = logging.getLogger("flask_oauth2_login")

_signals = Namespace()

#: Sent after a sign-in, or after an account was added: ``login`` (the login's name),
#: ``identity`` (:class:`Identity`), ``token`` (:class:`Token`).
logged_in = _signals.signal("oauth2-logged-in")

#: Sent after a login has ended: ``login``, ``identity``, and ``reason``, which is ``"asked"`` (the
#: person signed out), ``"expired"`` (the provider refused to refresh the token), ``"replaced"``
#: (by another sign-in), ``"back-channel"`` or ``"front-channel"`` (the provider ended it), or
#: ``"unlinked"`` (`OAuth2Login.unlink`).
logged_out = _signals.signal("oauth2-logged-out")

#: Sent when a sign-in has failed: ``login``, ``error`` (:class:`OAuth2Error`).
login_failed = _signals.signal("oauth2-login-failed")

#: Sent after a token was refreshed, also outside a request: ``login``, ``identity``, ``token``.
token_refreshed = _signals.signal("oauth2-token-refreshed")


def send(signal: t.Any, **arguments: t.Any) -> None:
    """Call every receiver of this app. An exception that one raises is logged."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    for receiver in signal.receivers_for(app) if signal.receivers else ():
        try:
            receiver(app, **arguments)
        except Exception:
            log.exception("A receiver of the signal %s failed.", signal.name)
