"""Scopes: RFC 6749, section 3.3, and how providers write them."""

from __future__ import annotations

import re
import typing as t

Scope = str | t.Iterable[str]


def split_scope(scope: Scope | None) -> list[str]:
    """Return scopes as a list, each once, in their order."""
    items = scope.split() if isinstance(scope, str) else (scope or ())
    return list(dict.fromkeys(item for item in items if item))


def split_granted(scope: str, separator: str) -> list[str]:
    """Return the scopes of a token response, separated by spaces, commas or ``separator``."""
    return split_scope(re.split(rf"[\s,{re.escape(separator)}]+", scope))


def missing_scopes(
    scopes: Scope, granted: t.Collection[str], aliases: t.Mapping[str, str]
) -> list[str]:
    """Return those scopes that were not granted.

    :param aliases: other names by which the provider grants scopes.
    """
    return [
        scope
        for scope in split_scope(scopes)
        if scope not in granted and aliases.get(scope) not in granted
    ]
