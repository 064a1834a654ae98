"""What a view reaches for: the session that calls the API, and who is signed in."""

from __future__ import annotations

import typing as t

from werkzeug.local import LocalProxy

from .client.session import OAuth2Session
from .protocol.errors import LoginRequired
from .protocol.identity import Identity
from .protocol.tracebacks import without_locals
from .session.api_session import make_session
from .session.registration import Registration
from .session.request_scope import current_login, current_visit, find_home, find_identity


def find_session(login: Registration | None) -> OAuth2Session:
    """This request's session for a login.

    :raises LoginRequired: nobody is signed in there.
    """
    if login is None:
        raise LoginRequired
    sessions = current_visit().sessions
    if login.name not in sessions:
        home = find_home(login)
        home = home.token_home if home is not None else None
        if home is None:
            raise LoginRequired(login=login.name)
        sessions[login.name] = make_session(login, home)
    return sessions[login.name]


@without_locals
def _current_session() -> OAuth2Session:
    return find_session(current_login())


@without_locals
def _current_identity() -> Identity | None:
    return find_identity(current_login())


if t.TYPE_CHECKING:  # pragma: no cover
    # So that checkers and editors know what is behind the proxies.
    current_oauth_session: OAuth2Session
    current_identity: Identity
else:
    #: An :class:`OAuth2Session` for whoever is signed in. Raises :exc:`LoginRequired` where nobody
    #: is, which sends a browser to sign in and back.
    current_oauth_session = LocalProxy(_current_session)

    #: The :class:`Identity` of whoever is signed in; false where nobody is.
    current_identity = LocalProxy(_current_identity)
