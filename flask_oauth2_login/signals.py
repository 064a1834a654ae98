"""The signals of this extension.

They are sent after the fact, with the app as sender and with keyword arguments:

.. code-block:: python

    @logged_in.connect_via(app)
    def count(sender, login, identity, token):
        ...

A receiver that raises is logged; the request goes on.
"""

from __future__ import annotations

import logging
import typing as t

from blinker import Namespace
from flask import Flask, current_app

from .protocol.errors import see

log = logging.getLogger("flask_oauth2_login")

_signals = Namespace()

#: Sent when somebody has signed in or added an account, after ``on_login`` and after the login is
#: stored. Arguments: ``login`` (its name), ``identity`` (an `Identity`) and ``token`` (a `Token`).
logged_in = _signals.signal("oauth2-logged-in")

#: Sent when a login has ended. Arguments: ``login`` (its name), ``identity`` (an `Identity`) and
#: ``reason``: ``"asked"`` (the person or the app has signed out), ``"expired"`` (the login's
#: lifetime is over, or its token is lost), ``"refused"`` (the provider does not refresh the token
#: any more), ``"replaced"`` (by somebody else's sign-in), ``"back-channel"`` or ``"front-channel"``
#: (the provider has signed the person out), ``"unlinked"`` (the app has called
#: `OAuth2Login.unlink`), ``"ended"`` (it has called `OAuth2Login.end_sign_ins`). A further sign-in
#: of the same person ends no login.
logged_out = _signals.signal("oauth2-logged-out")

#: Sent when a sign-in has failed. Arguments: ``login`` (its name), ``error`` (an `OAuth2Error`),
#: and ``tenant`` if the login has tenants. The identities that other signals have name the tenant.
login_failed = _signals.signal("oauth2-login-failed")

#: Sent when a token has been refreshed and stored, in a request or in a job. Arguments: ``login``
#: (its name), ``identity`` (an `Identity`) and ``token`` (the new `Token`).
token_refreshed = _signals.signal("oauth2-token-refreshed")


def send(signal: t.Any, **arguments: t.Any) -> None:
    """Send a signal to its receivers in the current app. Log the errors of receivers."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    for receiver in signal.receivers_for(app) if signal.receivers else ():
        try:
            receiver(app, **arguments)
        except Exception:
            log.exception("A receiver of the signal %s failed. %s", signal.name, see("hook-failed"))
