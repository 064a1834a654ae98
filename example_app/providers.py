"""Where the example signs people in: at its own providers, or at those that the environment names.

An app of yours needs none of this: it knows its providers, and says ``OAuth2Login("github")``.
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
#: What people call the providers that ``python -m example_app`` runs.
LABELS = {"corp": "Example Corp", "club": "Example Club"}


class Provider(t.NamedTuple):
    """A login, and the URL of the provider's API that says who has signed in."""

    login: OAuth2Login
    profile_url: str


def read_environment() -> dict[str, t.Any]:
    """The settings of the providers that the environment names; nothing where it names none."""
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


def make_providers(
    settings: t.Mapping[str, t.Any], issuers: t.Mapping[str, str]
) -> dict[str, Provider]:
    """The providers for these settings, by the names of their logins.

    :param issuers: the example's own providers, used where the settings name none.
    """
    found = {}
    if "GITHUB_CLIENT_ID" in settings:
        found["github"] = Provider(OAuth2Login("github"), "/user")
    if "GOOGLE_CLIENT_ID" in settings:
        found["google"] = Provider(OAuth2Login("google"), "/oauth2/v3/userinfo")
    if "PROVIDER_CLIENT_ID" in settings:
        url = settings["OAUTH2_LOGIN_PROVIDERS"]["provider"]["userinfo_url"]
        found["provider"] = Provider(OAuth2Login("provider"), url)
    return found or {name: _make_local(name, issuer) for name, issuer in issuers.items()}


def _make_local(name: str, issuer: str) -> Provider:
    handler = OpenIDConnect("example", "example-secret", issuer, label=LABELS[name])
    logo = f"/static/{name}.svg"
    login = OAuth2Login(handler, name=name, scope="openid profile email", logo=logo)
    return Provider(login, "/userinfo")


def _variable(name: str) -> str:
    return os.environ.get(name) or os.environ.get(f"FLASK_{name}", "")
