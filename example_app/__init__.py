"""A small app to copy from: sign in, see your profile by the provider's API, and your account.

``python -m example_app`` runs it with two providers of its own on this machine; the README says
which variables of the environment make it use others.
"""

from __future__ import annotations

import os
import secrets
import typing as t

from flask import Flask

from .providers import make_providers, read_environment
from .users import Users
from .views import show_error, views

#: Where ``python -m example_app`` has its own providers, unless it is told another port.
LOCAL_ISSUERS = {"corp": "http://localhost:9400", "club": "http://localhost:9401"}


def create_app(
    issuers: t.Mapping[str, str] = LOCAL_ISSUERS, instance_path: str | None = None
) -> Flask:
    """Return the app.

    :param issuers: the example's own providers, by the names of their logins.
    :param instance_path: the folder for the app's files; by default Flask's, ``instance/``.
    """
    app = Flask(__name__, instance_path=instance_path)
    os.makedirs(app.instance_path, exist_ok=True)
    app.config.update(
        # Drawn anew at each start, which signs everybody out. A real app sets FLASK_SECRET_KEY.
        SECRET_KEY=secrets.token_hex(),
        # No other site can send the app's own forms as somebody who is signed in here: a browser
        # sends no cookie with such a POST, and the views' guards refuse it. If pages of others are
        # on your site's subdomains, add Flask-WTF's CSRFProtect.
        SESSION_COOKIE_SAMESITE="Lax",
        # On the server, so that the account page can list and end sign-ins in other browsers.
        OAUTH2_LOGIN_STORE=f"sqlite:///{app.instance_path}/logins.db",
        OAUTH2_LOGIN_APP_NAME="Example",
        OAUTH2_LOGIN_APP_LOGO="/static/favicon.svg",
        OAUTH2_LOGIN_ACCENT_COLOR="#0f766e",
    )
    app.config.from_prefixed_env()
    app.config.update(read_environment())

    users = Users(f"{app.instance_path}/users.db")
    providers = make_providers(app.config, issuers)
    for name, provider in providers.items():
        provider.login.on_login(users.find_or_create)
        # /github/login, /github/callback, /github/logout
        app.register_blueprint(provider.login, url_prefix=f"/{name}")
    app.extensions["example"] = providers, users

    app.register_blueprint(views)
    for code in (404, 409):
        app.register_error_handler(code, show_error)
    return app
