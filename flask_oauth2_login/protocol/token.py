"""The token response: RFC 6749, sections 5.1 and 5.2, as real providers write it."""

from __future__ import annotations

import json
import re
import time
import typing as t
from urllib.parse import parse_qsl, quote, quote_plus

from .errors import ProviderAnswerError, TokenError, UnnamedRefusalError
from .http import Response
from .json_input import names_of, parse_json, to_one_line
from .refusal import TEXTS, find_reason
from .token_lifetime import set_expiry

if t.TYPE_CHECKING:
    from .dpop import DPoPKey
    from .identity import Identity
    from .roles import FoundRoles

# RFC 6749, appendix A.12: printable ASCII. Anything else could not be sent in a header.
_ACCESS_TOKEN = re.compile(r"[\x20-\x7e]+")
_FORM = re.compile(rb"[A-Za-z0-9_.-]+=[^\s<>]*")
_SECRET_MEMBERS = frozenset({"access_token", "refresh_token", "id_token"})


class Token(dict[str, t.Any]):
    """A token response as a dictionary: RFC 6749, section 5.1.

    ``token["access_token"]`` and ``token["token_type"]`` are always present. The access token is
    ``""`` if an OpenID Provider sent an ID token alone. ``expires_at`` (Unix
    seconds) and ``expires_in`` (seconds) are if the provider says how long the token is valid.
    ``scope`` is the string of granted scopes, if the provider sends it. Other members are kept as
    the provider sends them.

    The ``repr()`` of a token shows no secrets.
    """

    #: Who signed in according to the validated ID token. :meth:`OpenIDConnect.get_token` sets it.
    identity: Identity | None = None
    #: The claims of the validated ID token. :meth:`OpenIDConnect.get_token` sets them.
    id_claims: dict[str, t.Any] | None = None
    #: The roles in what the provider says of the person, where they were looked for.
    found_roles: FoundRoles | None = None
    #: What UserInfo says of the person by now, if it was asked again.
    userinfo: t.Mapping[str, t.Any] | None = None
    #: True if all that was to be asked of the person was answered.
    is_confirmed: bool = True
    #: False if the access token's claims could not be checked, because the keys can't be fetched.
    is_checked: bool = True
    #: True if a refresh brought a new refresh token only. The access token is then the former one.
    lacks_access_token: bool = False
    #: The login's key that the tokens are bound to (RFC 9449); None if they are bound to none, or
    #: to the client's own key.
    dpop_key: DPoPKey | None = None

    def __init__(self, members: t.Any = (), /, **more: t.Any) -> None:
        super().__init__(members, **more)
        if isinstance(members, Token) and members.dpop_key is not None:
            self.dpop_key = members.dpop_key

    @property
    def access_token(self) -> str:
        """The access token."""
        return t.cast(str, self["access_token"])

    @property
    def refresh_token(self) -> str | None:
        """The refresh token, or None."""
        return self.get("refresh_token")

    @property
    def expires_at(self) -> float | None:
        """When the access token expires, in Unix seconds; None if that is not known."""
        return self.get("expires_at")

    @property
    def is_dpop(self) -> bool:
        """True if the access token is sent with a proof for each request: RFC 9449, section 7.1."""
        token_type = self.get("token_type", "Bearer")
        return token_type != "Bearer" and str(token_type).strip().lower() == "dpop"

    def expires_within(self, seconds: float) -> bool:
        """Return True if the access token has expired, or expires within this many seconds.

        It is False if the provider does not say when the token expires.
        """
        return self.expires_at is not None and self.expires_at - time.time() <= seconds

    def copy(self) -> Token:
        """Return a Token copy (dict.copy would lose the masking repr)."""
        return Token(self)

    def __or__(self, other: t.Any) -> Token:  # type: ignore[override]
        joined = Token({**self, **other})
        joined.dpop_key = self.dpop_key
        return joined

    def __ror__(self, other: t.Any) -> Token:  # type: ignore[override]
        joined = Token({**other, **self})
        joined.dpop_key = self.dpop_key
        return joined

    def __repr__(self) -> str:
        shown = (
            f"{name}={'...' if name in _SECRET_MEMBERS else repr(value)}"
            for name, value in self.items()
            if name in _SECRET_MEMBERS | {"token_type", "scope", "expires_in", "expires_at"}
        )
        return f"<Token {' '.join(shown)}>"

    __str__ = __repr__


def read_token(
    response: Response,
    *,
    token_path: str | None = None,
    names: t.Mapping[str, str] | None = None,
    token_types: t.Collection[str] = ("bearer",),
    secrets: t.Iterable[str] = (),
    former: Token | None = None,
    id_token_suffices: bool = False,
) -> Token | None:
    """Return the token of a token response, or None if it is a success without content.

    :param token_path: the dotted path of the object that holds the token, if it is nested.
    :param names: the provider's names for members of that object.
    :param token_types: the accepted token types, in lower case.
    :param secrets: secrets of the request. They are removed from an error that quotes them.
    :param former: the token that is refreshed. A response with a new refresh token and no access
        token leaves its access token in place, because the old refresh token may be used up.
    :param id_token_suffices: accept a response with an ID token and no access token.
    :raises TokenError: the provider refused (RFC 6749, section 5.2).
    :raises ProviderUnavailableError: the provider says that it can't answer now (5xx, 429).
    :raises UnnamedRefusalError: the provider refused, without an error code.
    :raises ProviderAnswerError: the response is neither a token nor a refusal.
    """
    secrets = list(secrets)
    response.require_in_order("The token endpoint")
    if not response.body.strip() and 200 <= response.status < 300:
        return None
    members = read_object(response)
    if members is None:
        raise ProviderAnswerError(
            f"The token endpoint answered with {response.outcome} and neither JSON"
            " nor a form: is token_url right?"
        )
    if refusal := find_refusal(members, response.status, secrets):
        raise refusal
    reason = find_reason(members, response.status)
    if reason and 400 <= response.status < 500:
        raise _unnamed_refusal(reason, response.status, secrets)
    if not 200 <= response.status < 300:
        raise ProviderAnswerError(
            f"The token endpoint answered with {response.outcome} and no error code:"
            " is token_url right?"
        )
    for step in token_path.split(".") if token_path else ():
        if former is not None and step not in members and _is_usable(members):
            # Slack nests the token of a sign-in, and not that of a refresh.
            break
        inner = members.get(step)
        members = inner if isinstance(inner, dict) else {}
    if names:
        ours = {own: name for name, own in names.items()}
        members = {ours.get(name, name): value for name, value in members.items()}
    only_refreshed = _is_text(members.get("refresh_token")) and not _is_usable(members)
    if only_refreshed and former is not None and _is_usable(former):
        return _keep_access_token(members, former)
    if id_token_suffices and members.get("access_token") is None and members.get("id_token"):
        lifetimes = ("expires_in", "expires", "expires_at", "token_type")
        rest = {name: value for name, value in members.items() if name not in lifetimes}
        token = _make_token({**rest, "access_token": "none"}, token_types)
        token["access_token"] = ""
        return token
    if reason and not _is_usable(members):
        raise _unnamed_refusal(reason, response.status, secrets)
    return _make_token(members, token_types)


def _unnamed_refusal(reason: str, status: int, secrets: t.Iterable[str]) -> UnnamedRefusalError:
    reason = to_one_line(redact(reason, secrets)[:500])
    return UnnamedRefusalError(
        f"The token endpoint answered with status {status}, no error code, and {reason}: is"
        " token_url right?",
        reason,
        status,
    )


def read_object(response: Response) -> dict[str, t.Any] | None:
    """Return the members of a JSON object or of a form. The Content-Type does not count."""
    members = response.json_object()
    body = response.body.strip()
    if members is None and _FORM.fullmatch(body):
        # RFC 6749, section 3.2, forbids repeated parameters. The first one counts.
        pairs = parse_qsl(body.decode("ascii", "replace"), keep_blank_values=True)
        members = dict(reversed(pairs))
    return members


def find_refusal(
    members: t.Mapping[str, t.Any], status: int | None, secrets: t.Iterable[str]
) -> TokenError | None:
    """Return the refusal in a response, or None: RFC 6749, section 5.2.

    Some providers send a refusal with status 200.

    :param members: the response's members.
    :param status: its HTTP status.
    :param secrets: secrets of the request. They are removed from what the error quotes.
    """
    error = members.get("error")
    description = next((members[name] for name in TEXTS if members.get(name)), None)
    if isinstance(error, dict):
        # Facebook sends {"error": {"type": …, "message": …, "code": …, "is_transient": true}}.
        description = error.get("message")
        if error.get("is_transient") is True:
            description = f"{description} is_transient: true"
        error = error.get("type") or error.get("code") or "invalid_request"
    if not error and "access_token" not in members and members.get("errcode"):
        # WeChat sends {"errcode": 40030, "errmsg": …}, with status 200.
        error = members["errcode"]
    if not error:
        return None
    secrets = [secret for secret in secrets if secret]
    return TokenError(
        redact(str(error), secrets)[:100],
        redact(description, secrets)[:500] if isinstance(description, str) else None,
        status,
    )


def fill_in(newer: Token, token: Token) -> Token:
    """Add to a refreshed token what the provider does not repeat, such as ``scope``.

    :param newer: the refreshed token. It is changed, and returned.
    :param token: the token that was refreshed.
    """
    # What the old token says of its lifetime and of the sign-in is not true of the new one.
    for name, value in token.items():
        if name not in {"expires_in", "expires_at", "id_token"}:
            newer.setdefault(name, value)
    return newer


def _make_token(members: dict[str, t.Any], token_types: t.Collection[str]) -> Token:
    if not _is_usable(members):
        raise ProviderAnswerError(
            "The token endpoint answered without a usable access_token: the response has"
            f" {names_of(members)}. If one of them holds the token, set token_path to its name.",
            row="token-answer",
        )
    token_type = members.get("token_type")
    token_type = "Bearer" if token_type is None else token_type
    if not isinstance(token_type, str) or token_type.strip().lower() not in token_types:
        is_text = isinstance(token_type, str)
        came = (
            to_one_line(repr(token_type))[:100]
            if is_text
            else f"of type {type(token_type).__name__}"
        )
        is_bound = is_text and token_type.strip().lower() == "dpop"
        advice = (
            "Such a token is bound to a key: give the handler dpop=True."
            if is_bound
            else "If it is used as a Bearer token is, accept it by the option token_types=[…]."
        )
        raise ProviderAnswerError(
            f"The token endpoint answered with token_type {came}, which is not one of"
            f" {', '.join(sorted(token_types))}. {advice}",
            row="token-answer",
        )
    token = Token(members, token_type=token_type)
    for name in ("refresh_token", "id_token"):
        if name in token and not _is_text(token[name]):
            del token[name]
    details = token.pop("authorization_details", None)
    # In a response that is a form, it is JSON: RFC 9396, section 7.
    details = parse_json(details.encode()) if isinstance(details, str) else details
    if isinstance(details, list) and all(isinstance(detail, dict) for detail in details):
        token["authorization_details"] = details
    scope = token.pop("scope", None)
    if isinstance(scope, list) and all(isinstance(item, str) for item in scope):
        scope = " ".join(scope)
    if isinstance(scope, str):
        token["scope"] = scope
    set_expiry(token)
    return token


def _keep_access_token(members: dict[str, t.Any], former: Token) -> Token:
    """Return the token of a response that has a new refresh token only."""
    kept = {"access_token": former.access_token, "token_type": former.get("token_type", "Bearer")}
    token = _make_token({**members, **kept}, {kept["token_type"].lower()})
    for name in ("expires_in", "expires_at"):
        token.pop(name, None)
        if name in former:
            token[name] = former[name]
    token.lacks_access_token = True
    return token


def _is_usable(members: t.Mapping[str, t.Any]) -> bool:
    access_token = members.get("access_token")
    return isinstance(access_token, str) and bool(_ACCESS_TOKEN.fullmatch(access_token))


def _is_text(value: t.Any) -> bool:
    return isinstance(value, str) and bool(value)


def redact(text: str, secrets: t.Iterable[str]) -> str:
    """Remove secrets from a text, also as a form or JSON encodes them."""
    spellings = {
        spelling
        for secret in secrets
        if secret
        for spelling in (
            secret,
            quote(secret, safe=""),
            quote_plus(secret),
            json.dumps(secret)[1:-1],
        )
    }
    for spelling in sorted(spellings, key=len, reverse=True):
        text = text.replace(spelling, "***")
    return text
