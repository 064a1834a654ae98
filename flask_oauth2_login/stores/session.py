"""`SessionStore`: records in `flask.session`."""

from __future__ import annotations

import typing as t

from flask import Response
from flask import session

KEY = "_oauth2_login_records"


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
        """Take a record of any size: how much a session holds is its own affair."""

    def write(self, response: Response, login: str, sealed: str | None) -> None:  # noqa: ARG002
        """Write a record to the session, or take it out; the session is sent with the answer."""
        records = {**(session.get(KEY) or {}), login: sealed}
        if records[login] is None:
            del records[login]
        session[KEY] = records
