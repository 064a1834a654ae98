"""Where the example signs people in: at its own provider, or at one that the environment names.

An app of yours needs none of this: it knows its provider, and says ``OAuth2Login("github")``.
"""

from __future__ import annotations

import os
import typing as t

from flask_oauth2_login import ConfigurationError, OAuth2Login, OpenIDConnect

#: Each may also be written as Flask's own variables are, with ``FLASK_`` before it.
VARIABLES = (
    "GITHUB_CLIENT_ID",
    "GITHUB_CLIENT_SECRET",
    "GOOGLE_CLIENT_ID",
    "GOOGLE_CLIENT_SECRET",
    "PROVIDER_CLIENT_ID",
    "PROVIDER_CLIENT_SECRET",
)
#: What ``PROVIDER_AUTHORIZATION_URL`` and so on say of any provider, in the words of a preset.
WORDS = ("issuer", "authorization_url", "token_url", "userinfo_url", "scope", "label")


def read_environment() -> dict[str, t.Any]:
    """The settings of the provider that the environment names; nothing where it names none."""
    settings: dict[str, t.Any] = {}
    for name in VARIABLES:
        if value := _variable(name):
            settings[name] = value
    if "PROVIDER_CLIENT_ID" in settings:
        words = {word: _variable(f"PROVIDER_{word.upper()}") for word in WORDS}
        provider = {word: value for word, value in words.items() if value}
        if "userinfo_url" not in provider:
            raise ConfigurationError(
                "PROVIDER_USERINFO_URL is missing: the profile page shows what it answers."
            )
        settings["OAUTH2_LOGIN_PROVIDERS"] = {"provider": provider}
    return settings


def make_login(settings: t.Mapping[str, t.Any], issuer: str) -> tuple[OAuth2Login, str]:
    """The login for these settings, and the URL of its API that says who has signed in.

    :param issuer: the example's own provider, used where the settings name none.
    """
    if "GITHUB_CLIENT_ID" in settings:
        return OAuth2Login("github"), "/user"
    if "GOOGLE_CLIENT_ID" in settings:
        return OAuth2Login("google"), "/oauth2/v3/userinfo"
    if "PROVIDER_CLIENT_ID" in settings:
        provider = settings["OAUTH2_LOGIN_PROVIDERS"]["provider"]
        return OAuth2Login("provider"), provider["userinfo_url"]
    local = OpenIDConnect("example", "example-secret", issuer, label="the local provider")
    return OAuth2Login(local, name="local", scope="openid profile email"), "/userinfo"


def _variable(name: str) -> str:
    return os.environ.get(name) or os.environ.get(f"FLASK_{name}", "")
