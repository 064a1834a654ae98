"""What a view reaches for: the session that calls the API, and who is signed in."""

from __future__ import annotations

import typing as t

from werkzeug.local import LocalProxy

from ..client.renewal import Home
from ..protocol.errors import LoginRequired
from ..protocol.identity import Identity
from ..protocol.session import OAuth2Session
from ..protocol.token import Token
from ..protocol.tracebacks import without_locals
from .extension import Login
from .extension import current_extension
from .visit import current_login
from .visit import current_visit
from .visit import find_home
from .visit import find_identity


def find_session(login: Login | None) -> OAuth2Session:
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


def make_session(login: Login, home: Home) -> OAuth2Session:
    """A session over the app's connections that renews the record's token when that is due.

    It needs no context, so that it may be handed to a thread.
    """
    extension = current_extension()

    def usable(rejected: Token | None, again: bool) -> Token | None:
        with extension.context():
            return extension.renewals.usable(home, rejected, again)

    return OAuth2Session(login.handler.api, usable, extension.pool)


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
