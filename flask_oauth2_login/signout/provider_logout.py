"""Sign out at the provider, and by the provider: three specifications of OpenID Connect.

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
from ..protocol.background import run_briefly
from ..protocol.errors import IDTokenError, OAuth2Error
from ..protocol.json_input import read_algorithm
from ..protocol.token_lifetime import MAX_LIFETIME
from ..protocol.urls import add_params, origin
from ..session.cookies import SealedCookie, cookie_name
from ..session.registration import Registration, server_store
from ..session.stored_login import StoredLogin, end_and_revoke, find_stored_logins
from ..stores.base import TokenStore
from ..web.pages import render_page, set_frame_ancestors, set_no_store, translate
from ..web.redirect_uris import post_logout_redirect_uri
from ..web.view_urls import url_of

log = logging.getLogger("flask_oauth2_login")

#: How long (s) a browser may take to sign out at the provider.
ROUND_TRIP = 600
#: How much longer (s) a logout token's ``jti`` is remembered than the token is valid.
MARGIN = 600


def openid_handler(registration: Registration) -> OpenIDConnect:
    """Return the handler of an OpenID Provider.

    :raises werkzeug.exceptions.NotFound: the login is of another kind, which has no such views.
    """
    if not isinstance(registration.handler, OpenIDConnect):
        raise NotFound
    return registration.handler


# -- at the provider, by the browser: RP-Initiated Logout


def provider_logout_url(registration: Registration, login: StoredLogin, state: str) -> str | None:
    """Return the URL that signs out at the provider; None if the provider has none."""
    handler, found = registration.handler, []
    if not isinstance(handler, OpenIDConnect):
        return None

    def find() -> None:
        try:
            if handler.has_endpoint("end_session_url"):
                found.append(handler.endpoint("end_session_url"))
        except OAuth2Error as error:
            log.warning("%s: not signed out at the provider. %s", registration.log_name, error)

    # The metadata may have to be fetched, and a provider that is down must not delay anybody.
    run_briefly(find)
    if not found:
        return None
    params = {
        "client_id": handler.client_id,
        "id_token_hint": login.newest_id_token,
        "post_logout_redirect_uri": post_logout_redirect_uri(registration),
        "state": state,
        **handler.logout_params,
    }
    return add_params(found[0], params)


def remember_round_trip(
    registration: Registration, response: Response, state: str, next: str | None
) -> None:
    """Bind a ``state`` to this browser, with the page to go to in the end."""
    response.set_cookie(**_cookie(registration).make([state, next]))


def finish_round_trip(registration: Registration) -> tuple[bool, str | None]:
    """Return whether the browser is back with the right ``state``, and the page to go to then."""
    if "state" not in request.args:
        return False, None
    kept, state = _cookie(registration).read(), request.args["state"]
    if kept is None or not secrets.compare_digest(state.encode(), kept[0].encode()):
        return False, None
    return True, t.cast("str | None", kept[1])


def forget_round_trip(registration: Registration, response: Response) -> Response:
    """Delete the ``state`` from this browser, because it can be used once."""
    cookie = _cookie(registration)
    if cookie.name in request.cookies:
        cookie.delete(response)
    return response


def _cookie(registration: Registration) -> SealedCookie:
    return SealedCookie(
        sealer=registration.sealer,
        purpose="logout",
        context=registration.context,
        name=f"{cookie_name(registration.name)}__logout",
        path=url_of(registration, "logout"),
        lifetime=ROUND_TRIP,
    )


# -- by the provider's server: Back-Channel Logout


def back_channel(registration: Registration) -> Response:
    """End what a logout token names: Back-Channel Logout 1.0, sections 2.6 to 2.8.

    Any failure is answered with a 400, and the provider may then send the token again.
    """
    handler = openid_handler(registration)
    try:
        # Records can be found by the token's claims only in a server-side store.
        store = server_store(registration)
        claims = _read_logout_token(handler)
        name = registration.keyed_hash("jti", str(claims["jti"]))
        _require_unused(store, name)
        _end_named(registration, claims)
        # Done last, so that the provider can send the token again after a failure.
        _remember_used(store, name, claims["exp"] + handler.leeway)
    except OAuth2Error as error:
        log.warning("%s: a back-channel logout was refused. %s", registration.log_name, error)
        # Errors of this app or its store go only to the log, not to the caller.
        text = error.message if isinstance(error, IDTokenError) else "It can't be acted on now."
        body = {"error": "invalid_request", "error_description": text}
        return set_no_store(Response(json.dumps(body), 400, content_type="application/json"))
    return set_no_store(Response(status=200))


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


def _remember_used(store: TokenStore, name: str, valid_until: float) -> None:
    """Remember that a logout token was acted on, for as long as it could be sent again.

    :param valid_until: its ``exp`` and the leeway, in Unix seconds.
    :raises IDTokenError: it was acted on by another request at the same time.
    """
    end = min(max(valid_until, time.time()), time.time() + MAX_LIFETIME) + MARGIN
    try:
        store.create(name, name, {}, end)
    except KeyError:
        raise IDTokenError("the logout token was used before") from None


def _end_named(registration: Registration, claims: t.Mapping[str, t.Any]) -> None:
    """End the records that match a logout token: both ``sid`` and ``sub``, if it has both."""
    if "sid" in claims:
        logins = find_stored_logins(registration, sid=claims["sid"])
    else:
        logins = find_stored_logins(registration, subject=claims["sub"])
    named = [login for login in logins if "sub" not in claims or _subject(login) == claims["sub"]]
    end_and_revoke(_of_the_same_algorithm(registration, named), "back-channel")


def _of_the_same_algorithm(
    registration: Registration, logins: list[StoredLogin]
) -> list[StoredLogin]:
    """Return the logins whose ID token was signed by the algorithm of this logout token.

    A client is registered for one algorithm. Where ``algorithms=`` does not say which, the ID token
    of the login does, as far as it is kept.

    :raises IDTokenError: there are logins, and none is left.
    """
    handler = openid_handler(registration)
    if handler.algorithms is not None:
        return logins
    used = read_algorithm(handler.decrypt(request.form["logout_token"]))
    known = {login.key: read_algorithm(login.record.id_token) for login in logins}
    fitting = [login for login in logins if known[login.key] in {used, None}]
    if logins and not fitting:
        expected = ", ".join(sorted(str(alg) for alg in set(known.values())))
        raise IDTokenError(
            f"it is signed by {used}, and the ID token of the login was signed by {expected}; name"
            " both in algorithms= if the client is registered for both"
        )
    return fitting


def _subject(login: StoredLogin) -> str | None:
    return login.record.id_claims.get("sub", login.record.identity.id)


# -- by the provider, in a frame: Front-Channel Logout


def front_channel(registration: Registration) -> Response:
    """End the records that ``iss`` and ``sid`` name: Front-Channel Logout 1.0, section 2.

    No cookie is relied on, for a frame gets none.
    """
    handler = openid_handler(registration)
    iss, sid = request.args.getlist("iss"), request.args.getlist("sid")
    # Records can be found by `sid` only in a server-side store.
    well_formed = len(iss) == len(sid) == 1 and bool(sid[0]) and registration.store is not None
    # Compare with the record's own `iss`: a template for an issuer stands for many.
    logins = [
        login
        for login in (find_stored_logins(registration, sid=sid[0]) if well_formed else ())
        if login.record.id_claims.get("iss") == iss[0]
    ]
    if not logins and not (well_formed and iss[0] == handler.issuer):
        title, text = translate("Not signed out"), translate("Nothing has changed.")
        return render_page("error.html", 400, title=title, text=text)
    end_and_revoke(logins, "front-channel")
    response = render_page("signed_out.html", 200, title=translate("Signed out"), links=[])
    set_frame_ancestors(response, origin(handler.issuer))
    return response
