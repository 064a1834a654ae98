"""Challenges, in which an API says what is wrong with a token: RFC 6750, section 3; RFC 9470."""

from __future__ import annotations

import re
import typing as t

# A parameter of a challenge, or its scheme: RFC 9110, section 11.6.1.
_CHALLENGE = re.compile(
    r"""(?P<name>[\w!#$%&'*+.^`|~-]+)
    (?:\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s,"]+)))?""",
    re.VERBOSE,
)


def bearer_challenge(header: str) -> dict[str, str]:
    """Return the parameters of a Bearer challenge (RFC 6750, section 3), names in lower case."""
    params: dict[str, str] = {}
    scheme = ""
    for match in _CHALLENGE.finditer(header):
        quoted, bare = match["quoted"], match["bare"]
        if quoted is None and bare is None:
            scheme = match["name"].lower()
        elif scheme == "bearer":
            value = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            params.setdefault(match["name"].lower(), value)
    return params


def step_up(challenge: t.Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of a sign-in that would satisfy the API: RFC 9470, section 3."""
    params = {name: challenge[name] for name in ("acr_values", "max_age") if challenge.get(name)}
    if not re.fullmatch("[0-9]{1,9}", params.get("max_age", "0")):
        del params["max_age"]
    return params


def is_invalid_token(challenge: t.Mapping[str, str]) -> bool:
    """Return True if the API calls the token invalid or expired: RFC 6750, section 3.1."""
    return challenge.get("error") == "invalid_token"
