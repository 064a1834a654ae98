"""`ExchangedToken`: a token of a login for another API: RFC 8693."""

from __future__ import annotations

import json
import typing as t

from ..client.session import OAuth2Session
from ..client.token_source import StoredToken
from ..protocol.scope import Scope, split_scope
from ..protocol.token import Token
from .client_token import FetchedToken
from .extension import Extension, current_extension
from .stored_login import StoredLogin


def session_of_login(login: StoredLogin) -> OAuth2Session:
    """Return the session for the provider's API, and for those that its token is exchanged for."""
    extension = current_extension()

    def exchange(url: str, scope: Scope, params: dict[str, str | None]) -> OAuth2Session:
        api = login.handler.resource_server_at(url)
        asked = {"scope": " ".join(sorted(split_scope(scope))), "resource": url, **params}
        with extension.context():
            return extension.session_of(ExchangedToken(extension, login, asked), api)

    return extension.make_session(login.registration, login, exchange)


class ExchangedToken(FetchedToken):
    """A token for another API. It counts as long as its login does."""

    raises_refusals = True

    def __init__(self, extension: Extension, login: StoredLogin, asked: dict[str, t.Any]) -> None:
        self._extension = extension
        self._login = login
        self._asked = asked
        self._whole = json.dumps(asked, sort_keys=True)
        super().__init__(login.registration, "exchanged", login.key, self._whole)

    @property
    def _context(self) -> tuple[str, ...]:
        # A token of one login opens at no other.
        return (*super()._context, self._login.key, self._whole)

    @property
    def key(self) -> str:
        return f"{self._login.key}:exchanged:{self._whole}"

    @property
    def person(self) -> str:
        return self._login.person

    @property
    def max_request_seconds(self) -> float:
        # The login's token may have to be refreshed first, by another process.
        return 3 * self._login.max_request_seconds

    def current(self) -> StoredToken | None:
        return None if self._login.current() is None else super().current()

    def reload(self) -> StoredToken | None:
        return None if self._login.reload() is None else super().reload()

    def refresh(self, token: Token) -> Token:  # noqa: ARG002
        subject = self._extension.refresher.valid_token(self._login)
        # The login's token is None only where another one was rejected.
        exchanged = self._login.handler.exchange_token(t.cast(Token, subject), **self._asked)
        # It is exchanged anew, so the login's refresh token suffices.
        exchanged.pop("refresh_token", None)
        return exchanged
