"""`SessionStore`: each login's record is in `flask.session`."""

from __future__ import annotations

import typing as t

from flask import Response, current_app, session
from flask.sessions import SecureCookieSessionInterface

from .cookie_store import too_large
from .cookies import fits
from .flask_session import has_tenant
from .request_scope import read_entries

KEY = "_oauth2_login_records"
#: The attributes that make a session's cookie as long as it can be.
ROOM: t.Mapping[str, t.Any] = {"max_age": 0, "secure": True, "samesite": "Strict"}


class SessionStore:
    """Keeps the sealed record in `flask.session`, for apps whose sessions are on the server.

    .. warning::
        Flask writes a session as a whole, and the last writer wins. A slow request can restore a
        record that another request has refreshed meanwhile. The processes of one machine find the
        newer one all the same. On several machines a refresh token can then be sent twice, and a
        provider that rotates refresh tokens ends the login. In Flask's own session, which is a
        cookie, the record also shares that cookie's 4,093 bytes. Use a server-side store if either
        matters.
    """

    server_side: t.ClassVar[bool] = False

    def get(self, login: str) -> str | None:
        """Return the sealed record in the session."""
        records = session.get(KEY)
        return records.get(login) if isinstance(records, dict) else None

    def check(self, login: str, sealed: str) -> None:
        """Check that browsers will accept the session, if it is Flask's own cookie.

        :raises ProviderAnswerError: it is too large for a cookie.
        """
        interface = current_app.session_interface
        if isinstance(interface, SecureCookieSessionInterface):
            serializer = interface.get_signing_serializer(current_app)
            records = {**_living_records(), login: sealed}
            value = serializer.dumps({**session, KEY: records}) if serializer is not None else ""
            if not fits({"key": interface.get_cookie_name(current_app), "value": value, **ROOM}):
                raise too_large(login, sealed)

    def has_room(self, login: str, sealed: str) -> bool:  # noqa: ARG002
        """Return True if sessions are on the server. A cookie has the app's own content, too."""
        return not isinstance(current_app.session_interface, SecureCookieSessionInterface)

    def write(self, response: Response, login: str, sealed: str | None) -> None:  # noqa: ARG002
        """Write a record to the session, or remove it if it is None."""
        records = {**_living_records(), login: sealed}
        if records[login] is None:
            del records[login]
        session[KEY] = records


def _living_records() -> dict[str, t.Any]:
    """Return the session's records without those of tenants that it does not name any more."""
    keys = {entry.key for entry in read_entries().live}
    records = session.get(KEY) or {}
    return {key: sealed for key, sealed in records.items() if key in keys or not has_tenant(key)}
