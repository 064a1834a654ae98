"""Signing out."""

from __future__ import annotations

import copy
import hmac
import logging
import secrets
import typing as t

from flask import Response, redirect, request, session

from ..client.revocation import revoke
from ..protocol.errors import StoreError
from ..session.browser_record import copies_to_send, restore_copies
from ..session.entries import Marks, read_marks, write_marks
from ..session.extension import current_extension
from ..session.flask_session import restore_session
from ..session.registration import Registration
from ..session.request_scope import (
    current_visit,
    displace_marks,
    find_home,
    find_homes,
    were_displaced,
)
from ..session.stored_login import RecordHome
from ..web.error_handlers import forbidden
from ..web.links import login_links, logout_token
from ..web.pages import keep_private, redirect_page, render_page
from ..web.urls import url_of
from ..web.user_agent import UserAgent, find_user_agent, is_same_origin, safe_next
from .provider_logout import (
    finish_round_trip,
    forget_round_trip,
    provider_logout_url,
    remember_round_trip,
)

log = logging.getLogger("flask_oauth2_login")


def ask(login: Registration) -> Response:
    """The page behind a link to ``/logout``: it asks, or says that it is done."""
    if "state" in request.args and (target := safe_next(finish_round_trip(login))):
        return forget_round_trip(login, keep_private(t.cast(Response, redirect(target))))
    if find_home(login) is None:
        page = render_page("signed_out.html", 200, links=login_links(login.name))
        return forget_round_trip(login, page)
    return render_page(
        "sign_out.html",
        200,
        has_form=True,
        url=url_of(login, "logout"),
        label=login.label,
        target=safe_next(request.args.get("next")),
        token=logout_token(),
    )


def sign_out(login: Registration) -> Response:
    """End a login, or all of this browser's, on a POST from a page of ours.

    :raises werkzeug.exceptions.Forbidden: the POST is not from a page of ours.
    """
    require_own_post()
    ended = [login.name]
    if request.form.get("every"):
        ended = [mark.login for mark in read_marks().live]
    home = find_home(login)
    end_logins(ended)
    target = safe_next(request.values.get("next"))
    if find_user_agent(request) is UserAgent.API:
        return keep_private(Response(status=204))
    state = secrets.token_urlsafe(16)
    if home is not None and (url := provider_logout_url(login, home.record, state)):
        page = redirect_page(url)
        remember_round_trip(login, page, state, target)
        return page
    response = redirect(target or url_of(login, "logout"), 303)
    return keep_private(t.cast(Response, response))


def require_own_post() -> None:
    """Let a POST pass that a page of this origin sent.

    :raises werkzeug.exceptions.Forbidden: it is from elsewhere, or nobody knows.
    """
    own = is_same_origin(request)
    if own is None:
        given = request.form.get("token", "")
        own = bool(read_marks().id) and hmac.compare_digest(given.encode(), logout_token().encode())
    if not own:
        raise forbidden("A request to sign out must come from a page of this site.")


def end_logins(names: t.Collection[str]) -> None:
    """End logins of this browser: delete the records, and revoke the tokens if the provider can.

    :raises StoreError: some could not be ended. Of the given logins, this browser keeps only these.
    """
    extension = current_extension()
    former = read_marks()
    if not former.rows:
        # Nobody was here: what the session has is an anonymous visitor's.
        return
    homes = find_homes(former)
    ending = {id: home for id, home in homes.items() if home.login in names}
    before = copy.deepcopy(dict(session))
    for home in ending.values():
        try:
            extension.logins[home.login].hooks.run_on_logout(home.record.identity)
        except Exception:
            # Nobody stays signed in for that.
            log.exception("%s: a function of on_logout failed.", home.login)
    ended, failed = _end(ending)
    if failed:
        # Undo what the hooks have written too: they are called again with the next try.
        restore_session(before)
    if failed or len(ending) < len(homes):
        for mark in former.rows:
            mark.id = "" if mark.login in names and mark.id not in failed else mark.id
        write_marks(former.rows)
    else:
        # As Django does: what is left behind is the next person's. What the hooks have just written
        # stays: a flashed message, or how Flask-Login takes its remember cookie away.
        written = {key: value for key, value in session.items() if before.get(key) != value}
        session.clear()
        session.update(written)
    _displace(former)
    revoke(*((home.handler, home.record.token) for home in ended))
    current_visit().forget()
    for problem in failed.values():
        raise problem


def _end(homes: t.Mapping[str, RecordHome]) -> tuple[list[RecordHome], dict[str, StoreError]]:
    """End records. Return those that this call ended, and the errors of the others by id."""
    ended, failed = [], {}
    for id, home in homes.items():
        copies = copies_to_send()
        try:
            if home.end("asked"):
                ended.append(home)
        except StoreError as error:
            restore_copies(copies)
            failed[id] = error
    return ended, failed


def _displace(former: Marks) -> None:
    """Note the former marks as displaced, so that slow requests don't restore the old session."""
    if were_displaced(current_visit()):
        # Another request has given this browser a newer session, which must stay valid.
        return
    try:
        displace_marks(former)
    except StoreError as error:
        # A session that a slow request restores signs nobody in, because its records have ended.
        log.warning("A slow request may bring back a session that was signed out. %s", error)
