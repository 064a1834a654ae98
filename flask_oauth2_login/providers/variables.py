"""The variables of presets: a tenant, a domain or a shop, which each developer sets.

A row has ``{domain}`` where the value goes, and declares ``"variables": {"domain": null}``, or a
default in place of null. What is filled in becomes part of URLs that get secrets, so it is a host
name or one segment of a path, and nothing else.
"""

from __future__ import annotations

import re
import typing as t

from ..protocol.errors import ConfigurationError

Row = t.Mapping[str, t.Any]

_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?"
_NAME = rf"(?=.{{1,253}}(?::|\Z)){_LABEL}(?:\.{_LABEL})*"

#: What a variable may be, by where it stands; and how to say so.
_KINDS = {
    "host": (
        re.compile(rf"{_NAME}(?::[0-9]{{1,5}})?"),
        "a host name, such as sso.example.com or sso.example.com:8443, without https:// or a path",
    ),
    "labels": (
        re.compile(_NAME),
        "a part of a host name: letters, digits, hyphens and single dots between them",
    ),
    "segment": (
        re.compile(r"(?!.*\.\.)(?!\.\Z)[A-Za-z0-9._~-]{1,200}"),
        "one segment of a path: letters, digits, '.', '_', '~' and '-'",
    ),
    "text": (re.compile(r"[!-~](?:[ -~]{0,198}[!-~])?"), "a line of ASCII characters"),
}


def is_url(word: str) -> bool:
    """Return True if a row's member of this name is a URL, or a list of URLs."""
    return word in {"site", "issuer", "api_origins"} or word.endswith("_url")


def fill_in(value: t.Any, values: t.Mapping[str, str]) -> t.Any:
    """Return a member of a row with these variables filled in, at any depth."""
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), value)
    if isinstance(value, t.Mapping):
        return {name: fill_in(inner, values) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [fill_in(inner, values) for inner in value]
    return value


def names_in(value: t.Any) -> set[str]:
    """Return the names in braces in a member of a row."""
    if isinstance(value, str):
        return set(_PLACEHOLDER.findall(value))
    inner = value.values() if isinstance(value, t.Mapping) else value
    return {n for each in inner for n in names_in(each)} if _is_several(value) else set()


def _is_several(value: t.Any) -> bool:
    return isinstance(value, (t.Mapping, list, tuple))


def check_value(preset: str, name: str, value: t.Any, row: Row) -> str:
    """Return a variable's value as text.

    :param row: where it is to be filled in, which decides what it may be.
    :raises ConfigurationError: it is something else.
    """
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    for kind in sorted({kind for word, each in row.items() for kind in _kinds(word, each, name)}):
        pattern, meaning = _KINDS[kind]
        if not pattern.fullmatch(text):
            raise ConfigurationError(
                f"The preset {preset!r} has {name}={value!r}, which is not {meaning}.",
                row="preset-variable",
            )
    return text


def _kinds(word: str, value: t.Any, name: str) -> t.Iterator[str]:
    """Return the kinds of places in a member of a row where a variable stands."""
    if _is_several(value):
        for each in value.values() if isinstance(value, t.Mapping) else value:
            yield from _kinds(word, each, name)
    elif isinstance(value, str) and f"{{{name}}}" in value:
        authority, _, rest = value.partition("://")[2].partition("/")
        if not is_url(word):
            yield "text"
        elif f"{{{name}}}" in authority:
            yield "host" if authority == f"{{{name}}}" else "labels"
        if is_url(word) and f"{{{name}}}" in (rest if "://" in value else value):
            yield "segment"
