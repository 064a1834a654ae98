"""`CookieStore`, the default: each login's record is a cookie in the browser."""

from __future__ import annotations

import logging
import re
import typing as t

from flask import Response, current_app, has_request_context, request, session
from flask.sessions import SecureCookieSessionInterface

from ..protocol.errors import ProviderAnswerError, see
from .context import this_app, this_request
from .cookies import (
    LEAST_ROOM,
    LONGEST_ATTRIBUTES,
    MAX_COOKIE,
    MAX_COOKIES,
    ROOM_FOR_SIGN_IN,
    cookie_name,
    fits,
    sent_bytes,
)
from .flask_session import has_tenant, parse_entries
from .request_scope import read_entries, request_scope

log = logging.getLogger("flask_oauth2_login")

#: How long (s) browsers keep a cookie at most. It is ignored unless the session names its id.
LONG = 400 * 24 * 3600
#: The most cookies that a record is split over, and the most characters of one of them.
MAX_PARTS, PART = 3, MAX_COOKIE - LONGEST_ATTRIBUTES - 2

_ATTEMPT = re.compile(r"__([0-9a-f]{32}|next|held_[A-Za-z0-9_-]{22})$")


class CookieStore:
    """Keeps records in cookies beside the session's. It needs no setup and no server.

    The processes of one machine share a small file. An app on several machines should use a
    server-side store.

    .. code-block:: python

        OAuth2Login("github", store="cookie")    # the default
    """

    server_side: t.ClassVar[bool] = False

    def get(self, login: str) -> str | None:
        """Return the sealed record that the browser sent for a login."""
        cookies = this_request().cookies
        value = cookies.get(cookie_name(login))
        # A sealed value has no dot. With one, this is the first part, after the number of parts.
        if value is None or value[1:2] != "." or not re.fullmatch("[2-9]", value[0]):
            return value
        count, _, first = value.partition(".")
        parts = (cookies.get(_part(login, number), "") for number in range(1, int(count)))
        return "".join([first, *parts])

    def check(self, login: str, sealed: str) -> None:
        """Check that browsers and servers will accept a new record.

        :raises ProviderAnswerError: it is too large for cookies.
        """
        values = self._split(login, sealed)
        if not (self._fits(login, values) and self._has_room_beside_ours(login, values)):
            raise too_large(login, sealed)

    def has_room(self, login: str, sealed: str) -> bool:
        """Return True if a record takes one cookie at most."""
        if not has_request_context():
            return len(sealed) < MAX_COOKIE - LONGEST_ATTRIBUTES
        return fits(self._cookie(login, sealed))

    def write(self, response: Response, login: str, sealed: str | None) -> None:
        """Send a record with a response, or delete the browser's if it is None."""
        values = {} if sealed is None else self._split(login, sealed)
        if values and not self._fits(login, values):
            # The token is already refreshed, so don't fail: the local store still has the record.
            log.error(
                "%s: a refreshed record is too large for a cookie. %s", login, see("too-large")
            )
            return
        for name, value in values.items():
            response.set_cookie(**self._cookie(name, value))
        sent, names = this_request().cookies, _names(login)
        for name in names:
            if name not in values and (name in sent or name == names[0]):
                # The record has ended, or was longer before.
                response.delete_cookie(**self._attributes(name))
        if sealed is not None:
            for name in _forgotten_names(login):
                response.delete_cookie(**self._attributes(name))

    def _split(self, login: str, sealed: str) -> dict[str, str]:
        """Return the values of the cookies that a record needs, by the cookies' names."""
        # A short value fits into one cookie whatever the cookie's attributes are: see `fits`.
        name = cookie_name(login)
        if len(sealed) < MAX_COOKIE - LONGEST_ATTRIBUTES or fits(self._cookie(name, sealed)):
            return {name: sealed}
        parts = [sealed[at : at + PART] for at in range(0, len(sealed), PART)]
        names = [name, *(_part(login, number) for number in range(1, len(parts)))]
        return dict(zip(names, [f"{len(parts)}.{parts[0]}", *parts[1:]], strict=True))

    def _fits(self, login: str, values: t.Mapping[str, str]) -> bool:
        """Return True if a record, split into these cookies, has room beside all other cookies."""
        if len(values) == 1:
            return True
        own = _bytes_of(values)
        session_name = current_app.session_interface.get_cookie_name(current_app)
        # A sign-in under way has room of its own, and the session's cookie may be a new one.
        leaving = _leaving_names(login)
        others = [
            name
            for name in request.cookies
            if name != session_name
            and name not in leaving
            and name not in _names(login)
            and not _ATTEMPT.search(name)
        ]
        own += _session_bytes(session_name)
        return len(values) <= MAX_PARTS and (
            own + sent_bytes(others) <= MAX_COOKIES - ROOM_FOR_SIGN_IN
        )

    def _has_room_beside_ours(self, login: str, values: t.Mapping[str, str]) -> bool:
        """Return True if a record has room beside the session and the app's other records."""
        room = MAX_COOKIES - LEAST_ROOM - _bytes_of(values)
        # The session takes one cookie at most. Measuring anything exactly would take time.
        if room >= MAX_COOKIE + len(this_request().environ.get("HTTP_COOKIE", "")):
            return True
        prefix, leaving = cookie_name(""), _leaving_names(login)
        others = [
            name
            for name in request.cookies
            if name.startswith(prefix)
            and name not in leaving
            and name not in _names(login)
            and not _ATTEMPT.search(name)
        ]
        room -= sent_bytes(others)
        session_name = current_app.session_interface.get_cookie_name(current_app)
        return room >= MAX_COOKIE or room >= _session_bytes(session_name)

    def _cookie(self, name: str, value: str) -> dict[str, t.Any]:
        max_age = LONG if session.permanent else None
        return {**self._attributes(name), "value": value, "max_age": max_age}

    def _attributes(self, name: str) -> dict[str, t.Any]:
        """Return the attributes of the session's cookie, because each needs the other."""
        app = this_app()
        interface = app.session_interface
        return {
            "key": name,
            "path": interface.get_cookie_path(app),
            "domain": interface.get_cookie_domain(app),
            "secure": interface.get_cookie_secure(app) or this_request().is_secure,
            "httponly": True,
            "samesite": interface.get_cookie_samesite(app) or "Lax",
            "partitioned": interface.get_cookie_partitioned(app),
        }


def _part(login: str, number: int) -> str:
    return f"{cookie_name(login)}__part{number}"


def _names(login: str) -> list[str]:
    """Return the names of all cookies that a login's record may have."""
    name = cookie_name(login)
    return [name, *(f"{name}__part{number}" for number in range(1, MAX_PARTS))]


def _leaving_names(login: str) -> set[str]:
    """Return the names of the cookies of logins that end with this sign-in."""
    former = parse_entries(request_scope().received_entries).live
    keys = {entry.key for entry in former} - {entry.key for entry in read_entries().live}
    return {name for key in keys for name in _names(key)} | _forgotten_names(login)


def _forgotten_names(login: str) -> set[str]:
    """Return the names of cookies of a login's other tenants that the session does not name.

    They open nothing. If an app clears its session, nobody signs in there again to replace them.
    """
    if not has_tenant(login):
        return set()
    prefix = cookie_name(login.rpartition("~")[0] + "~")
    keys = {login, *(entry.key for entry in read_entries().live)}
    known = {name for key in keys for name in _names(key)}
    return {name for name in request.cookies if name.startswith(prefix) and name not in known}


def _bytes_of(cookies: t.Mapping[str, str]) -> int:
    """Return the bytes that cookies will take in a request, by their names and values."""
    return sum(len(name) + len(value) + 3 for name, value in cookies.items())


def _session_bytes(name: str) -> int:
    """Return the bytes that the session's cookie will take in a request."""
    interface = current_app.session_interface
    if not isinstance(interface, SecureCookieSessionInterface):
        return sent_bytes([name])
    serializer = interface.get_signing_serializer(current_app)
    value = serializer.dumps(dict(session)) if serializer is not None else ""
    return len(name) + len(value) + 3


def too_large(login: str, sealed: str) -> ProviderAnswerError:
    """Return the error for a record that is too large for cookies."""
    login = login.partition("~")[0]
    return ProviderAnswerError(
        f"The login {login!r} has a record of {len(sealed)} bytes, too large for cookies: with the"
        f" others they may take {MAX_COOKIES} bytes, because servers refuse longer headers."
        " Keep records on the server: OAuth2Login(…, store='sqlite:///logins.db'), or"
        " 'postgresql+psycopg://…', or 'redis://…'; or ask for fewer scopes and claims,"
        " and name the roles that the app needs: role_names={…}.",
        row="too-large",
    )
