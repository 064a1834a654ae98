"""Presets: providers that are known by name. Each is a row of ``presets.jsonl``.

Its members are parameters and options of :class:`OAuth2` or :class:`OpenIDConnect`, and ``scope``.
"""

from __future__ import annotations

import difflib
import logging
import re
import typing as t

from ..client.oauth2 import OAuth2
from ..client.openid import OpenIDConnect
from ..client.options import known_options
from ..protocol import urls
from ..protocol.errors import ConfigurationError
from .rows import find_row, row_names

log = logging.getLogger("flask_oauth2_login")

Preset = t.Mapping[str, t.Any]

#: The parameters that say where a provider's tokens come from.
SOURCES = ("site", "issuer", "authorization_url", "token_url")


def find_preset(name: str, own: t.Any = None) -> dict[str, t.Any]:
    """Return a preset, in which the app's configuration replaces or adds members.

    :param own: ``app.config["OAUTH2_LOGIN_PROVIDERS"]``: members by the provider's name. It may
        describe a provider that has no preset.
    :raises ConfigurationError: there is no provider of that name, or the configuration moves only
        some of its endpoints to another server.
    """
    own = {} if own is None else own
    overlay = own.get(name, {}) if isinstance(own, t.Mapping) else None
    if not isinstance(overlay, t.Mapping):
        raise ConfigurationError(
            "OAUTH2_LOGIN_PROVIDERS is a dictionary of dictionaries:"
            f" {{{name!r}: {{'issuer': 'https://…'}}}}."
        )
    row = find_row(name)
    if row is None and not overlay:
        known = row_names()
        similar = difflib.get_close_matches(name.lower().replace("-", "_"), known, 1)
        hint = f"Did you mean {similar[0]!r}?" if similar else f"Known: {', '.join(known)}."
        raise ConfigurationError(
            f"There is no preset {name!r}. {hint} Describe another provider in"
            f" app.config['OAUTH2_LOGIN_PROVIDERS'] = {{{name!r}: {{…}}}}, or use OAuth2(…)."
        )
    row = row or {}
    return {**_keep_in_place(name, row, overlay), **overlay}


def _keep_in_place(name: str, row: Preset, overlay: Preset) -> Preset:
    """Return the preset's row, without its own URLs if the overlay moves the provider elsewhere.

    The overlay moves the provider if it moves one of :data:`SOURCES`. Tokens of the new server,
    such as a company's own, must not be sent to the public server that the row names.

    :param row: the preset.
    :param overlay: the app's configuration for it.
    :raises ConfigurationError: the overlay moves the provider, but does not name all endpoints.
    """
    merged = {**row, **overlay}
    known = {"", *(_origin(row, word) for word in row if _is_url(word))}
    moved_to = {_origin(merged, word) for word in SOURCES if word in overlay} - known
    if not row or not moved_to:
        return row
    left = [
        word
        for word in row
        if _is_url(word) and word not in overlay and _origin(merged, word) in known
    ]
    kept = {word: value for word, value in row.items() if word not in left}
    endpoints = {"authorization_url", "token_url"} - {*kept, *overlay}
    if endpoints and not overlay.get("issuer") and not {"issuer", *endpoints}.isdisjoint(left):
        raise ConfigurationError(
            f"OAUTH2_LOGIN_PROVIDERS moves the preset {name!r} to {', '.join(sorted(moved_to))}, so"
            " the preset's URLs on other servers are not used. Add the"
            f" {' and '.join(sorted(endpoints))} of that server, or its issuer."
        )
    if left:
        log.warning(
            "OAUTH2_LOGIN_PROVIDERS moves the preset %r to %s, so these options of the preset are"
            " not used: %s. Set each of them to its URL there, or to None if there is none.",
            name,
            ", ".join(sorted(moved_to)),
            ", ".join(left),
        )
    return kept


def _is_url(word: str) -> bool:
    return word in SOURCES or word.endswith("_url") or word == "api_origins"


def _origin(preset: Preset, word: str) -> str:
    return urls.origin(urls.join(str(preset.get("site") or ""), str(preset[word] or "")))


def credential_key(name: str, what: str) -> str:
    """Return the key of ``app.config`` for a preset's credential, such as ``GITHUB_CLIENT_ID``."""
    return f"{re.sub(r'[^A-Za-z0-9]', '_', name).upper()}_{what}"


def make_handler(
    name: str, preset: Preset, client_id: str, client_secret: str | None
) -> OAuth2 | OpenIDConnect:
    """Return a handler for a preset.

    It is :class:`OpenIDConnect` if the preset has an ``issuer``, unless it says
    ``"protocol": "oauth2"``.

    :raises ConfigurationError: the preset has members that are not options, or has neither an
        issuer nor endpoints.
    """
    options = {word: value for word, value in preset.items() if word not in {"scope", "protocol"}}
    protocol = preset.get("protocol", "openid" if "issuer" in options else "oauth2")
    if protocol not in {"openid", "oauth2"}:
        raise ConfigurationError(
            f"The preset {name!r} has protocol={protocol!r}, which is neither 'openid' nor"
            " 'oauth2'."
        )
    kind = OpenIDConnect if protocol == "openid" else OAuth2
    known = known_options(OAuth2) | known_options(kind)
    if unknown := set(options) - known:
        raise ConfigurationError(
            f"The preset {name!r} has unknown options: {', '.join(sorted(unknown))}."
            f" Known options: {', '.join(sorted(known - {'client_id'}))}."
        )
    if mine := {"client_id", "client_secret"} & set(options):
        keys = [credential_key(name, what) for what in ("CLIENT_ID", "CLIENT_SECRET")]
        raise ConfigurationError(
            f"The preset {name!r} has {' and '.join(sorted(mine))}. Set them as"
            f" app.config keys of their own: {' and '.join(keys)}."
        )
    if kind is OAuth2 and not {"site", "token_url", "issuer"} & set(options):
        raise ConfigurationError(
            f"The preset {name!r} has neither issuer nor endpoints: give it an 'issuer', or"
            " 'authorization_url' and 'token_url'."
        )
    return kind(client_id, client_secret, **options)
