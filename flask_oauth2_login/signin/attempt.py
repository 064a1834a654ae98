"""`Attempt`: a sign-in that is under way at the provider, in a sealed cookie of its own."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import time
import typing as t
from hashlib import sha256

from flask import Response, after_this_request, request

from ..protocol.base64url import encode
from ..protocol.pkce import make_code_verifier
from ..protocol.urls import is_secure_url
from ..session.context import this_request
from ..session.cookies import (
    HOST_PREFIX,
    LEAST_ROOM,
    MAX_COOKIES,
    SealedCookie,
    cookie_name,
    send_cookie,
    sent_bytes,
)
from ..session.extension import current_extension
from ..session.registration import Login, Registration
from ..session.request_scope import request_scope
from ..stores.sealing import hashed_name
from ..web.next_url import safe_next
from .remembered_next import common_path, find_next, remember_next
from .unknown_attempt import (
    TOO_OLD,
    USED_BEFORE,
    UnknownAttemptError,
    explain_missing,
    not_ours,
    note_host,
    too_long,
)

#: How long (s) a person may take at the provider.
LIFETIME = 600
#: How many attempts a browser may have under way; one more deletes the oldest.
MAX_PARALLEL = 8
#: The most bytes that the cookies of all attempts may take in a request. On https they are sent
#: with every request, and servers refuse requests with more than about 8,000 bytes of cookies.
MAX_BYTES = 3000

# Bytes that each cookie adds to a Cookie header besides name and value: "=" and "; ".
_AROUND = 3
_STATE = re.compile(r"[0-9a-f]{32}")
_OF_ATTEMPT = re.compile(r"__[0-9a-f]{32}$")


@dataclasses.dataclass
class Attempt:
    """One sign-in under way."""

    #: 256 random bits: the PKCE verifier, or what it is derived from in a login with a DPoP key.
    #: State and nonce are derived from it.
    code_verifier: str = dataclasses.field(repr=False)
    #: The page to go to after the sign-in; None for the default.
    next: str | None
    scopes: list[str]
    #: Further parameters of the authorization request: ``max_age``, ``prompt``, …
    requested: dict[str, t.Any]
    #: The owner key of the person who adds an account; None for a sign-in.
    link_owner: str | None
    #: Both requests must send the same one: RFC 6749, section 4.1.3.
    redirect_uri: str
    #: One more than the highest number among the browser's attempts when this one began. A time
    #: would not order attempts that begin within the same tick of the clock.
    number: int
    #: How often its code could not be sent. Each of these tries has a cookie of its own.
    failed_tries: int = 0
    #: When its cookie was made, in Unix seconds; 0 before that.
    begun_at: int = dataclasses.field(default=0, init=False)

    @functools.cached_property
    def state(self) -> str:
        """128 bits in characters that every provider accepts. They don't reveal the verifier."""
        return sha256(f"state:{self.code_verifier}".encode()).hexdigest()[:32]

    @property
    def nonce(self) -> str:
        return encode(sha256(f"nonce:{self.code_verifier}".encode()).digest())


_FIELDS = tuple(field.name for field in dataclasses.fields(Attempt) if field.init)


def begin_attempt(
    registration: Registration,
    next: str | None,
    scopes: list[str],
    requested: t.Mapping[str, t.Any],
    link_owner: str | None,
    redirect_uri: str,
) -> Attempt:
    """Make an attempt, and send its cookie with the response to this request.

    :raises AuthorizationError: the attempt is too large for a cookie.
    """
    note_host(registration, redirect_uri)
    under_way = _find_attempts(registration)
    attempt = Attempt(
        code_verifier=make_code_verifier(),
        next=next,
        scopes=scopes,
        requested=dict(requested),
        link_owner=link_owner,
        redirect_uri=redirect_uri,
        number=1 + max((number for number, _ in under_way), default=0),
    )
    cookie = _make_cookie(registration, attempt)
    # A large record in cookies leaves less room.
    rest = this_request().cookies.keys() - {former.name for _, former in under_way}
    most = min(MAX_BYTES, max(LEAST_ROOM, MAX_COOKIES - sent_bytes(rest)))
    if _size(cookie) > most:
        # `next` is optional, so it goes first.
        attempt.next = None
        cookie = _make_cookie(registration, attempt)
    if _size(cookie) > most:
        raise too_long()
    surplus = _find_surplus(under_way, most - _size(cookie))
    kept = [former for _, former in under_way if former not in surplus]
    room = most - _size(cookie) - sum(map(_size_of_sent, kept)) - _AROUND
    send_pages = remember_next(registration, attempt.state, attempt.next, room)

    @after_this_request
    def send(response: Response) -> Response:
        for oldest in surplus:
            oldest.delete(response)
        send_cookie(response, cookie)
        send_pages(response)
        return response

    return attempt


def find_attempt(registration: Registration, state: str | None) -> Attempt:
    """Return this browser's attempt with a ``state``.

    The page that the attempt was begun for is noted in the request's scope, also if the attempt is
    too old or its cookie is gone.

    :raises UnknownAttemptError: there is none.
    """
    attempt, binding = _open(registration, _cookie(registration, state or ""), state or "")
    if attempt is not None and binding == _binding(registration):
        is_linking = attempt.link_owner is not None
        request_scope().take_up_attempt(safe_next(attempt.next), is_linking=is_linking)
        return attempt
    if not state or not _STATE.fullmatch(state):
        raise not_ours("its state is missing, or is not one of this app's")
    request_scope().take_up_attempt(safe_next(find_next(registration, state)), is_linking=False)
    raise _explain_missing(registration, state)


def _explain_missing(registration: Registration, state: str) -> UnknownAttemptError:
    """Return an error that says why there is no valid attempt with a well-formed ``state``."""
    cookie = _cookie(registration, state)
    dated = cookie.read_dated()
    if dated is not None:
        former, binding = _read_values(registration, dated[1])
        if binding != _binding(registration):
            return not_ours("it was begun at another tenant, or at another provider of this tenant")
        if former is not None and former.state == state:
            is_linking = former.link_owner is not None
            request_scope().take_up_attempt(safe_next(former.next), is_linking=is_linking)
            age = time.time() - dated[0]
            return UnknownAttemptError(
                "it was begun more than ten minutes ago; start again",
                f"its cookie is {age:.0f} seconds old, and at most {LIFETIME} are accepted",
                TOO_OLD,
            )
    return explain_missing(registration, cookie)


def use_attempt(registration: Registration, attempt: Attempt) -> None:
    """Use an attempt up: delete its cookie, and accept no copy of it. RFC 6749, section 10.12.

    :raises AuthorizationError: it was used before.
    """
    # If the store fails, the attempt's cookie stays, so that the browser can try again.
    name = f"{attempt.state}:{attempt.failed_tries}" if attempt.failed_tries else attempt.state
    is_first = registration.shared_store.once(hashed_name("state", name), LIFETIME + 60)
    cookie = _cookie(registration, attempt.state)

    @after_this_request
    def send(response: Response) -> Response:
        if request_scope().is_code_unused:
            # Its age still counts from its beginning, and not from this request.
            send_cookie(response, _make_cookie(registration, attempt, attempt.begun_at))
        else:
            cookie.delete(response)
        return response

    if not is_first:
        raise UnknownAttemptError(
            "it was used before; start again", "its state has been used already", USED_BEFORE
        )


def give_back(attempt: Attempt) -> None:
    """Let an attempt be used once more, because its code was not sent.

    A copy of the former cookie stays used, so the code is sent once at most.
    """
    attempt.failed_tries += 1
    request_scope().is_code_unused = True


def answers_by_form(registration: Registration) -> bool:
    """Return True if the provider of this login answers with ``response_mode=form_post``."""
    handler, options = registration.handler, registration.options
    default = handler.authorize_params.get("response_mode")
    requested = options.authorize_params.get("response_mode", default)
    modes = (handler.response_mode, requested)
    return not {"form_post", "form_post.jwt"}.isdisjoint(modes)


def attempts_come_by_post() -> bool:
    """Return True if browsers can send an attempt's cookie with a POST from another site.

    Such a cookie must be Secure, and browsers accept those only on https and from this machine.
    """
    return is_secure_url(request.host_url)


def _open(
    login: Login, cookie: SealedCookie, state: str
) -> tuple[Attempt, str] | tuple[None, None]:
    """Return an attempt of a login, and the `_binding` that it was begun with."""
    dated = cookie.read_dated() if _STATE.fullmatch(state) else None
    if dated is None or not cookie.is_valid(dated[0]):
        return None, None
    attempt, binding = _read_values(login, dated[1])
    # A cookie under the name of another state was not set by us.
    if attempt is None or attempt.state != state:
        return None, None
    attempt.begun_at = dated[0]
    return attempt, binding


def _read_values(login: Login, values: list[t.Any]) -> tuple[Attempt | None, str]:
    """Return the attempt that has the values of a cookie, and the `_binding` in front of them."""
    has_tenants = not isinstance(login, Registration) or bool(login.tenant)
    binding, *values = values if has_tenants and values else ["", *values]
    try:
        return Attempt(*values), binding
    except TypeError:
        return None, binding


def _binding(registration: Registration) -> str:
    """Return what binds an attempt to its tenant, and to the provider and client of that tenant.

    All tenants can open an attempt, to count those under way, and only one can finish it. Without
    tenants it is empty, because then the attempt is sealed for its provider and client.
    """
    if not registration.tenant:
        return ""
    return hashed_name("tenant", json.dumps(registration.context))[:22]


def _find_attempts(registration: Registration) -> list[tuple[int, SealedCookie]]:
    """Return number and cookie of each attempt that a new one may delete, newest first.

    A cookie that can't be opened is left out: it may belong to another app. What was opened is
    cached, because a browser sends the cookies of all its attempts to each ``/login``.
    """
    request = this_request()
    if not any(map(_OF_ATTEMPT.search, request.cookies)):
        return []
    # On https the cookies are sent to every page, so the attempts of all logins count together.
    logins = current_extension().logins.values() if request.is_secure else [registration]
    found = []
    for each in logins:
        any_cookie = _cookie(each, "")
        for name in request.cookies:
            if name.startswith(any_cookie.name):
                cookie = any_cookie._replace(name=name)
                known = cookie.read_cached(functools.partial(_summarize, each))
                if known and name == any_cookie.name + known[1] and cookie.is_valid(known[0]):
                    found.append((known[2], cookie))
    return sorted(found, key=lambda pair: pair[0], reverse=True)


def _summarize(login: Login, made_at: int, values: list[t.Any]) -> tuple[int, str, int] | None:
    """Return when an attempt's cookie was made, and its state and its number."""
    attempt, _ = _read_values(login, values)
    return None if attempt is None else (made_at, attempt.state, attempt.number)


def _find_surplus(under_way: list[tuple[int, SealedCookie]], room: int) -> list[SealedCookie]:
    """Return the cookies of the oldest attempts for which a new one leaves no room.

    :param under_way: the attempts, newest first.
    :param room: bytes that the cookies of the other attempts may take.
    """
    surplus = []
    for count, (_, cookie) in enumerate(under_way, 2):
        room -= _size_of_sent(cookie)
        if count > MAX_PARALLEL or room < 0:
            surplus.append(cookie)
    return surplus


def _make_cookie(
    registration: Registration, attempt: Attempt, made_at: int | None = None
) -> dict[str, t.Any]:
    values = [getattr(attempt, name) for name in _FIELDS]
    if not attempt.failed_tries:
        values.pop()
    if registration.tenant:
        values.insert(0, _binding(registration))
    return _cookie(registration, attempt.state).make(values, made_at)


def _size(cookie: t.Mapping[str, t.Any]) -> int:
    return len(cookie["key"]) + len(cookie["value"]) + _AROUND


def _size_of_sent(cookie: SealedCookie) -> int:
    return len(cookie.name) + len(request.cookies[cookie.name]) + _AROUND


def _cookie(login: Login, state: str) -> SealedCookie:
    """Return the cookie of an attempt. Its name contains the ``state``.

    On https the name begins with ``__Host-``, so that no other host can set such a cookie
    (RFC 6265bis, section 4.1.3.2). The prefix requires the path "/".
    """
    is_secure = this_request().is_secure
    name = f"{cookie_name(login.name)}__{state}"
    by_form = isinstance(login, Registration) and answers_by_form(login)
    return SealedCookie(
        sealer=login.sealer,
        purpose="attempt",
        context=login.attempt_context,
        name=f"{HOST_PREFIX}{name}" if is_secure else name,
        path="/" if is_secure else common_path(login),
        lifetime=LIFETIME,
        samesite="None" if by_form and attempts_come_by_post() else "Lax",
    )
