"""The proxies for views: `current_oauth_session` and `current_identity`."""

from __future__ import annotations

import typing as t

from werkzeug.local import LocalProxy

from .client.session import OAuth2Session
from .protocol.errors import LoginRequired
from .protocol.identity import Identity
from .protocol.tracebacks import without_locals
from .session.current_login import find_identity, find_login, find_registration
from .session.extension import current_extension
from .session.registration import Registration
from .session.request_scope import request_scope


def find_session(registration: Registration | None) -> OAuth2Session:
    """Return this request's session for a login.

    :raises LoginRequired: nobody is signed in there.
    """
    if registration is None:
        raise LoginRequired
    sessions = request_scope().sessions
    if registration.name not in sessions:
        login = find_login(registration)
        login = login.token_source if login is not None else None
        if login is None:
            raise LoginRequired(login=registration.name)
        sessions[registration.name] = current_extension().make_session(registration, login)
    return sessions[registration.name]


@without_locals
def _current_session() -> OAuth2Session:
    return find_session(find_registration())


@without_locals
def _current_identity() -> Identity | None:
    return find_identity(find_registration())


class _IdentityProxy(LocalProxy[t.Any]):
    """The proxy for the identity. It has one attribute even if nobody is signed in."""

    __slots__ = ()

    @property
    def is_authenticated(self) -> bool:
        """True if somebody is signed in, as with Flask-Login's ``current_user``."""
        return bool(self)


if t.TYPE_CHECKING:  # pragma: no cover
    # Type checkers and editors see the types behind the proxies.
    current_oauth_session: OAuth2Session
    current_identity: Identity
else:
    #: The :class:`OAuth2Session` of the person who is signed in. It raises :exc:`LoginRequired` if
    #: nobody is, which redirects a browser to the sign-in and back.
    current_oauth_session = LocalProxy(_current_session)

    #: The :class:`Identity` of the person who is signed in. If nobody is, it is false and
    #: has one attribute, ``is_authenticated``, which is False.
    current_identity = _IdentityProxy(_current_identity)
