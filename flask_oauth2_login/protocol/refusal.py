"""What a refusal of the token endpoint is about, in whatever words a provider says it.

RFC 6749, section 5.2, has a few error codes. Many providers use others, or none.
"""

from __future__ import annotations

import enum
import json
import re
import typing as t

from .errors import TokenError, UnnamedRefusalError

# Words in a refusal, in the spellings of many providers.
_CLIENT = re.compile(r"client|application\b|\bapp[_ ]?(id|key|secret)", re.IGNORECASE)
_MOMENT = re.compile(
    r"temporar|unavailable|slow_?down|server_error|internal|rate.?limit|too.?many|throttl"
    r"|timed?_?out|try again|is_transient\W+true|dpop_nonce",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"token|grant", re.IGNORECASE)
_REFRESH_TOKEN = re.compile(r"refresh\W?_?token", re.IGNORECASE)

#: Statuses that are about the moment: RFC 9110, section 15.5; RFC 8470, section 5.2.
_MOMENT_STATUSES = frozenset({408, 425, 429})
#: Statuses of an address or a kind of request that the provider does not know.
_ADDRESS_STATUSES = frozenset({404, 405, 415})

#: Members that say why, if there is no ``error``.
_REASONS = (
    "error_code", "errcode", "code", "error_message", "errmsg", "message", "msg", "title", "detail",
    "error_description", "errors", "reason",
)  # fmt: skip


class Concern(enum.Enum):
    """What a refusal is about."""

    #: The client's registration: nobody's token can be refreshed.
    CLIENT = enum.auto()
    #: The moment: the same request may succeed later.
    MOMENT = enum.auto()
    #: The address of the token endpoint.
    ADDRESS = enum.auto()
    #: The refresh token, which is not valid any more.
    TOKEN = enum.auto()


def find_concern(refusal: TokenError | UnnamedRefusalError) -> Concern:
    """Return what the refusal of a refresh is about. It is the token unless it says otherwise."""
    status = refusal.status_code
    if isinstance(refusal, UnnamedRefusalError):
        text = refusal.reason
    elif re.search("[A-Za-z]", refusal.error):
        # A description of `invalid_grant` may name the client, too.
        text = refusal.error
    else:
        text = refusal.error_description or ""
    if status in _MOMENT_STATUSES or _MOMENT.search(text):
        return Concern.MOMENT
    if _CLIENT.search(text) and not _REFRESH_TOKEN.search(text):
        return Concern.CLIENT
    if status in _ADDRESS_STATUSES and not _TOKEN.search(text):
        return Concern.ADDRESS
    return Concern.TOKEN


def find_reason(members: t.Mapping[str, t.Any]) -> str | None:
    """Return why a response without ``error`` refuses, as a text; None if it does not say."""
    reasons = {
        name: members[name]
        for name in _REASONS
        if members.get(name) not in (None, "", 0, "0", [], {})
    }
    return json.dumps(reasons, ensure_ascii=False) if reasons else None
