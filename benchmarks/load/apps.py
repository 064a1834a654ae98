"""The apps that gunicorn runs. The environment says which provider they use: see `variables`."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

from flask import Flask
from flask.typing import ResponseReturnValue

from example_app import create_app
from flask_oauth2_login import current_oauth_session, login_required

from ..apps import FLOOR
from ..provider import Provider

_URL, _FOLDER = "BENCHMARKS_PROVIDER", "BENCHMARKS_FOLDER"


def variables(provider: Provider, folder: Path, store: str = "cookie") -> dict[str, str]:
    """Return the environment of both apps.

    :param folder: where an app may keep files.
    :param store: the example's store.
    """
    return {
        _URL: provider.url,
        _FOLDER: str(folder),
        # The folder for the files that the app's processes share.
        "TMPDIR": str(folder),
        "FLASK_SECRET_KEY": "a key of the benchmarks, as long as one ought to be",
        "FLASK_OAUTH2_LOGIN_STORE": store,
        "PROVIDER_CLIENT_ID": provider.client_id,
        "PROVIDER_CLIENT_SECRET": provider.client_secret,
        "PROVIDER_AUTHORIZATION_URL": provider.endpoint("authorize"),
        "PROVIDER_TOKEN_URL": provider.endpoint("token"),
        "PROVIDER_USERINFO_URL": provider.endpoint("userinfo"),
        "PROVIDER_SCOPE": provider.scope,
    }


def make_example() -> Flask:
    """Return the example app with two further views, which are those of the app by hand."""
    app = create_app(instance_path=os.environ[_FOLDER])
    url = Provider(os.environ[_URL]).endpoint("userinfo")

    @app.get("/guarded")
    @login_required
    def guarded() -> ResponseReturnValue:
        return "For people who have signed in."

    @app.get("/call")
    @login_required
    def call() -> ResponseReturnValue:
        response = current_oauth_session.get(url)
        response.raise_for_status()
        return t.cast(dict[str, t.Any], response.json())

    return app


def make_floor() -> Flask:
    """Return the app that is written by hand, whose logins are in the session's cookie."""
    return FLOOR.make_app(Provider(os.environ[_URL]), Path(os.environ[_FOLDER]))
