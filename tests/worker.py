"""The app that gunicorn serves in tests of several processes."""

from __future__ import annotations

import os

from flask import Flask

from flask_oauth2_login import OAuth2
from flask_oauth2_login import OAuth2Login

from .conftest import add_views


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
    app.register_blueprint(OAuth2Login(handler))
    add_views(app)
    return app
