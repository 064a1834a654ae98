"""What other processes run in tests: an app for gunicorn, and a job for a worker."""

from __future__ import annotations

import os
import typing as t

from flask import Flask

from flask_oauth2_login import OAuth2Login, OpenIDConnect

from .apps import add_views, make_site
from .clock import SharedClock

#: Seconds to connect to the provider, and to wait for its answer. There are many at a time.
TIMEOUT = (5.0, 15.0)


def make_worker() -> Flask:
    """An app as the environment says; in a database, a login leaves a token for jobs."""
    store = os.environ.get("STORE")
    offline = store not in {None, "session"}
    return make_site(
        os.environ["PROVIDER"], os.environ["INSTANCE"], store, TIMEOUT, offline=offline
    )


def make_bound_worker() -> Flask:
    """An app whose tokens are bound to a key of each login."""
    provider, instance = os.environ["PROVIDER"], os.environ["INSTANCE"]
    return make_site(provider, instance, os.environ.get("STORE"), TIMEOUT, dpop=True)


def make_revalidating_worker() -> Flask:
    """An app whose logins are confirmed each quarter of an hour, by the clock of the test."""
    SharedClock.follow(os.environ["CLOCK"])
    return make_site(
        os.environ["PROVIDER"],
        os.environ["INSTANCE"],
        os.environ.get("STORE"),
        TIMEOUT,
        roles="groups",
        revalidate=900,
    )


def make_fapi_worker() -> Flask:
    """An app that signs in at a FAPI 2.0 server, with the key of the environment."""
    app = Flask("site", instance_path=os.environ["INSTANCE"])
    app.config["SECRET_KEY"] = "the same in each process"
    sso = OpenIDConnect(
        "the-client",
        None,
        os.environ["ISSUER"],
        profile="fapi2",
        private_key=os.environ["PRIVATE_KEY"],
        # Without this, oidc-provider grants no refresh token.
        authorize_params={"prompt": "consent"},
        timeout=TIMEOUT,
    )
    scope = "openid email offline_access"
    app.register_blueprint(OAuth2Login(sso, name="sso", scope=scope, store=os.environ.get("STORE")))
    add_views(app)
    return app


def call_for(owner: str) -> str:
    """A job: call the API for somebody who is not there."""
    app = make_worker()
    with app.app_context():
        login = t.cast(OAuth2Login, app.blueprints["oauth2"])
        return str(login.session_for(owner).get("x").json()["sub"])
