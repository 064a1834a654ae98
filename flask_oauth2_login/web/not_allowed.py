"""The answer to somebody who is signed in and may not open a page."""

from __future__ import annotations

import typing as t

from flask import Response, request
from werkzeug.exceptions import Forbidden, HTTPException

from ..protocol.identity import Identity
from ..session.registration import Registration
from ..session.tenants import registrations_here
from .links import login_url, logout_token
from .next_url import current_page
from .pages import EXPLANATIONS, render_page, render_problem
from .user_agent import UserAgent, find_user_agent
from .view_urls import url_of


def not_allowed(
    registration: Registration, identity: Identity, *, needs_roles: bool
) -> HTTPException:
    """Return a 403 to raise, whose page says who is signed in, or problem details.

    The page offers to sign in with another account, and to sign out.

    :param needs_roles: whether the page is for people with certain roles.
    """
    error = Forbidden(EXPLANATIONS[403][1])
    error.response = _respond(registration, identity, needs_roles=needs_roles)
    return error


def _respond(registration: Registration, identity: Identity, *, needs_roles: bool) -> Response:
    title, text = EXPLANATIONS[403]
    if find_user_agent(request) in {UserAgent.API, UserAgent.HTMX}:
        return render_problem(403, text)
    knows_roles = bool(registration.options.roles.paths) or not needs_roles
    if knows_roles:
        offered = [registration]
    else:
        # An account there has no roles at all.
        offered = [each for each in registrations_here() if each.options.roles.paths]
    links = [("another account" if knows_roles else each.label, _url(each)) for each in offered]
    return render_page(
        "not_allowed.html",
        403,
        has_form=True,
        title=title,
        text=text,
        who=_describe(identity),
        label=registration.label,
        links=links,
        logout_url=url_of(registration, "logout"),
        token=logout_token(),
    )


def _url(registration: Registration) -> str:
    # Without it, a provider signs the same account in again without asking.
    params: dict[str, t.Any] = {"prompt": "select_account"} if registration.handler.openid else {}
    return login_url(registration.name, next=current_page(), **params)


def _describe(identity: Identity) -> str | None:
    """Return the name and the address of an account, as far as they are known, else its id."""
    if identity.name and identity.email:
        return f"{identity.name} ({identity.email})"
    return identity.name or identity.email or identity.id
