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
    r"temporar|unavailable|slow_?down|server_error|system.?(error|busy)|internal|rate.?limit"
    r"|too.?many|throttl|timed?_?out|try again|retry.*later|is_transient\W+true|dpop_",
    re.IGNORECASE,
)
# In a sentence, "application" and "timeout" may be about anything.
_CLIENT_IN_TEXT = re.compile(
    r"client.?(auth|credential|secret|id\b|not found)|\bapp(lication)?[_ ]?(id|key|secret)\b"
    r"|(invalid|unknown|incorrect|wrong|bad|disabled) (client|app(lication)?\b)",
    re.IGNORECASE,
)
_CLIENT_AUTH = re.compile(r"client.?(auth|credential|secret)", re.IGNORECASE)
_MOMENT_IN_TEXT = re.compile(
    r"temporar|unavailable|slow.?down|(server|system|internal).?error|system.?busy|rate.?limit"
    r"|too.?many|throttl|(try again|retry).*later|is_transient\W+true",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"token|grant", re.IGNORECASE)
_CODE = re.compile(r"auth(ori[sz]ation)?.?code", re.IGNORECASE)
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
#: Those members that are texts for people.
TEXTS = ("error_description", "error_message", "errmsg", "message", "msg", "detail", "title")
# The members of a refusal that are secrets. No error quotes them.
_SECRET_MEMBERS = frozenset({"access_token", "refresh_token", "id_token", "client_secret"})


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
    return said_concern(refusal) or Concern.TOKEN


def said_concern(refusal: TokenError | UnnamedRefusalError) -> Concern | None:
    """Return what a refusal says that it is about; None if it does not say it."""
    status = refusal.status_code
    if status in _MOMENT_STATUSES:
        return Concern.MOMENT
    if isinstance(refusal, UnnamedRefusalError):
        concern = _concern_of(refusal.reason, _MOMENT, _CLIENT_IN_TEXT)
    else:
        # The description counts only if the code does not say it, because the description of
        # `invalid_grant` may name the client, too.
        text = refusal.error_description or ""
        concern = _concern_of(refusal.error, _MOMENT, _CLIENT)
        concern = concern or _concern_of(text, _MOMENT_IN_TEXT, _CLIENT_IN_TEXT)
    if status in _ADDRESS_STATUSES and concern in {None, Concern.TOKEN}:
        # The text may quote the address, such as /oauth/token.
        code = refusal.error if isinstance(refusal, TokenError) else ""
        names_it = _TOKEN.search(code) or _REFRESH_TOKEN.search(refusal.message)
        return Concern.TOKEN if names_it else Concern.ADDRESS
    return concern


def names_code(refusal: UnnamedRefusalError) -> bool:
    """Return True if a refusal without an error code is about the authorization code."""
    return find_concern(refusal) is Concern.TOKEN and bool(_CODE.search(refusal.reason))


def _concern_of(text: str, moment: re.Pattern[str], client: re.Pattern[str]) -> Concern | None:
    """Return what a refusal is about, by its text; None if the text does not say it."""
    if moment.search(text):
        return Concern.MOMENT
    is_of_token = bool(_TOKEN.search(text))
    # The text may say that the refresh token was issued to another client.
    is_of_client = bool(client.search(text)) and not _REFRESH_TOKEN.search(text)
    if is_of_client and (not is_of_token or _CLIENT_AUTH.search(text)):
        return Concern.CLIENT
    return Concern.TOKEN if is_of_token else None


def find_reason(members: t.Mapping[str, t.Any], status: int) -> str | None:
    """Return why a response without ``error`` refuses, as a text; None if it does not say.

    A response with a status of success is a refusal only if its text names the token.
    """
    said = [name for name in _REASONS if name in members]
    reasons = {name: members[name] for name in said if _says_something(members[name])}
    if not reasons and 400 <= status < 500 and status not in _ADDRESS_STATUSES:
        # This provider has its own names for what it says.
        reasons = {
            name: value
            for name, value in members.items()
            if _says_something(value) and name not in _SECRET_MEMBERS
        }
    text = json.dumps(reasons, ensure_ascii=False) if reasons else None
    if text is not None and 200 <= status < 300 and not _TOKEN.search(text):
        return None
    return text


def _says_something(value: t.Any) -> bool:
    return value not in (None, "", 0, "0", [], {})
