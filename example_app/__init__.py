"""A small app to copy from: sign in, see your profile by the provider's API, sign out.

``python -m example_app`` runs it with a provider of its own on this machine. With variables in the
environment it uses another one:

- ``FLASK_GITHUB_CLIENT_ID`` and ``FLASK_GITHUB_CLIENT_SECRET``: GitHub.
- ``FLASK_GOOGLE_CLIENT_ID`` and ``FLASK_GOOGLE_CLIENT_SECRET``: Google.
- ``FLASK_PROVIDER_CLIENT_ID``, ``FLASK_PROVIDER_CLIENT_SECRET`` and
  ``FLASK_OAUTH2_LOGIN_PROVIDERS``, the JSON of ``{"provider": {…}}``: any other, by its endpoints
  or its issuer, in the words of `OAuth2` and `OpenIDConnect`.
"""

from __future__ import annotations

import secrets
import typing as t

from flask import Flask
from flask import render_template

from flask_oauth2_login import OAuth2Login
from flask_oauth2_login import OpenIDConnect
from flask_oauth2_login import current_oauth_session
from flask_oauth2_login import login_required

#: Where ``python -m example_app`` has its own provider, unless it is told another port.
LOCAL_ISSUER = "http://localhost:9400"


def create_app(issuer: str = LOCAL_ISSUER) -> Flask:
    app = Flask(__name__)
    # Drawn anew at each start, which signs everybody out. A real app sets FLASK_SECRET_KEY.
    app.config["SECRET_KEY"] = secrets.token_hex()
    app.config.from_prefixed_env()

    app.register_blueprint(make_login(app.config, issuer))

    @app.get("/")
    def home() -> str:
        return render_template("home.html")

    @app.get("/profile")
    @login_required
    def profile() -> str:
        # The URL could be relative to the provider's API, too: current_oauth_session.get("/user").
        answer = current_oauth_session.get(app.config["PROFILE_URL"])
        answer.raise_for_status()
        return render_template("profile.html", profile=answer.json())

    return app


def make_login(config: dict[str, t.Any], issuer: str) -> OAuth2Login:
    """The login of the provider that the environment names."""
    for preset, profile_url in (
        ("github", "https://api.github.com/user"),
        ("google", "https://www.googleapis.com/oauth2/v3/userinfo"),
        ("provider", ""),
    ):
        if f"{preset.upper()}_CLIENT_ID" in config:
            words = config.get("OAUTH2_LOGIN_PROVIDERS", {}).get(preset, {})
            config.setdefault("PROFILE_URL", words.get("userinfo_url", profile_url))
            return OAuth2Login(preset)
    config.setdefault("PROFILE_URL", f"{issuer}/userinfo")
    local = OpenIDConnect("example", "example-secret", issuer, label="the local provider")
    return OAuth2Login(local, name="local", scope="openid profile email")
