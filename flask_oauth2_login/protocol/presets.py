"""Providers that are known by name. A preset is a row of data in ``presets.json``.

Its words are those of :class:`OAuth2` and :class:`OpenIDConnect`, and ``scope`` beside them.
"""

from __future__ import annotations

import inspect
import json
import re
import typing as t
from importlib import resources

from .errors import ConfigurationError
from .oauth2 import OAuth2
from .openid import OpenIDConnect

Preset = t.Mapping[str, t.Any]


def find_preset(name: str, own: t.Any = None) -> dict[str, t.Any]:
    """The row of a provider, with the app's own words for it laid over.

    :param own: the app's rows; one is enough by itself for a provider that has none here.
    :raises ConfigurationError: nobody knows a provider of that name.
    """
    own = {} if own is None else own
    overlay = own.get(name, {}) if isinstance(own, t.Mapping) else None
    if not isinstance(overlay, t.Mapping):
        raise ConfigurationError(
            "OAUTH2_LOGIN_PROVIDERS is a dictionary of dictionaries:"
            f" {{{name!r}: {{'issuer': 'https://…'}}}}."
        )
    rows = json.loads(resources.files(__package__).joinpath("presets.json").read_text("utf-8"))
    if name not in rows and not overlay:
        raise ConfigurationError(
            f"There is no preset {name!r}. Known: {', '.join(sorted(rows))}. Describe the provider"
            f" in app.config['OAUTH2_LOGIN_PROVIDERS'] = {{{name!r}: {{…}}}}, or use OAuth2(…)."
        )
    return {**rows.get(name, {}), **overlay}


def credential_key(name: str, what: str) -> str:
    """The key of ``app.config`` with a preset's credential, as a variable can be called."""
    return f"{re.sub(r'[^A-Za-z0-9]', '_', name).upper()}_{what}"


def make_handler(
    name: str, preset: Preset, client_id: str, client_secret: str | None
) -> OAuth2 | OpenIDConnect:
    """The handler that a preset describes: by its ``issuer``, or else by its endpoints.

    :raises ConfigurationError: the preset has a word that the handler does not know.
    """
    options = {word: value for word, value in preset.items() if word != "scope"}
    kind = OpenIDConnect if "issuer" in options else OAuth2
    known = {*inspect.signature(OAuth2).parameters, *inspect.signature(kind).parameters}
    if unknown := set(options) - known:
        raise ConfigurationError(
            f"The preset {name!r} has words that are not known: {', '.join(sorted(unknown))}."
            f" Known are: {', '.join(sorted(known - {'self', 'options', 'client_id'}))}."
        )
    if mine := {"client_id", "client_secret"} & set(options):
        keys = [credential_key(name, what) for what in ("CLIENT_ID", "CLIENT_SECRET")]
        raise ConfigurationError(
            f"The preset {name!r} has {' and '.join(sorted(mine))}: these are settings of their"
            f" own, {' and '.join(keys)}."
        )
    if kind is OAuth2 and not {"site", "token_url"} & set(options):
        raise ConfigurationError(
            f"The preset {name!r} has neither issuer nor endpoints: give it an 'issuer', or"
            " 'authorization_url' and 'token_url'."
        )
    return kind(client_id, client_secret, **options)
