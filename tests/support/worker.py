"""What other processes run in tests: an app for gunicorn, and a job for a worker."""

from __future__ import annotations

import os
import typing as t

from flask import Flask

from flask_oauth2_login import OAuth2, OAuth2Login

from .apps import add_views


def make_worker() -> Flask:
    provider = os.environ["PROVIDER"]
    app = Flask("worker", instance_path=os.environ["INSTANCE"])
    app.config["SECRET_KEY"] = "the same in each worker"
    handler = OAuth2(
        "the-client",
        "the-secret",
        provider,
        authorization_url="authorize",
        token_url="token",
        userinfo_url="userinfo",
        api_url=f"{provider}/api",
    )
    store = os.environ.get("STORE")
    app.register_blueprint(
        OAuth2Login(handler, store=store, offline=store not in {None, "session"})
    )
    add_views(app)
    return app


def call_for(owner: str) -> str:
    """A job: call the API for somebody who is not there."""
    app = make_worker()
    with app.app_context():
        login = t.cast(OAuth2Login, app.blueprints["oauth2"])
        return str(login.session_for(owner).get("x").json()["sub"])
