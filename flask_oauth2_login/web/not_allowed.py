"""The answer to somebody who is signed in and may not open a page."""

from __future__ import annotations

import typing as t

from flask import request
from werkzeug.exceptions import Forbidden, HTTPException

from ..look.explanations import BY_STATUS
from ..protocol.identity import Identity
from ..protocol.texts import gettext_noop as N_  # noqa: N812  (GNU gettext's own name)
from ..session.registration import Registration
from ..session.tenants import registrations_here
from .links import Link, login_url, logout_token, make_link
from .next_url import current_page
from .pages import render_page, render_problem, translate
from .user_agent import UserAgent, find_user_agent
from .view_urls import url_of

_NOT_GRANTED = N_("This page needs more than you allowed this site at the sign-in: %(scope)s.")


def not_allowed(
    registration: Registration, identity: Identity, *, needs_roles: bool
) -> HTTPException:
    """Return a 403 to raise, whose page says who is signed in, or problem details.

    The page offers to sign in with another account, and to sign out.

    :param needs_roles: whether the page is for people with certain roles.
    """
    title, text = BY_STATUS[403]
    knows_roles = bool(registration.options.roles.paths) or not needs_roles
    if knows_roles:
        links = [_another_account(registration)]
    else:
        # An account there has no roles at all.
        able = [each for each in registrations_here() if each.options.roles.paths]
        links = [make_link(each, _url(each)) for each in able]
    return _refuse(registration, identity, translate(title), translate(text), links)


def not_granted(registration: Registration, identity: Identity, scopes: list[str]) -> HTTPException:
    """Return a 403 to raise, whose page offers to allow what was not allowed before.

    :param scopes: the scopes that the access token lacks.
    """
    scope = " ".join(scopes)
    again = login_url(registration.name, next=current_page(), scope=scope)
    links = [make_link(registration, again, translate("Allow it")), _another_account(registration)]
    text = translate(_NOT_GRANTED, scope=scope)
    return _refuse(registration, identity, translate(BY_STATUS[403][0]), text, links)


def _refuse(
    registration: Registration, identity: Identity, title: str, text: str, links: list[Link]
) -> HTTPException:
    error = Forbidden(text)
    if find_user_agent(request) in {UserAgent.API, UserAgent.HTMX}:
        error.response = render_problem(403, text)
        return error
    error.response = render_page(
        "not_allowed.html",
        403,
        has_form=True,
        title=title,
        text=text,
        who=describe(identity),
        provider=registration.given_label,
        links=links,
        logout_url=url_of(registration, "logout"),
        token=logout_token(),
    )
    return error


def _another_account(registration: Registration) -> Link:
    link = make_link(registration, _url(registration))
    return link._replace(text=translate("Sign in with another account"))


def _url(registration: Registration) -> str:
    # Without it, a provider signs the same account in again without asking.
    params: dict[str, t.Any] = {"prompt": "select_account"} if registration.handler.openid else {}
    return login_url(registration.name, next=current_page(), **params)


def describe(identity: Identity) -> str | None:
    """Return the name and the address of an account, as far as they are known, else its id."""
    if identity.name and identity.email:
        return f"{identity.name} ({identity.email})"
    return identity.name or identity.email or identity.id
