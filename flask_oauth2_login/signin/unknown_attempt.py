"""Why a browser comes back with a `state` that is of none of its attempts."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import request

from ..protocol.errors import AuthorizationError
from ..protocol.json_input import to_one_line
from ..protocol.texts import gettext_noop as N_  # noqa: N812  (GNU gettext's own name)
from ..session.context import this_request
from ..session.cookies import HOST_PREFIX, SealedCookie
from ..session.extension import current_extension
from ..session.registration import Registration
from ..web.user_agent import own_origin

#: What visitors read.
NOT_OURS = N_("This answer does not belong to a sign-in that was begun here. Please try again.")
USED_BEFORE = N_("This answer was used before. Please try again.")
TOO_OLD = N_("Your sign-in took longer than ten minutes. Please try again.")
NOT_AS_BEFORE = N_("You are not signed in any more as you were when you began. Please start again.")
_TOO_LONG = N_("The link to this sign-in is too long.")
_AT_ANOTHER_ADDRESS = N_(
    "Your sign-in was begun at another address of this site. Please try again."
)
_UNREADABLE = N_(
    "This site could not read what it remembered of your sign-in. Please try again. If that happens"
    " again, please tell the people who run this site."
)
_UNKNOWN = N_(
    "Your sign-in took longer than ten minutes, or was started in another browser or at another"
    " address. Please try again."
)


class UnknownAttemptError(AuthorizationError):
    """An authorization response belongs to no attempt of this browser.

    :param error_description: what happened to the sign-in.
    :param reason: why that is so, for the developer. Only the error's text has it.
    :param sentence: what a visitor may read.
    """

    def __init__(self, error_description: str, reason: str, sentence: str) -> None:
        super().__init__("invalid_state", error_description, sentence=sentence)
        self.args = (f"{self.args[0]}: {reason}.",)


def not_ours(reason: str) -> UnknownAttemptError:
    """Return the error for a response to a sign-in that was not begun here."""
    answer = "the answer does not belong to a sign-in here; start again"
    return UnknownAttemptError(answer, reason, NOT_OURS)


def too_long() -> AuthorizationError:
    """Return the error for a link whose attempt does not fit into a cookie."""
    reason = "the link to it is too long"
    return AuthorizationError("invalid_request", reason, sentence=_TOO_LONG)


def note_host(registration: Registration, redirect_uri: str) -> None:
    """Note where this attempt begins, if the browser can't send its cookie to the redirect URI."""
    begun_elsewhere = current_extension().begun_elsewhere
    begun_elsewhere.pop(registration.name, None)
    request = this_request()
    if redirect_uri.startswith(f"{own_origin(request)}/"):
        return
    if urlsplit(redirect_uri).hostname != urlsplit(request.host_url).hostname:
        begun_elsewhere[registration.name] = to_one_line(request.host)[:260]


def explain_missing(registration: Registration, cookie: SealedCookie) -> UnknownAttemptError:
    """Return an error that says why an attempt's cookie did not come, or does not open."""
    if cookie.name in request.cookies:
        return UnknownAttemptError(
            "this site can't read the cookie that it set at the beginning; start again",
            "a cookie of its state came, and does not open. Is SECRET_KEY the same in every worker"
            " and after a restart? os.urandom() in the app's code makes another key at each start",
            _UNREADABLE,
        )
    if cookie.name.removeprefix(HOST_PREFIX) in request.cookies:
        return UnknownAttemptError(
            "it was begun at another address of this site; start again",
            "its cookie was set on http, and the answer came on https. Redirect visitors to https,"
            " or use werkzeug's ProxyFix if a proxy ends TLS",
            _AT_ANOTHER_ADDRESS,
        )
    begun_at = current_extension().begun_elsewhere.get(registration.name)
    here = to_one_line(request.host)
    if begun_at is not None and begun_at != here:
        return UnknownAttemptError(
            "it was begun at another address of this site; start again",
            f"no cookie of its state came. A sign-in was begun at {begun_at!r}, and the redirect"
            f" URI leads to {here!r}, where the browser does not send the cookie: use one of them"
            " for both",
            _AT_ANOTHER_ADDRESS,
        )
    return UnknownAttemptError(
        "it was begun in another browser, or more than ten minutes ago; start again",
        f"no cookie of its state came to {here!r}: it was begun in another browser, at another host"
        " name or more than ten minutes ago, or it was answered before, or the browser blocks"
        " cookies",
        _UNKNOWN,
    )
