"""Presets: providers that are known by name. Each is a row of ``presets.jsonl``.

Its members are parameters and options of :class:`OAuth2` or :class:`OpenIDConnect`, and the
:data:`ROW_WORDS`.
"""

from __future__ import annotations

import difflib
import re
import typing as t

from ..client.oauth2 import OAuth2
from ..client.openid import OpenIDConnect
from ..client.options import known_options
from ..protocol.errors import ConfigurationError
from ..protocol.signed_secret import SignedSecret
from .overlays import check_members, config_key, lay_over, refuse_unknown_words
from .rows import all_rows, find_row, row_names
from .variables import fill_in

Preset = t.Mapping[str, t.Any]
#: Returns what ``app.config`` has of these names of a preset.
ReadConfig = t.Callable[[t.Iterable[str]], t.Mapping[str, t.Any]]

#: What a row says beside the options of a handler, and what it means.
ROW_WORDS: t.Mapping[str, str] = {
    "scope": "the scopes that a sign-in requests by default",
    "roles": "where a person's roles are: a path, or a list of paths",
    "protocol": '"oauth2" for a provider that has an issuer and no ID tokens',
    "signed_secret": "what the JWT says that is this provider's client secret, signed by"
    " private_key: key_id, issuer and audience",
    "variables": "names in braces, which the developer sets, with their defaults",
    "register_url": "the page where an app is registered",
    "console": "what that page calls its fields: redirect_uri (redirect_domain, if it takes only a"
    " host), post_logout_redirect_uri, backchannel_logout_uri, client_id, client_secret,"
    " private_key, and the row's variables",
    "sources": "how many independent code bases agree on the endpoints",
    "confirmed": "False if too few sources agree on the row, or a part of it is doubtful",
    "notes": "what a developer should know of this provider",
}
#: Those of them that say something about the row itself.
_FACTS = ("register_url", "console", "sources", "confirmed", "notes")


def preset_names() -> list[str]:
    """Return the names of all presets that are shipped, sorted."""
    return row_names()


def unconfirmed() -> list[str]:
    """Return the names of the presets to compare with the provider's documentation, sorted."""
    return [row["name"] for row in all_rows() if row.get("confirmed") is False]


def find_preset(
    name: str, own: t.Any = None, preset: t.Any = None, read_config: ReadConfig | None = None
) -> dict[str, t.Any]:
    """Return a preset, in which the app's configuration replaces or adds members.

    What is said last counts: the row that is shipped, ``own``, ``read_config``, ``preset``.

    :param own: ``app.config["OAUTH2_LOGIN_PROVIDERS"]``: members by the provider's name. It may
        describe a provider that has no preset.
    :param preset: fields and variables, as ``OAuth2Login(…, preset={…})`` has them.
    :param read_config: returns the fields and variables that are keys of ``app.config``.
    :raises ConfigurationError: there is no provider of that name, the configuration moves only
        some of its endpoints to another server, or a variable is missing or wrong.
    """
    own = {} if own is None else own
    private = own.get(name, {}) if isinstance(own, t.Mapping) else None
    if not isinstance(private, t.Mapping):
        raise ConfigurationError(
            "OAUTH2_LOGIN_PROVIDERS is a dictionary of dictionaries:"
            f" {{{name!r}: {{'issuer': 'https://…'}}}}.",
            row="preset-description",
        )
    if not isinstance(preset or {}, t.Mapping):
        raise ConfigurationError(
            f"preset={preset!r} is not a dictionary of fields and variables:"
            " preset={'site': 'https://…'}.",
            row="preset-option",
        )
    prefix = config_key(name, "")
    for other in own:
        if other != name and config_key(str(other), "") == prefix:
            raise ConfigurationError(
                f"The providers {name!r} and {other!r} of OAUTH2_LOGIN_PROVIDERS read the same keys"
                f" of app.config, {prefix}…, so one would get the other's secret: rename one.",
                row="preset-same-keys",
            )
    row = find_row(name)
    if row is None and not private:
        raise unknown_preset(name)
    overlay = {} if row is None else dict(private)
    row = dict(private) if row is None else row
    check_members(name, row)
    words = known_words(row)
    if read_config is not None:
        overlay |= read_config(words)
    refuse_unknown_words(name, preset or {}, words)
    overlay |= preset or {}
    check_members(name, overlay)
    return lay_over(name, row, overlay)


def unknown_preset(name: str) -> ConfigurationError:
    """Return the error for a name that no preset has. It names the most similar one."""
    known, asked = row_names(), name.lower().replace("-", "_")
    labels = {row["name"]: re.findall(r"\w+", row["label"].lower()) for row in all_rows()}
    similar = [each for each, label in labels.items() if asked in label]
    similar += difflib.get_close_matches(asked, known, 1)
    hint = f"Did you mean {similar[0]!r}?" if similar else f"Known: {', '.join(known)}."
    return ConfigurationError(
        f"There is no preset {name!r}. {hint} Describe another provider in"
        f" app.config['OAUTH2_LOGIN_PROVIDERS'] = {{{name!r}: {{…}}}}, or use OAuth2(…).",
        row="unknown-preset",
    )


def known_words(row: Preset) -> list[str]:
    """Return the names of all fields and variables that a preset may be given."""
    variables = row.get("variables") or {}
    options = known_options(OAuth2) | known_options(OpenIDConnect) | {*ROW_WORDS}
    named = [*variables, *sorted(options - {"client_id", "client_secret", *_FACTS})]
    return [word for word in named if isinstance(word, str)]


def make_handler(
    name: str, preset: Preset, client_id: str, client_secret: str | None
) -> OAuth2 | OpenIDConnect:
    """Return a handler for a preset.

    It is :class:`OpenIDConnect` if the preset has an ``issuer``, unless it says
    ``"protocol": "oauth2"``.

    :raises ConfigurationError: the preset has members that are not options, or has neither an
        issuer nor endpoints.
    """
    options = {word: value for word, value in preset.items() if word not in ROW_WORDS}
    options = fill_in(options, {"client_id": client_id})
    is_named = options.get("issuer") is not None
    protocol = preset.get("protocol", "openid" if is_named else "oauth2")
    if protocol not in ("openid", "oauth2"):
        raise ConfigurationError(
            f"The preset {name!r} has protocol={protocol!r}, which is neither 'openid' nor"
            " 'oauth2'.",
            row="preset-description",
        )
    if protocol == "openid" and not is_named:
        raise ConfigurationError(
            f"The preset {name!r} has protocol='openid', which needs an 'issuer'.",
            row="preset-description",
        )
    if signed := preset.get("signed_secret"):
        if not isinstance(signed, t.Mapping) or {*signed} != {"key_id", "issuer", "audience"}:
            raise ConfigurationError(
                f"The preset {name!r} has signed_secret={signed!r}, which is not a dictionary of"
                " key_id, issuer and audience.",
                row="preset-description",
            )
        options["client_auth"] = SignedSecret(options.pop("private_key", None), **signed)
    kind = OpenIDConnect if protocol == "openid" else OAuth2
    if kind is OpenIDConnect:
        # The site of a preset has already been put into its URLs.
        options.pop("site", None)
    known = known_options(OAuth2) | known_options(kind)
    if unknown := set(options) - known:
        similar = {
            word: difflib.get_close_matches(word, {*known, *ROW_WORDS}, 1) for word in unknown
        }
        hints = [f"{word} (did you mean {found[0]}?)" for word, found in similar.items() if found]
        plain = [word for word, found in similar.items() if not found]
        raise ConfigurationError(
            f"The preset {name!r} has unknown options: {', '.join(sorted([*hints, *plain]))}."
            f" Known options: {', '.join(sorted(known - {'client_id'}))}.",
            row="preset-description",
        )
    if mine := {"client_id", "client_secret"} & set(options):
        keys = [config_key(name, what) for what in ("CLIENT_ID", "CLIENT_SECRET")]
        raise ConfigurationError(
            f"The preset {name!r} has {' and '.join(sorted(mine))}. Set them as"
            f" app.config keys of their own: {' and '.join(keys)}.",
            row="preset-credentials",
        )
    if not any(options.get(word) is not None for word in ("site", "token_url", "issuer")):
        raise ConfigurationError(
            f"The preset {name!r} has neither issuer nor endpoints: give it an 'issuer', or"
            " 'authorization_url' and 'token_url'.",
            row="preset-description",
        )
    return kind(client_id, client_secret, **options)
