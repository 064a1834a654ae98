"""What can go wrong, one class for each answer that a program or a visitor gets.

Those that can end a request are HTTP exceptions as well, so that a view may leave them
unhandled. No text, attribute or chained exception of theirs holds a token, code or secret.
"""

from __future__ import annotations

import typing as t
from datetime import datetime

from werkzeug.exceptions import BadGateway, BadRequest, HTTPException, ServiceUnavailable

from .json_input import to_one_line


class OAuth2Error(Exception):
    """The base of every error that this extension raises."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else type(self).__name__

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class ConfigurationError(OAuth2Error):
    """The developer's mistake. The text says what is wrong and how to mend it."""


class _Refusal(OAuth2Error, BadRequest):
    """The provider said no, or its answer does not belong to the question.

    :param error: the error code: the provider's (``"access_denied"``), or one of ours:
        ``"invalid_state"``, ``"invalid_issuer"``, ``"invalid_id_token"``.
    :param error_description: a sentence for people, where there is one. It may have come from
        the provider: escape it.
    :param status_code: the HTTP status that it came with, where it came by HTTP.
    """

    _what: t.ClassVar[str]

    def __init__(
        self, error: str, error_description: str | None = None, status_code: int | None = None
    ) -> None:
        # What a provider sends may hold what it should not: RFC 6749, sections 4.1.2.1 and 5.2.
        error = to_one_line(error)
        error_description = to_one_line(error_description) if error_description else None
        sentence = f"{self._what}: {error}"
        if error_description:
            sentence += f" ({error_description})"
        super().__init__(sentence)
        self.args = (sentence,)
        self.error = error
        self.error_description = error_description
        self.status_code = status_code


class AuthorizationError(_Refusal):
    """The answer at the callback is a refusal, or does not belong to this browser's sign-in.

    RFC 6749, section 4.1.2.1; ``error`` is ``"access_denied"`` where the person cancelled.
    """

    _what = "The sign-in was not completed"


class TokenError(_Refusal):
    """The provider refused what was asked for, or of, a token.

    RFC 6749, section 5.2; of a revocation RFC 7009, section 2.2.1.
    """

    _what = "The provider refused"


class IDTokenError(_Refusal):
    """What the provider says of a person is not to be trusted.

    An ID token (OpenID Connect Core 1.0, section 3.1.3.7), what UserInfo says (section 5.3.2), or a
    logout token (Back-Channel Logout 1.0, section 2.6).
    """

    _what = "What the provider says was rejected"

    def __init__(self, error_description: str) -> None:
        super().__init__("invalid_id_token", error_description)


class ProviderError(OAuth2Error, HTTPException):
    """The provider can't be reached (503), or talks nonsense (502).

    It has no ``code`` of its own, so that a handler for this class gets both kinds.

    :param retry_after: seconds after which the provider asked to be tried again, if it did.
    """

    #: Also what werkzeug's 503 has under this name.
    retry_after: datetime | int | None

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.args = (message,)
        self.retry_after = retry_after
        if self.code is None:
            self.code = BadGateway.code


class ProviderAnswerError(ProviderError, BadGateway):
    """The provider answered with something that the protocol does not know."""


class ProviderUnavailableError(ProviderError, ServiceUnavailable):
    """The provider says that it can't answer now (5xx, 429), or closes the connection."""


class ProviderUnreachableError(ProviderUnavailableError):
    """The provider can't be reached, or does not answer in time."""


class StoreError(OAuth2Error, ServiceUnavailable):
    """The store of the records can't be reached. Nothing is lost, and nobody is let in."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.args = (message,)


class LoginRequired(OAuth2Error, HTTPException):
    """Nobody is signed in, or signed in no longer.

    Unhandled in a view it becomes the guard's answer: a browser is sent to sign in, an API
    client gets a 401. It is no ``Unauthorized``, so that an app's page for every 401 does not
    take the place of the way to sign in.

    :param login: the name of the login to sign in at, or None for any.
    :param params: what to ask of the provider, such as ``{"scope": "repo"}``.
    """

    code = 401

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
