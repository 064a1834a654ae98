"""What an app says of a preset, laid over its row: other fields, variables, another server."""

from __future__ import annotations

import difflib
import logging
import re
import typing as t

from ..protocol import urls
from ..protocol.errors import ConfigurationError, see
from .variables import Row, check_value, fill_in, is_url, names_in

log = logging.getLogger("flask_oauth2_login")

#: The parameters that say where a provider's tokens come from.
SOURCES = ("site", "issuer", "authorization_url", "token_url")

#: Names in braces that are no variables: handlers fill them in.
_OF_HANDLERS = ("client_id",)

#: Members of a row that only people read.
_OF_PEOPLE = ("register_url", "console", "notes")

_SITE = re.compile(r"https?://[^/?#@\\\s]+(/[^?#@\\\s]*)?", re.IGNORECASE)
_BASE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]+")


def lay_over(name: str, row: Row, overlay: Row) -> dict[str, t.Any]:
    """Return a row with an overlay's fields and variables.

    :param name: the preset's name.
    :param overlay: fields and variables of the row, in one mapping.
    :raises ConfigurationError: a variable is missing or wrong, or only some of the endpoints move
        to another server.
    """
    declared = row.get("variables") or {}
    if not isinstance(declared, t.Mapping):
        raise ConfigurationError(
            f"The preset {name!r} has variables={declared!r}, which is not a dictionary of defaults"
            " (None where there is none).",
            row="preset-description",
        )
    own = {variable: overlay[variable] for variable in declared if variable in overlay}
    fields = {word: value for word, value in overlay.items() if word not in declared}
    row = move_to_site(name, row, fields)
    filled = {**row, **fields}
    used = {
        variable
        for word, value in filled.items()
        if word not in _OF_PEOPLE
        for variable in names_in(value)
    } & {*declared}
    if unused := own.keys() - used:
        raise ConfigurationError(
            f"The preset {name!r} has no place for {', '.join(sorted(unused))}: what is set beside"
            " it (site=…, or an endpoint) replaces the URLs that it is a part of.",
            row="preset-variable",
        )
    values = {
        variable: check_value(name, variable, value, filled)
        for variable, value in {**declared, **own}.items()
        if value is not None and variable in used
    }
    row, fields = fill_in(row, values), fill_in(fields, values)
    merged = {**keep_in_place(name, row, fields), **fields}
    needed = {
        variable
        for word, value in merged.items()
        if word not in _OF_PEOPLE
        for variable in names_in(value)
        if variable in declared or (is_url(word) and variable not in _OF_HANDLERS)
    }
    if needed:
        _refuse_missing(name, sorted(needed))
    return merged


def check_members(name: str, members: t.Mapping[t.Any, t.Any]) -> None:
    """Check what a preset is read by before a handler checks its options.

    :raises ConfigurationError: a name is not a string, or a URL or a scope is something else.
    """
    for word, value in members.items():
        if not isinstance(word, str):
            raise ConfigurationError(
                f"The preset {name!r} has {word!r}, which is no name of a field.",
                row="preset-description",
            )
        has_several = word in {"scope", "api_origins"} and isinstance(value, (list, tuple, set))
        several = value if has_several else [value]
        is_text = all(each is None or isinstance(each, str) for each in several)
        if not is_text and (is_url(word) or word == "scope"):
            what = "a URL" if is_url(word) else "a scope, or a list of scopes"
            raise ConfigurationError(
                f"The preset {name!r} has {word}={value!r}, which is not {what}.",
                row="preset-description",
            )


def _refuse_missing(name: str, missing: list[str]) -> t.NoReturn:
    keys = " and ".join(f"app.config[{config_key(name, variable)!r}]" for variable in missing)
    raise ConfigurationError(
        f"The preset {name!r} needs a value for {' and '.join(missing)}: OAuth2Login({name!r},"
        f" preset={{{missing[0]!r}: '…'}}), or {keys}.",
        row="preset-variable",
    )


def config_key(name: str, what: str) -> str:
    """Return the key of ``app.config`` for something of a preset, such as ``GITHUB_CLIENT_ID``."""
    return f"{re.sub(r'[^A-Za-z0-9]', '_', name)}_{what}".upper()


def refuse_unknown_words(name: str, given: t.Iterable[str], known: t.Collection[str]) -> None:
    """Check the names in ``preset={…}``.

    :raises ConfigurationError: one is neither a field nor a variable of the preset, or it is a
        credential, which is read from ``app.config``.
    """
    for word in given:
        if word in ("client_id", "client_secret"):
            raise ConfigurationError(
                f"preset={{…}} takes no credentials: put {word!r} into"
                f" app.config[{config_key(name, word)!r}].",
                row="preset-credentials",
            )
        if word not in known:
            similar = difflib.get_close_matches(str(word), known, 1)
            hint = f"Did you mean {similar[0]!r}?" if similar else f"It has: {', '.join(known)}."
            raise ConfigurationError(
                f"The preset {name!r} has no {word!r}. {hint}", row="preset-option"
            )


def move_to_site(name: str, row: Row, fields: Row) -> dict[str, t.Any]:
    """Return the row with ``fields["site"]`` in place of the origin that its endpoints share.

    :raises ConfigurationError: the row has URLs elsewhere too, and ``fields`` does not replace
        them: tokens of the site must not go there.
    """
    moved = dict(row)
    bases = {_base(row[word]) for word in SOURCES if isinstance(row.get(word), str)} - {""}
    if not fields.get("site") or row.get("site") or not bases:
        return moved
    if {"authorization_url", "token_url"} <= fields.keys():
        # The fields describe the provider by themselves, and may be paths below the site.
        return moved
    site = str(fields["site"]).rstrip("/")
    if not _SITE.fullmatch(site):
        raise ConfigurationError(
            f"The preset {name!r} has site={site!r}, which is not the absolute URL of a server:"
            " https://sso.example.com.",
            row="preset-site",
        )
    left = []
    for word, value in row.items():
        if not is_url(word) or word in fields or not value:
            continue
        several = [value] if isinstance(value, str) else value
        if len(bases) > 1 or any(_base(url) not in bases for url in several):
            left += [word] if word not in _OF_PEOPLE else []
        else:
            news = [site + url.removeprefix(_base(url)) for url in several]
            moved[word] = news[0] if isinstance(value, str) else news
    if left:
        raise ConfigurationError(
            f"site={site!r} moves the preset {name!r}, and these stand at other servers than its"
            f" tokens come from: {', '.join(left)}. Set each of them to its URL at that site, or to"
            " None if there is none.",
            row="preset-site",
        )
    return moved


def _base(url: str) -> str:
    """Return what a URL has before its path, with variables in it as they are."""
    found = _BASE.match(url)
    return found[0] if found else ""


def keep_in_place(name: str, row: Row, overlay: Row) -> Row:
    """Return the preset's row, without its own URLs if the overlay moves the provider elsewhere.

    The overlay moves the provider if it moves one of :data:`SOURCES`. Tokens of the new server,
    such as a company's own, must not be sent to the public server that the row names.

    :param row: the preset.
    :param overlay: the app's configuration for it.
    :raises ConfigurationError: the overlay moves the provider, but does not name all endpoints.
    """
    merged = {**row, **overlay}
    words = [word for word in row if is_url(word) and word not in _OF_PEOPLE]
    known = {"", *(origin for word in words for origin in _origins(row, word))}
    moved_to = {
        origin for word in SOURCES if word in overlay for origin in _origins(merged, word)
    } - known
    if not row or not moved_to:
        return row
    left = [word for word in words if word not in overlay and known & _origins(merged, word)]
    kept = {word: value for word, value in row.items() if word not in left}
    endpoints = {"authorization_url", "token_url"} - {*kept, *overlay}
    if endpoints and not overlay.get("issuer") and not {"issuer", *endpoints}.isdisjoint(left):
        raise ConfigurationError(
            f"The configuration moves the preset {name!r} to {', '.join(sorted(moved_to))}, so"
            " the preset's URLs on other servers are not used. Add the"
            f" {' and '.join(sorted(endpoints))} of that server, or its issuer.",
            row="preset-site",
        )
    if left:
        log.warning(
            "The configuration moves the preset %r to %s, so these options of the preset are"
            " not used: %s. Set each of them to its URL there, or to None if there is none. %s",
            name,
            ", ".join(sorted(moved_to)),
            ", ".join(left),
            see("preset-site"),
        )
    return kept


def _origins(preset: Row, word: str) -> set[str]:
    value, site = preset[word] or "", str(preset.get("site") or "")
    several = [value] if isinstance(value, str) else value
    return {urls.origin(urls.join(site, str(url))) for url in several}
