"""Signing out at the provider, and by the provider: the three ways of OpenID Connect.

RP-Initiated Logout 1.0, Back-Channel Logout 1.0, Front-Channel Logout 1.0.
"""

from __future__ import annotations

import logging
import secrets
import typing as t

from flask import Response
from flask import json
from flask import request
from werkzeug.exceptions import NotFound

from ..protocol.errors import IDTokenError
from ..protocol.errors import OAuth2Error
from ..protocol.errors import ProviderError
from ..protocol.openid import OpenIDConnect
from ..protocol.patience import patiently
from ..protocol.urls import add_params
from ..protocol.urls import origin
from ..stores.cookie import brief_cookie
from ..stores.cookie import cookie_name
from .extension import Login
from .extension import current_extension
from .home import RecordHome
from .home import find_record_homes
from .home import server_store
from .pages import keep_private
from .pages import render_page
from .record import Record
from .urls import post_logout_redirect_uri
from .urls import url_of

log = logging.getLogger("flask_oauth2_login")

#: Seconds in which a browser must be back from signing out at the provider.
ROUND_TRIP = 600
#: Seconds for which a logout token's ``jti`` is remembered: longer than one is valid.
REMEMBER_JTI = 24 * 3600


def openid_handler(login: Login) -> OpenIDConnect:
    """The handler, where it is an OpenID Provider's; for others these views do not exist."""
    if not isinstance(login.handler, OpenIDConnect):
        raise NotFound
    return login.handler


# -- by the browser, at the provider: RP-Initiated Logout


def provider_logout_url(login: Login, record: Record, state: str) -> str | None:
    """Where to go on to, to sign out at the provider too; None where it has no such place."""
    handler, found = login.handler, []
    if not isinstance(handler, OpenIDConnect):
        return None

    def find() -> None:
        try:
            if handler.has_endpoint("end_session_url"):
                found.append(handler.endpoint("end_session_url"))
        except OAuth2Error as error:
            log.warning("%s: not signed out at the provider. %s", login.name, error)

    # The metadata may not have been read yet, and a provider that is down delays nobody.
    patiently(find)
    if not found:
        return None
    params = {
        "client_id": handler.client_id,
        "id_token_hint": record.id_token,
        "post_logout_redirect_uri": post_logout_redirect_uri(login),
        "state": state,
    }
    return add_params(found[0], params)


def remember_round_trip(login: Login, response: Response, state: str, next: str | None) -> None:
    """Bind a ``state`` to this browser."""
    sealed = current_extension().sealer.seal([state, next], "logout", *login.context)
    response.set_cookie(
        _name(login), sealed, max_age=ROUND_TRIP, **brief_cookie(url_of(login, "logout"))
    )


def finish_round_trip(login: Login) -> str | None:
    """Where a browser wanted to go that is back from the provider with the right ``state``."""
    opened = current_extension().sealer.open(
        request.cookies.get(_name(login)), "logout", *login.context
    )
    state = request.args.get("state", "")
    if opened is None or not secrets.compare_digest(state.encode(), opened[0].encode()):
        return None
    return t.cast("str | None", opened[1])


def forget_round_trip(login: Login, response: Response) -> Response:
    """Take the ``state`` away from this browser: it counts once."""
    if _name(login) in request.cookies:
        response.delete_cookie(_name(login), **brief_cookie(url_of(login, "logout")))
    return response


def _name(login: Login) -> str:
    return f"{cookie_name(login.name)}__logout"


# -- by the provider, behind the browser's back: Back-Channel Logout


def back_channel(login: Login) -> Response:
    """End what a logout token names: Back-Channel Logout 1.0, sections 2.6 to 2.8.

    :raises ConfigurationError: the provider sent one, and records rest in browsers.
    """
    handler = openid_handler(login)
    try:
        claims = _use_logout_token(login, handler)
    except (IDTokenError, ProviderError) as error:
        log.warning("%s: a back-channel logout was refused. %s", login.name, error)
        body = {"error": "invalid_request", "error_description": str(error)}
        return keep_private(Response(json.dumps(body), 400, content_type="application/json"))
    if claims.get("sid"):
        homes = find_record_homes(login, sid=str(claims["sid"]))
    else:
        homes = find_record_homes(login, subject=str(claims["sub"]))
    for home in homes:
        if "sub" not in claims or _subject(home) == claims["sub"]:
            home.end("back-channel")
    return keep_private(Response(status=200))


def _use_logout_token(login: Login, handler: OpenIDConnect) -> t.Mapping[str, t.Any]:
    """The claims of the request's logout token, which counts once."""
    tokens = request.form.getlist("logout_token")
    if len(tokens) != 1:
        raise IDTokenError("the request has no logout_token, or several")
    claims = handler.validate_logout_token(tokens[0])
    # Remembered last: a token that could not be validated may come again.
    name = current_extension().sealer.keyed_hash("jti", *login.context, str(claims["jti"]))
    if not server_store(login).once(name, REMEMBER_JTI):
        raise IDTokenError("the logout token was used before")
    return claims


def _subject(home: RecordHome) -> str | None:
    return home.record.id_claims.get("sub", home.record.identity.id)


# -- by the provider, in a frame: Front-Channel Logout


def front_channel(login: Login) -> Response:
    """End the records that ``iss`` and ``sid`` name: Front-Channel Logout 1.0, section 2.

    No cookie is relied on, for a frame gets none.
    """
    handler = openid_handler(login)
    iss, sid = request.args.getlist("iss"), request.args.getlist("sid")
    # Without a store that knows, there is nothing that it could end.
    well_formed = len(iss) == len(sid) == 1 and bool(sid[0]) and login.store is not None
    # By the record's own: an issuer that is a template has many names.
    homes = [
        home
        for home in (find_record_homes(login, sid=sid[0]) if well_formed else ())
        if home.record.id_claims.get("iss") == iss[0]
    ]
    if not homes and not (well_formed and iss[0] == handler.issuer):
        return render_page("error.html", 400, title="Not signed out", text="Nothing has changed.")
    for home in homes:
        home.end("front-channel")
    response = render_page("signed_out.html", 200, links=[])
    policy = response.headers["Content-Security-Policy"]
    response.headers["Content-Security-Policy"] = policy.replace(
        "frame-ancestors 'none'", f"frame-ancestors {origin(handler.issuer)}"
    )
    return response
