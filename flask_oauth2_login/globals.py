"""The proxies for views: `current_oauth_session` and `current_identity`."""

from __future__ import annotations

import typing as t

from flask import has_request_context
from werkzeug.local import LocalProxy

from .later import Later
from .protocol.errors import see
from .protocol.tracebacks import without_locals

if t.TYPE_CHECKING:
    from .client.session import OAuth2Session
    from .protocol.identity import Identity
    from .session import current_login
    from .session.registration import Registration
else:
    current_login = Later("session.current_login")

T = t.TypeVar("T")


_OUTSIDE = (
    "Working outside of request context: there is no request, so nobody is signed in. In a job, a"
    " command or a shell, use login.session_for(owner), where login is your OAuth2Login. To a"
    " thread, hand over the session of the view: login.session."
)


def _ask(find: t.Callable[[Registration | None], T]) -> T:
    """Return what a function finds for the login that this request is about.

    :raises RuntimeError: there is no request. The error says what to use instead.
    """
    try:
        return find(current_login.find_registration())
    except RuntimeError:
        if has_request_context():
            raise
        raise RuntimeError(f"{_OUTSIDE} {see('outside-request')}") from None


@without_locals
def _current_session() -> OAuth2Session:
    return _ask(current_login.find_session)


@without_locals
def _current_identity() -> Identity | None:
    return _ask(current_login.find_identity)


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

# Flask's error for what can't be JSON has the name of its class.
_IdentityProxy.__name__ = "current_identity (take current_identity.to_dict())"
