"""What a visitor reads of an error. The cause is in the log."""

from __future__ import annotations

import typing as t

from werkzeug.exceptions import BadRequest, Forbidden
from werkzeug.http import HTTP_STATUS_CODES

from ..protocol.errors import (
    AuthorizationError,
    IDTokenError,
    OAuth2Error,
    ProviderError,
    StoreError,
    TokenError,
)
from ..protocol.texts import gettext_noop as N_  # noqa: N812  (GNU gettext's own name)
from .translator import Translator

#: The error codes with which this extension, not the provider, refuses a sign-in.
OWN_CODES = frozenset({"invalid_state", "invalid_issuer", "invalid_request", "invalid_id_token"})

#: The title of a page and its sentence, by the status.
BY_STATUS: t.Mapping[int, tuple[str, str]] = {
    400: (N_("Signing in did not work"), N_("This request can't be answered.")),
    401: (N_("Please sign in"), N_("You have to sign in to see this page.")),
    403: (N_("Not allowed"), N_("Your account may not open this page.")),
    502: (
        N_("Not available right now"),
        N_("%(provider)s sent a response that we could not use."),
    ),
    503: (
        N_("Not available right now"),
        N_("%(provider)s is not responding. Please try again in a few minutes."),
    ),
}
#: What stands in place of a provider that has no name. It begins a sentence.
SOME_PROVIDER = N_("The sign-in service")

_CANCELLED = N_("You are not signed in, and nothing has changed.")
_UNUSABLE = N_("%(provider)s sent no answer that we could use. Please start again.")
_UNPROVEN = N_("%(provider)s sent details about you that could not be verified.")
_OTHER_ISSUER = N_("Another sign-in service answered than the one that was asked.")
#: The sentence for a refusal of the provider, which has an error code.
REFUSED = N_("%(provider)s refused the sign-in (%(code)s).")
_STORE_DOWN = N_("This site can't look up who is signed in. Please try again in a few minutes.")


class Explanation(t.NamedTuple):
    """The title of a page, its sentence, and what the provider says in words of its own."""

    title: str
    text: str
    detail: str | None = None


def explain(error: Exception, translator: Translator, provider: str | None) -> Explanation:
    """Return what a visitor reads of an error.

    :param provider: the name of the provider that the error is about, if it has one.
    """
    status = getattr(error, "code", None) or 500
    phrase = HTTP_STATUS_CODES.get(status, "")
    title, text = BY_STATUS.get(status, (phrase, phrase))
    code, detail = getattr(error, "error", None), None
    if isinstance(error, OAuth2Error):
        text = error.sentence or _find_text(error, text)
        if isinstance(error, (AuthorizationError, TokenError)) and code not in OWN_CODES:
            detail = _as_sentence(error.error_description)
        if code == "access_denied":
            title = N_("Sign-in cancelled")
    elif own_words := _own_words(error):
        # They may be the app's, with any characters.
        return Explanation(translator.gettext(title), translator.gettext(own_words))
    values = {"provider": provider or translator.gettext(SOME_PROVIDER), "code": code}
    return Explanation(translator.gettext(title), translator.gettext(text, **values), detail)


def _find_text(error: OAuth2Error, default: str) -> str:
    """Return the sentence for an error that has none of its own."""
    if isinstance(error, StoreError):
        return _STORE_DOWN
    if isinstance(error, ProviderError):
        return default
    if isinstance(error, IDTokenError):
        return _UNPROVEN
    code = getattr(error, "error", None)
    if code == "access_denied":
        return _CANCELLED
    if code == "invalid_issuer":
        return _OTHER_ISSUER
    if code in OWN_CODES:
        return _UNUSABLE
    return default if code is None else REFUSED


def _own_words(error: Exception) -> str | None:
    """Return what `abort(403, "…")` says for the visitor."""
    if isinstance(error, (BadRequest, Forbidden)) and error.description != type(error).description:
        return _as_sentence(error.description)
    return None


def _as_sentence(words: object) -> str | None:
    text = str(words or "")
    return text[0].upper() + text[1:].rstrip(".") + "." if text else None
