"""The contestants: one app, made with each of the libraries, and twice by hand.

Each app signs people in (`/login`), knows who they are afterwards, and has three views: `/` for
everybody, which reads the session; `/guarded` for people who have signed in; and `/call`, which
sends one request to the provider's API for them.
"""

from __future__ import annotations

import dataclasses
import typing as t
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path

from flask import Flask, session

from ..provider import OAUTH, OPENID, Provider

SECRET_KEY = "a key of the benchmarks, as long as one ought to be"


@dataclasses.dataclass(frozen=True)
class Contestant:
    """One column of the table."""

    name: str
    #: The module of this folder that makes the app.
    module: str
    #: What an app of this kind imports besides Flask and requests.
    imports: str = ""
    #: What is installed for it.
    distribution: str = ""
    #: The protocols that it can sign people in with.
    protocols: tuple[str, ...] = (OAUTH, OPENID)
    #: True if it refreshes tokens that have expired.
    refreshes: bool = True

    @property
    def is_installed(self) -> bool:
        """True if its app can be made here."""
        return not self.imports or find_spec(self.imports.partition(".")[0]) is not None

    @property
    def version(self) -> str:
        """The version that is installed."""
        return metadata.version(self.distribution) if self.distribution else ""

    @property
    def main_protocol(self) -> str:
        """The protocol of its app where it makes no difference."""
        return self.protocols[0]

    def make_app(self, provider: Provider, folder: Path, **settings: object) -> Flask:
        """Return the app.

        :param folder: where the app may keep files, which all of its processes share.
        :param settings: further settings of the app, by their names.
        """
        make: t.Callable[[Flask, Provider], None] = import_module(
            f".{self.module}", __name__
        ).add_login
        app = Flask(f"benchmarks.{self.module}", instance_path=str(folder))
        app.config["SECRET_KEY"] = SECRET_KEY
        app.config["SESSION_COOKIE_SECURE"] = True
        app.config.update(settings)

        @app.get("/")
        def home() -> str:
            return f"For everybody. {session.get('theme', 'light')}"

        make(app, provider)
        return app


#: The numbers of all others are divided by those of this one.
FLOOR = Contestant("floor", "floor", refreshes=False)
#: The same app once more. The difference between the two is the noise.
FLOOR_AGAIN = dataclasses.replace(FLOOR, name="floor again")
OURS = Contestant("ours", "ours", "flask_oauth2_login.blueprint", "Flask-OAuth2-Login")

CONTESTANTS = (
    FLOOR,
    FLOOR_AGAIN,
    OURS,
    Contestant("Flask-Dance", "flask_dance_app", "flask_dance.consumer", "Flask-Dance", (OAUTH,)),
    Contestant("Authlib", "authlib_app", "authlib.integrations.flask_client", "Authlib"),
    Contestant("flask-oidc", "flask_oidc_app", "flask_oidc", "flask-oidc", (OPENID,)),
    Contestant(
        "requests-oauthlib",
        "requests_oauthlib_app",
        "requests_oauthlib",
        "requests-oauthlib",
        (OAUTH,),
    ),
)
