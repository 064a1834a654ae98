"""`SessionStore`: records in `flask.session`."""

from __future__ import annotations

import typing as t

from flask import Response, current_app, session
from flask.sessions import SecureCookieSessionInterface

from .cookie_store import too_large
from .cookies import fits

KEY = "_oauth2_login_records"
#: Attributes that a session's cookie may have, for its length.
ROOM: t.Mapping[str, t.Any] = {"max_age": 0, "secure": True, "samesite": "Strict"}


class SessionStore:
    """Keeps the sealed record in `flask.session`, for apps whose sessions are on the server.

    .. warning::
        Flask writes a session whole, and the last writer wins. A slow request that writes the
        session may put back a record that another request has renewed meanwhile. Within one
        machine the newer one is found all the same; on several machines a refresh token may then
        be sent twice, and a provider that rotates them ends the login. With Flask's own session,
        which is a cookie, the record also shares that cookie's 4,093 bytes. Take a server-side
        store where either matters.
    """

    server_side: t.ClassVar[bool] = False

    def get(self, login: str) -> str | None:
        """The sealed record in the session."""
        records = session.get(KEY)
        return records.get(login) if isinstance(records, dict) else None

    def check(self, login: str, sealed: str) -> None:
        """See that browsers will take the session, where it is a cookie of Flask's own.

        :raises ConfigurationError: it is too large for them.
        """
        interface = current_app.session_interface
        if isinstance(interface, SecureCookieSessionInterface):
            serializer = interface.get_signing_serializer(current_app)
            records = {**(session.get(KEY) or {}), login: sealed}
            value = serializer.dumps({**session, KEY: records}) if serializer is not None else ""
            if not fits({"key": interface.get_cookie_name(current_app), "value": value, **ROOM}):
                raise too_large(login, sealed)

    def write(self, response: Response, login: str, sealed: str | None) -> None:  # noqa: ARG002
        """Write a record to the session, or take it out; the session is sent with the answer."""
        records = {**(session.get(KEY) or {}), login: sealed}
        if records[login] is None:
            del records[login]
        session[KEY] = records
