"""The app, for commands that can do without one."""

from __future__ import annotations

import typing as t

import click
from flask import Flask
from flask.cli import ScriptInfo

from .output import tell

if t.TYPE_CHECKING:
    from ..session.registration import Login

#: Where the views of a login are, as long as that is not known.
SOMEWHERE = "https://<host><url_prefix>"


def find_app(ctx: click.Context) -> Flask | None:
    """Return the app; None if there is none yet, or none that can be loaded.

    Before a provider's console was visited, an app lacks its client's id and secret.
    """
    info = ctx.ensure_object(ScriptInfo)
    try:
        return info.load_app()
    except Exception as error:  # the app's own code may raise anything
        if info.app_import_path:
            # The text of a KeyError is a name alone.
            text = f"{type(error).__name__}: {error}"
            tell(f"The app can't be loaded, so what is shown does without it. {text}\n")
        return None


def find_login(app: Flask | None, name: str) -> Login | None:
    """Return the login of this name; None if there is no app, or no such login."""
    from ..session.extension import NAME

    extension = app.extensions.get(NAME) if app is not None else None
    return None if extension is None else extension.logins.get(name)


def views_url(app: Flask | None, name: str) -> str:
    """Return where the views of the login of this name are."""
    from ..session.registration import Registration
    from ..web.redirect_uris import planned_redirect_uri

    login = find_login(app, name)
    if app is None or login is None:
        return SOMEWHERE
    if isinstance(login, Registration):
        return planned_redirect_uri(app, login).removesuffix("/callback")
    rule = next(app.url_map.iter_rules(f"{name}.callback"))
    return f"https://<host>{rule.rule.removesuffix('/callback')}"
