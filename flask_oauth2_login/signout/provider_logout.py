"""Signing out at the provider, and by the provider: the three ways of OpenID Connect.

RP-Initiated Logout 1.0, Back-Channel Logout 1.0, Front-Channel Logout 1.0.
"""

from __future__ import annotations

import logging
import secrets
import time
import typing as t

from flask import Response, json, request
from werkzeug.exceptions import NotFound

from ..client.openid import OpenIDConnect
from ..protocol.background import patiently
from ..protocol.errors import IDTokenError, OAuth2Error
from ..protocol.token import MAX_LIFETIME
from ..protocol.urls import add_params, origin
from ..session.cookies import SealedCookie, cookie_name
from ..session.extension import current_extension
from ..session.record import Record
from ..session.registration import Registration
from ..session.stored_login import RecordHome, end_homes, find_record_homes, server_store
from ..stores.base import TokenStore
from ..web.pages import keep_private, render_page
from ..web.urls import post_logout_redirect_uri, url_of

log = logging.getLogger("flask_oauth2_login")

#: Seconds in which a browser must be back from signing out at the provider.
ROUND_TRIP = 600
#: How long (s) a logout token's ``jti`` is remembered after its ``exp``, because clocks differ.
LEEWAY = 600


def openid_handler(login: Registration) -> OpenIDConnect:
    """The handler, where it is an OpenID Provider's; for others these views do not exist."""
    if not isinstance(login.handler, OpenIDConnect):
        raise NotFound
    return login.handler


# -- by the browser, at the provider: RP-Initiated Logout


def provider_logout_url(login: Registration, record: Record, state: str) -> str | None:
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


def remember_round_trip(
    login: Registration, response: Response, state: str, next: str | None
) -> None:
    """Bind a ``state`` to this browser."""
    response.set_cookie(**_cookie(login).make([state, next]))


def finish_round_trip(login: Registration) -> str | None:
    """Where a browser wanted to go that is back from the provider with the right ``state``."""
    kept = _cookie(login).read()
    state = request.args.get("state", "")
    if kept is None or not secrets.compare_digest(state.encode(), kept[0].encode()):
        return None
    return t.cast("str | None", kept[1])


def forget_round_trip(login: Registration, response: Response) -> Response:
    """Take the ``state`` away from this browser: it counts once."""
    cookie = _cookie(login)
    if cookie.name in request.cookies:
        cookie.delete(response)
    return response


def _cookie(login: Registration) -> SealedCookie:
    return SealedCookie(
        sealer=current_extension().sealer,
        purpose="logout",
        context=login.context,
        name=f"{cookie_name(login.name)}__logout",
        path=url_of(login, "logout"),
        lifetime=ROUND_TRIP,
    )


# -- by the provider, behind the browser's back: Back-Channel Logout


def back_channel(login: Registration) -> Response:
    """End what a logout token names: Back-Channel Logout 1.0, sections 2.6 to 2.8.

    Any failure is answered with a 400, and the provider may then send the token again.
    """
    handler = openid_handler(login)
    try:
        # Records can be found by the token's claims only in a server-side store.
        store = server_store(login)
        claims = _read_logout_token(handler)
        name = current_extension().sealer.keyed_hash("jti", *login.context, str(claims["jti"]))
        _require_unused(store, name)
        _end_named(login, claims)
        # Done last, so that the provider can send the token again after a failure.
        _remember_used(store, name, claims["exp"])
    except OAuth2Error as error:
        log.warning("%s: a back-channel logout was refused. %s", login.name, error)
        # Errors of this app or its store go only to the log, not to the caller.
        text = str(error) if isinstance(error, IDTokenError) else "It can't be acted on now."
        body = {"error": "invalid_request", "error_description": text}
        return keep_private(Response(json.dumps(body), 400, content_type="application/json"))
    return keep_private(Response(status=200))


def _read_logout_token(handler: OpenIDConnect) -> t.Mapping[str, t.Any]:
    """Return the claims of the request's logout token, after checking it."""
    tokens = request.form.getlist("logout_token")
    if len(tokens) != 1:
        raise IDTokenError("the request has no logout_token, or several")
    return handler.validate_logout_token(tokens[0])


def _require_unused(store: TokenStore, name: str) -> None:
    """Check that a logout token was not acted on before.

    :raises IDTokenError: it was.
    """
    if store.read(name) is not None:
        raise IDTokenError("the logout token was used before")


def _remember_used(store: TokenStore, name: str, exp: float) -> None:
    """Remember that a logout token was acted on, for as long as it could be sent again.

    :raises IDTokenError: it was acted on by another request at the same time.
    """
    end = min(max(exp, time.time()), time.time() + MAX_LIFETIME) + LEEWAY
    try:
        store.create(name, name, {}, end)
    except KeyError:
        raise IDTokenError("the logout token was used before") from None


def _end_named(login: Registration, claims: t.Mapping[str, t.Any]) -> None:
    """End the records that match a logout token: both ``sid`` and ``sub``, if it has both."""
    if "sid" in claims:
        homes = find_record_homes(login, sid=claims["sid"])
    else:
        homes = find_record_homes(login, subject=claims["sub"])
    named = [home for home in homes if "sub" not in claims or _subject(home) == claims["sub"]]
    end_homes(named, "back-channel")


def _subject(home: RecordHome) -> str | None:
    return home.record.id_claims.get("sub", home.record.identity.id)


# -- by the provider, in a frame: Front-Channel Logout


def front_channel(login: Registration) -> Response:
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
    end_homes(homes, "front-channel")
    response = render_page("signed_out.html", 200, links=[])
    policy = response.headers["Content-Security-Policy"]
    response.headers["Content-Security-Policy"] = policy.replace(
        "frame-ancestors 'none'", f"frame-ancestors {origin(handler.issuer)}"
    )
    return response
