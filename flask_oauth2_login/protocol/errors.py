"""The errors that this extension raises.

Errors that can end a request are HTTP exceptions as well, so that a view may leave them unhandled.
No text, attribute or chained exception of an error contains a token, a code or a secret.
"""

from __future__ import annotations

import typing as t
from datetime import datetime

from werkzeug.exceptions import BadGateway, BadRequest, HTTPException, ServiceUnavailable

from .json_input import to_one_line

#: The page with a row for each error that a developer can meet: ``docs/errors.md``.
ERRORS_PAGE = "https://github.com/flask-oauth2-login/flask-oauth2-login/blob/main/docs/errors.md"


def address_of(row: str) -> str:
    """Return the address of a row of :data:`ERRORS_PAGE`."""
    return f"{ERRORS_PAGE}#{row}"


def see(row: str) -> str:
    """Return the sentence that ends the text of an error, or a line of the log, for developers."""
    return f"See {address_of(row)}"


class OAuth2Error(Exception):
    """The base class of every error that this extension raises."""

    #: What a visitor may read of it, in English. Without it, a page says what it says of the class.
    sentence: str | None = None
    #: The row of ``docs/errors.md`` that is about it, whose address ends the text.
    row: str | None = None

    @property
    def message(self) -> str:
        """The text without the address of the row."""
        return str(self.args[0]) if self.args else type(self).__name__

    def __str__(self) -> str:
        return self.with_hint("")

    def with_hint(self, hint: str) -> str:
        """Return the text with more sentences before the address."""
        more = f"{hint} {see(self.row)}" if self.row else hint
        is_sentence = self.message.rstrip(")'\"").endswith((".", "?", "!"))
        stop = "." if more and not is_sentence else ""
        return f"{self.message}{stop}{more}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.message!r})"


class ConfigurationError(OAuth2Error):
    """A mistake in the app's code or configuration. The text says what is wrong and how to fix it.

    It is not an HTTP exception: unhandled in a view, it becomes a 500 like any other bug.

    :param row: the row of ``docs/errors.md`` that is about it.
    """

    def __init__(self, message: str = "", *, row: str | None = None) -> None:
        super().__init__(message)
        self.row = row


class _Refusal(OAuth2Error, BadRequest):
    """The base class of errors with an OAuth error code; unhandled in a view they are a 400.

    :param error: the error code: the provider's, such as ``"access_denied"``, or one of ours:
        ``"invalid_state"``, ``"invalid_issuer"``, ``"invalid_id_token"``.
    :param error_description: a sentence for people, or None. It may be the provider's, so escape
        it in HTML.
    :param status_code: the status of the HTTP response that had the error; None if it was not in a
        response to one of our requests.
    :param detail: a sentence for developers, which is in the error's text only.
    :param sentence: a sentence for visitors, in place of the general one for this error.
    """

    _what: t.ClassVar[str]
    #: The rows for some error codes. The class's own is for all others.
    _rows: t.ClassVar[t.Mapping[str, str]] = {}

    def __init__(
        self,
        error: str,
        error_description: str | None = None,
        status_code: int | None = None,
        *,
        detail: str = "",
        sentence: str | None = None,
    ) -> None:
        # A provider may send characters that RFC 6749, sections 4.1.2.1 and 5.2 forbid.
        error = to_one_line(error)
        error_description = to_one_line(error_description) if error_description else None
        text = f"{self._what}: {error}"
        if error_description:
            text += f" ({error_description})"
        if detail:
            text += f". {to_one_line(detail)}"
        super().__init__(text)
        self.args = (text,)
        self.sentence = sentence
        names_uri = "redirect" in f"{error} {error_description}".lower()
        self.row = "redirect-uri-refused" if names_uri else self._rows.get(error, self.row)
        self.error = error
        self.error_description = error_description
        self.status_code = status_code


class AuthorizationError(_Refusal):
    """The authorization response is an error, or does not belong to this browser's sign-in.

    RFC 6749, section 4.1.2.1. Its attributes are ``error`` (``"access_denied"`` if the person
    cancelled), ``error_description`` and ``status_code``.
    """

    row = "sign-in-refused"
    _what = "The sign-in was not completed"
    _rows: t.ClassVar = {
        "access_denied": "sign-in-cancelled",
        "invalid_scope": "invalid-scope",
        "invalid_state": "invalid-state",
        "invalid_issuer": "invalid-issuer",
        "invalid_response": "invalid-response",
        "unauthorized_client": "client-refused",
    }


class TokenError(_Refusal):
    """The provider refused a token request, a revocation, or to register a client.

    RFC 6749, section 5.2; RFC 7009, section 2.2.1; RFC 7591, section 3.2.2. Its attributes are
    ``error`` (such as ``"invalid_grant"``), ``error_description`` and ``status_code``.
    """

    row = "token-refused"
    _what = "The provider refused"
    _rows: t.ClassVar[t.Mapping[str, str]] = {
        "invalid_client": "client-refused",
        "invalid_grant": "invalid-grant",
        "invalid_scope": "invalid-scope",
        "unauthorized_client": "client-refused",
    }


class RegistrationRefusedError(TokenError):
    """The provider refused to register a client: RFC 7591, section 3.2.2."""

    row = "client-registration"
    _rows: t.ClassVar[t.Mapping[str, str]] = {}
    _what = "The provider refused to register the client"


class IDTokenError(_Refusal):
    """A check of an ID token, of a UserInfo response or of a logout token failed.

    OpenID Connect Core 1.0, sections 3.1.3.7 and 5.3.2; Back-Channel Logout 1.0, section 2.6.
    ``error`` is ``"invalid_id_token"``, and ``error_description`` says which check failed.
    """

    row = "id-token"
    _what = "A response of the provider was rejected"

    def __init__(self, error_description: str, *, row: str | None = None) -> None:
        super().__init__("invalid_id_token", error_description)
        self.row = row or type(self).row


class UnmetDemandError(IDTokenError):
    """The ID token proves less than the sign-in demanded by ``max_age`` or ``acr_values``.

    :param sentence: what a visitor may read.
    """

    row = "unmet-demand"

    def __init__(self, error_description: str, sentence: str) -> None:
        super().__init__(error_description)
        self.sentence = sentence


class UnusableIDTokenError(IDTokenError):
    """The ID token is not one that this handler's options accept, whoever signs in.

    Only the developer or the provider can mend that, so a sign-in that it ends is a 502.
    """


class ProviderError(OAuth2Error, HTTPException):
    """The provider can't be reached or can't answer now (503), or its response is wrong (502).

    ``code`` is the status that a visitor gets. The class itself has none, so that an error handler
    for this class is called for both.

    :param retry_after: the seconds after which the provider wants to be asked again, or None if it
        does not say (``Retry-After``: RFC 9110, section 10.2.3).
    :param row: the row of ``docs/errors.md`` that is about it.
    """

    row = "provider-answer"
    #: The seconds after which to try again, or None. The type is that of Werkzeug's exception.
    retry_after: datetime | int | None
    #: True if nothing of the request was sent, because there was no connection.
    nothing_sent = False
    #: True if a token request was not sent, so that its code or refresh token is still unused.
    is_grant_unused = False

    def __init__(
        self, message: str, *, retry_after: int | None = None, row: str | None = None
    ) -> None:
        super().__init__(message)
        self.args = (message,)
        self.row = row or type(self).row
        self.retry_after = retry_after
        if self.code is None:
            self.code = BadGateway.code


class ProviderAnswerError(ProviderError, BadGateway):
    """The provider's response does not follow the protocol."""


class UnnamedRefusalError(ProviderAnswerError):
    """The provider refused a token request, and its response has no ``error`` (RFC 6749, 5.2).

    :param reason: what the response says instead.
    :param status_code: the status of the response.
    """

    row = "token-refused"

    def __init__(
        self, message: str, reason: str, status_code: int, *, row: str | None = None
    ) -> None:
        super().__init__(message, row=row)
        self.reason = reason
        self.status_code = status_code


class UserInfoRefusedError(ProviderAnswerError):
    """UserInfo rejects the access token (401), so the provider no longer vouches for the person."""


class ProviderUnavailableError(ProviderError, ServiceUnavailable):
    """The provider says that it can't answer now (5xx, 429), or has closed the connection."""

    row = "provider-unavailable"


class ProviderUnreachableError(ProviderUnavailableError):
    """The provider can't be reached, or does not respond in time."""

    row = "provider-unreachable"


class StoreError(OAuth2Error, ServiceUnavailable):
    """The store can't be reached or does not work. Unhandled in a view it is a 503.

    Logins are not lost: they are there again once the store is.

    :param row: the row of ``docs/errors.md`` that is about it.
    """

    row = "store-down"

    def __init__(self, message: str, *, row: str | None = None) -> None:
        super().__init__(message)
        self.args = (message,)
        self.row = row or type(self).row


class LoginRequired(OAuth2Error, HTTPException):
    """Nobody is signed in, the login has ended, or it does not suffice.

    Unhandled in a view it has the effect of the guard: a browser is redirected to the login, an API
    client gets a 401. You may raise it yourself:

    .. code-block:: python

        raise LoginRequired(params={"scope": "repo"})

    It is not a subclass of ``Unauthorized``, so that an app's error handler for 401 does not
    replace the redirect.

    :param message: a sentence for people.
    :param login: the name of the login to sign in with, or None for any.
    :param params: parameters for the authorization request, such as ``{"scope": "repo"}``.
    """

    code = 401
    row = "login-required"

    def __init__(
        self,
        message: str = "Sign in first.",
        *,
        login: str | None = None,
        params: t.Mapping[str, t.Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.args = (message,)
        self.login = login
        self.params = dict(params or {})
