"""A small app to copy from: sign in, see your profile by the provider's API, sign out.

``python -m example_app`` runs it with a provider of its own on this machine; the README says which
variables of the environment make it use another one.
"""

from __future__ import annotations

import secrets

from flask import Flask, render_template

from flask_oauth2_login import current_oauth_session, login_required

from .provider import make_login, read_environment

#: Where ``python -m example_app`` has its own provider, unless it is told another port.
LOCAL_ISSUER = "http://localhost:9400"


def create_app(issuer: str = LOCAL_ISSUER) -> Flask:
    app = Flask(__name__)
    # Drawn anew at each start, which signs everybody out. A real app sets FLASK_SECRET_KEY.
    app.config["SECRET_KEY"] = secrets.token_hex()
    app.config.from_prefixed_env()
    app.config.update(read_environment())

    login, profile_url = make_login(app.config, issuer)
    app.register_blueprint(login)  # /login, /callback, /logout

    @app.get("/")
    def home() -> str:
        return render_template("home.html")

    @app.get("/profile")
    @login_required
    def profile() -> str:
        # Relative to the provider's API, with the token of whoever has signed in.
        answer = current_oauth_session.get(profile_url)
        answer.raise_for_status()
        return render_template("profile.html", profile=answer.json())

    return app
