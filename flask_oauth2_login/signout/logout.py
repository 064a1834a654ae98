"""Sign out of this app: the page that asks, and the POST that ends logins."""

from __future__ import annotations

import copy
import hmac
import logging
import secrets
import typing as t

from flask import Response, redirect, request, session

from ..client.revocation import revoke
from ..config import app_name, default_next
from ..look.explanations import SOME_PROVIDER
from ..protocol.errors import StoreError, see
from ..protocol.texts import gettext_noop as N_  # noqa: N812  (GNU gettext's own name)
from ..session.current_login import end_unusable, find_login, find_logins
from ..session.flask_session import SessionEntries, restore_session, write_entries
from ..session.registration import Registration
from ..session.request_scope import read_entries, request_scope
from ..session.stored_login import StoredLogin
from ..session.superseded import mark_superseded, was_superseded
from ..web.links import login_links, logout_token
from ..web.next_url import own_path, safe_next
from ..web.not_allowed import describe
from ..web.pages import error_page, redirect_page, render_page, set_no_store, translate
from ..web.user_agent import UserAgent, find_user_agent, is_same_origin
from ..web.view_urls import url_of
from .provider_logout import (
    finish_round_trip,
    forget_round_trip,
    provider_logout_url,
    remember_round_trip,
)

_FROM_ELSEWHERE = N_("A request to sign out must come from a page of this site.")
_SIGNED_OUT_THERE = N_("%(provider)s has signed you out, too.")
_NOT_THERE = N_(
    "%(provider)s may still know who you are. If other people use this device, sign out there, too."
)

log = logging.getLogger("flask_oauth2_login")


def ask(registration: Registration) -> Response:
    """Return the page at ``/logout``: it asks, or says that nobody is signed in any more."""
    if "clear" in request.args and is_same_origin(request):
        return _clear_cache(Response(status=204))
    is_back, target = finish_round_trip(registration)
    if target := safe_next(target):
        response = set_no_store(t.cast(Response, redirect(target)))
        return forget_round_trip(registration, _clear_cache(response))
    login = find_login(registration)
    if login is None:
        return forget_round_trip(registration, _signed_out_page(registration, is_back))
    target = safe_next(request.args.get("next"))
    app = app_name()
    return render_page(
        "sign_out.html",
        200,
        has_form=True,
        title=translate("Sign out of %(app)s?", app=app) if app else translate("Sign out?"),
        who=describe(login.record.identity),
        provider=registration.given_label,
        url=url_of(registration, "logout"),
        target=target,
        cancel=own_path(request.referrer) or target or default_next(),
        token=logout_token(),
    )


def _signed_out_page(registration: Registration, is_signed_out_there: bool) -> Response:
    """Return the page for somebody who is not signed in any more.

    :param is_signed_out_there: whether the provider has just sent the browser back from a sign-out.
    """
    app, provider = app_name(), registration.given_label or translate(SOME_PROVIDER)
    text = translate(_SIGNED_OUT_THERE if is_signed_out_there else _NOT_THERE, provider=provider)
    return render_page(
        "signed_out.html",
        200,
        title=translate("Signed out of %(app)s", app=app) if app else translate("Signed out"),
        text=text,
        provider=registration.given_label,
        links=login_links(registration.name),
        clear_url=url_of(registration, "logout", clear="1"),
    )


def sign_out(registration: Registration) -> Response:
    """End a login, or all logins of this browser, on a POST from a page of this origin.

    :raises werkzeug.exceptions.Forbidden: the POST is from elsewhere.
    """
    return _clear_cache(_sign_out(registration))


def _clear_cache(response: Response) -> Response:
    """Make the browser forget its pages of this site, so that its Back button does not show them.

    Without this header, Back shows a guarded page even if that says "no-store". The browser stores
    the page with the form only once the next page has come, so only a later response makes it
    forget that one. For this reason the pages after a sign-out send the header, too.
    """
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


def _sign_out(registration: Registration) -> Response:
    require_own_post(registration)
    ended = [registration.key]
    if request.form.get("every"):
        ended = [entry.key for entry in read_entries().live]
    login = find_login(registration)
    end_logins(ended)
    target = safe_next(request.values.get("next"))
    if find_user_agent(request) is UserAgent.API:
        return set_no_store(Response(status=204))
    state = secrets.token_urlsafe(16)
    if login is not None and (url := provider_logout_url(registration, login, state)):
        page = redirect_page(url, translate("Signing you out …"))
        remember_round_trip(registration, page, state, target)
        return page
    response = redirect(target or url_of(registration, "logout"), 303)
    return set_no_store(t.cast(Response, response))


def require_own_post(registration: Registration) -> None:
    """Check that a page of this origin sent a POST.

    :param registration: the login that it is sent to.
    :raises werkzeug.exceptions.Forbidden: it is from elsewhere, or nothing proves that it is not.
    """
    own = is_same_origin(request)
    if own is None:
        given = request.form.get("token", "")
        own = bool(read_entries().id) and hmac.compare_digest(
            given.encode(), logout_token().encode()
        )
    if not own:
        raise error_page(403, _FROM_ELSEWHERE, again_url=url_of(registration, "logout"))


def end_logins(
    keys: t.Collection[str], reason: str = "asked", ids: t.Collection[str] | None = None
) -> None:
    """End logins of this browser, and revoke their tokens if the provider can.

    :param keys: the keys of the logins.
    :param reason: the reason that `logged_out` names.
    :param ids: the ids of the records to end, if the logins may have others.
    :raises StoreError: a record could not be deleted. Only its login stays signed in, or all of
        them.
    """
    former = read_entries()
    if not former.all:
        # Nobody was signed in, so the session's content is an anonymous visitor's.
        return
    logins = find_logins(former)
    end_unusable(
        entry for entry in former.live if entry.key in keys and (ids is None or entry.id in ids)
    )
    ending = {
        id: login
        for id, login in logins.items()
        if login.registration.key in keys and (ids is None or id in ids)
    }
    before = copy.deepcopy(dict(session))
    for login in ending.values():
        try:
            login.registration.hooks.run_on_logout(login.identity)
        except Exception:
            # A hook that fails must not keep anybody signed in.
            log.exception(
                "%s: a function of on_logout failed. %s", login.log_name, see("hook-failed")
            )
    ended, failed = _end(ending, reason)
    if failed:
        # Undo what the hooks have written, too: the next try calls them again.
        restore_session(before)
    if failed or len(ending) < len(logins):
        for entry in former.all:
            is_ended = entry.key in keys and (ids is None or entry.id in ids)
            entry.id = "" if is_ended and entry.id not in failed else entry.id
        write_entries(former.all)
    else:
        # As in Django, nothing is left for the next person. Keep what the hooks have written: a
        # flashed message, or the note by which Flask-Login deletes its remember cookie.
        written = {key: value for key, value in session.items() if before.get(key) != value}
        session.clear()
        session.update(written)
    _mark_superseded(former)
    revoke(*((login.handler, login.record.token) for login in ended))
    request_scope().forget_logins()
    for problem in failed.values():
        raise problem


def _end(
    logins: t.Mapping[str, StoredLogin], reason: str
) -> tuple[list[StoredLogin], dict[str, StoreError]]:
    """End logins. Return those that this call ended, and the errors of the others by id."""
    ended, failed = [], {}
    for id, login in logins.items():
        pending = dict(request_scope().pending)
        try:
            if login.end(reason):
                ended.append(login)
        except StoreError as error:
            request_scope().restore_pending(pending)
            failed[id] = error
    return ended, failed


def _mark_superseded(former: SessionEntries) -> None:
    """Mark the former session superseded, so that slow requests don't restore it."""
    if was_superseded():
        # Another request has given this browser a newer session, which must stay valid.
        return
    try:
        mark_superseded(former)
    except StoreError as error:
        # A session that a slow request restores signs nobody in, because its records have ended.
        log.warning("A slow request may bring back a session that was signed out. %s", error)
