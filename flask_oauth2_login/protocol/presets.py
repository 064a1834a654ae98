"""Providers that are known by name. A preset is a row of data in ``presets.json``.

Its words are those of :class:`OAuth2` and :class:`OpenIDConnect`, and ``scope`` beside them.
"""

from __future__ import annotations

import inspect
import json
import typing as t
from importlib import resources

from .errors import ConfigurationError
from .oauth2 import OAuth2
from .openid import OpenIDConnect

Preset = t.Mapping[str, t.Any]


def find_preset(name: str, own: t.Mapping[str, Preset] | None = None) -> dict[str, t.Any]:
    """The row of a provider, with the app's own words for it laid over.

    :param own: the app's rows; one is enough by itself for a provider that has none here.
    :raises ConfigurationError: nobody knows a provider of that name.
    """
    rows_are_fine = own is None or isinstance(own, t.Mapping)
    overlay = own.get(name, {}) if own and rows_are_fine else {}
    if not (rows_are_fine and isinstance(overlay, t.Mapping)):
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
        )
    if mine := {"client_id", "client_secret"} & set(options):
        raise ConfigurationError(
            f"The preset {name!r} has {' and '.join(sorted(mine))}: these are settings of their"
            f" own, {name.upper()}_CLIENT_ID and {name.upper()}_CLIENT_SECRET."
        )
    return kind(client_id, client_secret, **options)
