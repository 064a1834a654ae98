"""An attempt: a sign-in that is under way at the provider, in a sealed cookie of its own."""

from __future__ import annotations

import dataclasses
import re
import secrets
import time
import typing as t
from hashlib import sha256

from flask import Response
from flask import after_this_request
from flask import request

from ..protocol.base64url import encode
from ..protocol.errors import AuthorizationError
from ..protocol.pkce import make_code_verifier
from ..stores.cookie import brief_cookie
from ..stores.cookie import cookie_name
from ..stores.cookie import fits
from ..stores.sealing import hashed_name
from .extension import Login
from .extension import current_extension

#: Seconds in which a person must be back from the provider.
LIFETIME = 600
#: Attempts that a browser may have under way at one login; more than that are forgotten.
MAX_PARALLEL = 8

_STATE = re.compile(r"[0-9a-f]{32}")


@dataclasses.dataclass
class Attempt:
    """One sign-in under way."""

    #: 128 random bits, in characters that every provider takes.
    state: str
    #: The PKCE verifier. The nonce is made of it.
    code_verifier: str = dataclasses.field(repr=False)
    #: Where to go then; None for the default.
    next: str | None
    scopes: list[str]
    #: What else is asked of the provider: ``max_age``, ``prompt``, …
    asked: dict[str, t.Any]
    #: The app's key for the person who adds an account to his own; None for a sign-in.
    link_owner: str | None
    #: The same string in both requests: RFC 6749, section 4.1.3.
    redirect_uri: str
    #: Unix seconds, finely enough to tell which of two is the newer.
    began_at: float

    @property
    def nonce(self) -> str:
        return encode(sha256(f"nonce:{self.code_verifier}".encode()).digest())


def begin_attempt(
    login: Login,
    next: str | None,
    scopes: list[str],
    asked: t.Mapping[str, t.Any],
    link_owner: str | None,
    redirect_uri: str,
) -> Attempt:
    """Make an attempt, and send it along in a cookie with this request's answer.

    :raises AuthorizationError: what it was begun with has no room there.
    """
    attempt = Attempt(
        state=secrets.token_hex(16),
        code_verifier=make_code_verifier(),
        next=next,
        scopes=scopes,
        asked=dict(asked),
        link_owner=link_owner,
        redirect_uri=redirect_uri,
        began_at=round(time.time(), 3),
    )
    if not fits(cookie := _cookie(login, attempt)):
        # Where to go then, one can do without.
        attempt.next = None
        if not fits(cookie := _cookie(login, attempt)):
            raise AuthorizationError("invalid_request", "the link to it is too long")
    older = _attempts(login)

    @after_this_request
    def send(response: Response) -> Response:
        for state in older:
            response.delete_cookie(_name(login, state), **brief_cookie(_path()))
        response.set_cookie(**cookie)
        return response

    return attempt


def _cookie(login: Login, attempt: Attempt) -> dict[str, t.Any]:
    values = [getattr(attempt, field.name) for field in dataclasses.fields(Attempt)]
    return {
        "key": _name(login, attempt.state),
        "value": current_extension().sealer.seal(values, "attempt", *login.context),
        "max_age": LIFETIME,
        **brief_cookie(_path()),
    }


def find_attempt(login: Login, state: str | None) -> Attempt:
    """The attempt of this browser that a ``state`` names.

    :raises AuthorizationError: there is none.
    """
    attempt = _open(login, state) if state else None
    if attempt is None:
        raise AuthorizationError(
            "invalid_state",
            "it was begun in another browser, or more than ten minutes ago; start again",
        )
    return attempt


def use_attempt(login: Login, attempt: Attempt) -> None:
    """Use an attempt up (RFC 6749, section 10.12): its cookie goes, and no copy counts any more.

    :raises AuthorizationError: it was used before.
    """

    @after_this_request
    def send(response: Response) -> Response:
        response.delete_cookie(_name(login, attempt.state), **brief_cookie(_path()))
        return response

    if not login.shared.once(hashed_name("state", attempt.state), LIFETIME + 60):
        raise AuthorizationError("invalid_state", "it was used before; start again")


def _open(login: Login, state: str) -> Attempt | None:
    if not _STATE.fullmatch(state):
        return None
    sealed = request.cookies.get(_name(login, state))
    values = current_extension().sealer.open(sealed, "attempt", *login.context)
    try:
        attempt = Attempt(*values)
    except TypeError:
        return None
    if attempt.state != state:
        return None
    return attempt if 0 <= time.time() + 60 - attempt.began_at <= LIFETIME + 60 else None


def _attempts(login: Login) -> list[str]:
    """The states of attempts that there is no more room for, dead ones among them."""
    prefix = _name(login, "")
    states = [
        name.removeprefix(prefix)
        for name in request.cookies
        if name.startswith(prefix) and _STATE.fullmatch(name, len(prefix))
    ]
    alive = [attempt for state in states if (attempt := _open(login, state))]
    alive.sort(key=lambda attempt: attempt.began_at, reverse=True)
    kept = {attempt.state for attempt in alive[: MAX_PARALLEL - 1]}
    return [state for state in states if state not in kept]


def _name(login: Login, state: str) -> str:
    return f"{cookie_name(login.name)}__{state}"


def _path() -> str:
    """What ``/login`` and ``/callback`` have in common."""
    return (request.script_root + request.path).rpartition("/")[0] or "/"
