"""The handler of a login that names a preset: its row, the app's words on it, its credentials."""

from __future__ import annotations

import dataclasses
import logging
import os
import typing as t

from ..client.oauth2 import OAuth2
from ..client.option_values import credential
from ..config import Config
from ..protocol.client_auth import TLS_AUTHS, auth_name
from ..protocol.errors import ConfigurationError, see
from ..protocol.roles import RoleRules, read_rules
from .overlays import SOURCES, config_key
from .presets import Preset, find_preset, make_handler
from .rows import find_row
from .variables import fill_in

#: The methods by which the client's certificate authenticates it.
TLS_METHODS = frozenset(map(auth_name, TLS_AUTHS))

log = logging.getLogger("flask_oauth2_login")


def handler_of_preset(
    name: str, login: str, preset: t.Any, config: Config
) -> tuple[OAuth2, Preset]:
    """Return the handler for a preset, and the preset.

    :param name: the preset's name.
    :param login: the login's name, for an error.
    :param preset: fields and variables that differ from the row.
    :raises ConfigurationError: there is no such preset, or something of it is missing or wrong.
    """

    def read_config(words: t.Iterable[str]) -> dict[str, t.Any]:
        keys = {word: config_key(name, word) for word in words}
        return {word: config.get(key) for word, key in keys.items() if config.has(key)}

    found = find_preset(name, config.providers, preset, read_config)
    id_key, secret_key = credential_keys(name)
    try:
        client_id, client_secret = config.credentials(id_key, secret_key)
        client_id = credential("client_id", client_id)
        # The secret of a public client is set to None.
        if is_secret_needed(found) and not config.has(secret_key):
            credential("client_secret", None)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{error.message} The login {login!r} reads {id_key} and {secret_key} of app.config"
            " when it is registered. (A public client has no secret: set that to None."
            f" A client with a key has {config_key(name, 'private_key')} instead.)"
            f"{_hint_of_environment(config, id_key, secret_key)}",
            row=error.row,
        ) from None
    if not found.get("private_key"):
        _refuse_missing_key(name, found)
    if found.get("confirmed") is False:
        log.warning(
            "The preset %r is unconfirmed: too few sources agree on it, or a part of it is"
            " doubtful. Compare it with the provider's documentation: %s. %s",
            name,
            ", ".join(f"{word}={found[word]}" for word in SOURCES if word in found),
            see("preset"),
        )
    return make_handler(name, found, client_id, client_secret), found


def credential_keys(name: str) -> tuple[str, str]:
    """Return the keys of ``app.config`` that have a preset's client id and secret."""
    return config_key(name, "CLIENT_ID"), config_key(name, "CLIENT_SECRET")


def is_secret_needed(preset: Preset) -> bool:
    """Return True if a provider's client has a secret, because it has nothing else to show."""
    has_none = preset.get("client_auth") in ("none", "private_key_jwt", *TLS_METHODS)
    # A profile forbids a secret.
    has_other = any(preset.get(name) for name in ("signed_secret", "private_key", "profile"))
    return not (has_none or has_other)


def _refuse_missing_key(name: str, preset: Preset) -> None:
    key = config_key(name, "private_key")
    if "signed_secret" in preset:
        raise ConfigurationError(
            f"The preset {name!r} signs its client secret itself: set app.config[{key!r}] to the"
            " text of the private key that you downloaded (.p8).",
            row="private-key",
        )
    if preset.get("client_auth") == "private_key_jwt":
        raise ConfigurationError(
            f"At the provider {name!r}, the client authenticates by a private key: set"
            f" app.config[{key!r}] to its PEM or JWK. `flask oauth2 new-key {name}` makes one.",
            row="private-key",
        )


def _hint_of_environment(config: Config, *keys: str) -> str:
    """Return what to do with keys that only the environment has, or ``""``."""
    missing = [key for key in keys if not config.has(key)]
    for key in missing:
        if f"FLASK_{key}" in os.environ:
            return (
                f" The environment has FLASK_{key}: call app.config.from_prefixed_env() before you"
                " register the login."
            )
        if key in os.environ:
            return (
                f" The environment has {key}: call it FLASK_{key} there, which"
                " app.config.from_prefixed_env() reads."
            )
    return ""


def role_rules(name: str, preset: Preset, rules: RoleRules, client_id: str) -> RoleRules:
    """Return a login's rules for roles, with the paths of its preset unless it has its own.

    :param name: the preset's name.
    :param client_id: what ``{client_id}`` in a path of the preset stands for.
    :raises ConfigurationError: the preset's ``roles`` are no paths.
    """
    paths = preset.get("roles")
    if rules.paths or paths is None:
        return rules
    # Nobody asked for the roles of a row that is shipped, so they are worth no further request.
    is_demanded = paths != (find_row(name) or {}).get("roles")
    paths = read_rules(fill_in(paths, {"client_id": client_id}), None).paths
    return dataclasses.replace(rules, paths=paths, is_demanded=is_demanded)
