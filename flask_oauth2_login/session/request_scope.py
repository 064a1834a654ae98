"""`RequestScope`: what this extension knows and does during one request."""

from __future__ import annotations

import functools
import time
import typing as t

from flask import Request, Response

from ..client.session import OAuth2Session
from .context import peek, session_attribute, this_context, this_request, this_session
from .flask_session import KEY, SessionEntries, parse_entries

# The attribute of a request that keeps its state.
_KEPT = "_oauth2_login"


class PendingCopy(t.NamedTuple):
    """A change of the browser's copy of a record, to be sent with the response."""

    #: The record's id.
    id: str
    #: The sealed record; None if the browser's copy is to be deleted.
    sealed: str | None
    #: Writes the change to a response.
    send: t.Callable[[Response, PendingCopy], None]


class RequestScope:
    """The state of one request. Nothing of it outlives the request, or is seen by another."""

    #: What the session had under `entries.KEY` when the request came.
    received_entries: t.Any = None
    #: Whether the session was to outlast the browser when the request came.
    was_permanent: bool = False
    #: True if the browser withheld the session cookie, because another site sent the request. The
    #: response must then not set a new one.
    without_session_cookie: bool = False
    #: Unix seconds at which this request replaced the session's entries; None if it did not.
    superseded_at: float | None = None
    #: True while the response says that a store is down: nobody counts as signed in there.
    is_store_down: bool = False
    #: True while the session can be read without marking it accessed, because our hook is still to
    #: say that the response depends on it.
    can_peek: bool = False
    #: True if the session was read so.
    has_peeked: bool = False
    #: The name of the login whose guard let this request pass.
    admitted: str | None = None
    #: The page to which the sign-in that this request finishes would have led.
    attempted_next: str | None = None
    #: Whether that sign-in adds an account to a person.
    is_linking: bool = False
    #: True if the code of the authorization response was not sent, so that a reload sends it.
    is_code_unused: bool = False
    #: The URL at which a visitor can try again what has failed.
    again_url: str | None = None
    #: The variables of the request's URL, if the app has logins with tenants.
    url_values: t.Mapping[str, t.Any] | None = None
    #: True if the request names a tenant that does not exist.
    is_unknown_tenant: bool = False
    #: A locale, and the texts of our pages in its language.
    translator: tuple[t.Any, t.Any] | None = None
    #: True if the request names a tenant, whether it exists or not.
    names_tenant: bool = False
    _parsed: tuple[t.Any, SessionEntries] | None = None

    def __init__(self) -> None:
        #: Unix seconds.
        self.started_at: float = time.time()
        #: The copies of records to send to the browser, by the login's key.
        self.pending: dict[str, PendingCopy] = {}
        #: The sessions for API calls, by the login's key.
        self.sessions: dict[str, OAuth2Session] = {}
        #: The opened `StoredLogin` for each login's key and record's id; None if it has ended.
        self.opened: dict[tuple[str, str], t.Any] = {}

    @functools.cached_property
    def registrations(self) -> dict[str, t.Any]:
        """The `Registration` for this request of each login with tenants, by the login's name."""
        return {}

    def receive_session(self, entries: t.Any, *, is_permanent: bool) -> None:
        """Note what the session held when the request came."""
        self.received_entries, self.was_permanent = entries, is_permanent
        self.can_peek = True

    def read_entries(self) -> SessionEntries:
        """Return what `flask.session` says of logins; empty if it says nothing that is valid."""
        if self.can_peek:
            # To say that a response depends on the session, Flask parses and writes a header.
            self.has_peeked = True
            context = this_context()
            value = peek(getattr(context, session_attribute(context)), KEY)
        else:
            value = this_session().get(KEY)
        # A request reads them several times. Whoever writes them writes another list.
        if self._parsed is None or self._parsed[0] is not value:
            self._parsed = value, parse_entries(value)
        return self._parsed[1]

    def take_up_attempt(self, next: str | None, *, is_linking: bool) -> None:
        """Note the sign-in that this request finishes."""
        self.attempted_next, self.is_linking = next, is_linking

    def send_pending(self, response: Response) -> None:
        """Send the browser the copies of records that this request has changed.

        :raises StoreError: the newest version of a record can't be read.
        """
        # Iterate over a list, because a thread of the app may refresh a token meanwhile.
        for pending in list(self.pending.values()):
            pending.send(response, pending)

    def restore_pending(self, former: t.Mapping[str, PendingCopy]) -> None:
        """Drop the copies to send that are not in ``former``, because their changes were undone."""
        self.pending.clear()
        self.pending.update(former)

    def forget_logins(self) -> None:
        """Find out anew who is signed in, because that has changed."""
        self.opened.clear()
        self.sessions.clear()


def request_scope() -> RequestScope:
    """Return the state of this request. It is kept on the request: app contexts can live longer."""
    return scope_of(this_request())


def scope_of(request: Request) -> RequestScope:
    """Return the state of a request."""
    kept = request.__dict__
    scope: RequestScope | None = kept.get(_KEPT)
    if scope is None:
        scope = kept[_KEPT] = RequestScope()
    return scope


def find_request_scope(of: Request) -> RequestScope | None:
    """Return the state of a request; None if it has none yet."""
    return of.__dict__.get(_KEPT)


def read_entries() -> SessionEntries:
    """Return what this request's `flask.session` says of logins."""
    return request_scope().read_entries()
