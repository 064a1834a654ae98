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

#: The error code of a server that demands a nonce in the proof: RFC 9449, sections 8 and 9.
USE_NONCE = "use_dpop_nonce"

#: Error codes that are not about the token: RFC 6750, section 3.1; RFC 9470, section 3; RFC 9449,
#: section 7.1.
_NOT_THE_TOKEN = frozenset({
    "invalid_request", "insufficient_scope", "insufficient_user_authentication",
    "invalid_dpop_proof", USE_NONCE,
})  # fmt: skip


def find_challenge(header: str, *schemes: str) -> dict[str, str] | None:
    """Return the parameters of a challenge: RFC 6750, section 3; RFC 9449, section 7.1.

    :param schemes: the schemes to look for, in lower case. Of several challenges, the first counts
        that has an error code.
    :returns: the parameters, with names in lower case; None if there is no such challenge.
    """
    found: list[dict[str, str]] = []
    scheme = ""
    for match in _CHALLENGE.finditer(header):
        quoted, bare = match["quoted"], match["bare"]
        if quoted is None and bare is None:
            scheme = match["name"].lower()
            if scheme in schemes:
                found.append({})
        elif scheme in schemes:
            value = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            found[-1].setdefault(match["name"].lower(), value)
    return next((each for each in found if "error" in each), found[0] if found else None)


def demands_nonce(header: str) -> bool:
    """Return True if a challenge demands a nonce in the proof of a request: RFC 9449, section 9."""
    return (find_challenge(header, "dpop") or {}).get("error") == USE_NONCE


def step_up(challenge: t.Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of a sign-in that would satisfy the API: RFC 9470, section 3."""
    params = {name: challenge[name] for name in ("acr_values", "max_age") if challenge.get(name)}
    if not re.fullmatch("[0-9]{1,9}", params.get("max_age", "0")):
        del params["max_age"]
    return params


def may_be_invalid_token(challenge: t.Mapping[str, str] | None) -> bool:
    """Return True if a 401 may mean that the token is invalid or has expired.

    RFC 6750, section 3.1, has ``invalid_token`` for that. Some APIs have an error code of their
    own, a challenge of another scheme, or none, and give the reason in the body.

    :param challenge: the challenge of the response that is about the token, or None if it has none.
    """
    if challenge is None:
        return True
    return challenge.get("error", "invalid_request") not in _NOT_THE_TOKEN
