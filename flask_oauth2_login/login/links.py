"""Links to sign in, and the button that signs out."""

from __future__ import annotations

import typing as t

from flask import render_template
from markupsafe import Markup

from ..protocol.errors import ConfigurationError
from ..protocol.scope import split_scope
from .extension import Login
from .extension import current_extension
from .home import server_store
from .mark import read_marks
from .navigation import safe_next
from .urls import login_url_of
from .urls import url_of
from .visit import current_login
from .visit import find_home


class Link(t.NamedTuple):
    """A way to sign in."""

    name: str
    label: str
    url: str


def login_url(
    name: str | None = None,
    *,
    next: str | None = None,
    link: bool = False,
    **params: t.Any,
) -> str:
    """The URL that starts a sign-in.

    .. code-block:: jinja

        <a href="{{ login_url('github', next=request.full_path) }}">Sign in</a>

    :param name: of the login; not needed where the app has one.
    :param next: a path of this app to come back to.
    :param link: add the account to whoever is signed in.
    :param params: names of the URL rule's variables fill it, ``scope`` asks for more than the
        login does, the rest is asked of the provider (``prompt="consent"``).
    :raises ConfigurationError: there is no such login, or several and no name; or an account is
        to be added, and records don't rest on the server.
    """
    extension = current_extension()
    names = list(extension.logins) if name is None else [name]
    if len(names) != 1:
        raise ConfigurationError(
            f"This app has several logins: login_url(name), of {', '.join(extension.logins)}."
        )
    login = extension.get(names[0])
    if link:
        server_store(login)
    return _url(login, next, link=link, **params)


def login_links(name: str | None, next: str | None = None, /, **params: t.Any) -> list[Link]:
    """The ways to sign in: one, if a login is named, else all of the app's."""
    extension = current_extension()
    logins = [extension.get(name)] if name is not None else list(extension.logins.values())
    return [Link(login.name, login.label, _url(login, next, **params)) for login in logins]


def logout_button(text: str = "Sign out", name: str | None = None) -> Markup:
    """A form with a button that signs out; nothing where nobody is signed in.

    :param text: what stands on the button.
    :param name: of the login to end; None ends all of them.
    """
    login = current_login() if name is None else current_extension().get(name)
    if login is None or find_home(login) is None:
        return Markup("")
    url = url_of(login, "logout")
    form = render_template(
        "oauth2_login/logout_button.html",
        text=text,
        url=url,
        every=name is None,
        token=logout_token(),
    )
    return Markup(form)  # noqa: S704  (rendered by a template that escapes)


def logout_token() -> str:
    """What a form of ours has, for browsers that don't say where a POST comes from."""
    return current_extension().sealer.digest(read_marks().id, "logout")


def _url(login: Login, target: str | None, /, *, link: bool = False, **params: t.Any) -> str:
    scope = " ".join(split_scope(params.pop("scope", None))) or None
    linking = "1" if link else None
    return login_url_of(login, safe_next(target), scope=scope, link=linking, **params)
