"""`TokenSource`: what a refresh needs to know of the place where a token is stored."""

from __future__ import annotations

import typing as t

from ..protocol.token import Token


class StoredToken(t.NamedTuple):
    """A token as it is stored, and the version of its record."""

    token: Token
    version: str


class TokenSource:
    """Where one login's token is stored, and how a newer one is fetched.

    The methods that do nothing here are for tokens that can be fetched again at any time.
    """

    @property
    def key(self) -> str:
        """The key of this login, the same in all processes."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """The login's name, which everybody with a token of this provider shares."""
        raise NotImplementedError

    @property
    def person(self) -> str:
        """The key of the person, who may have several logins."""
        raise NotImplementedError

    @property
    def max_request_seconds(self) -> float:
        """The longest time (s) that one request to the provider can take."""
        raise NotImplementedError

    def can_refresh(self, token: Token) -> bool:  # noqa: ARG002
        """Return True if there is a way to a newer token."""
        return True

    def current(self) -> StoredToken | None:
        """Return the token as this request knows it; None if the login has ended."""
        raise NotImplementedError

    def reload(self) -> StoredToken | None:
        """Return the token as it is stored now, whoever changed it; None if the login has ended."""
        raise NotImplementedError

    def refresh(self, token: Token) -> Token | None:
        """Ask the provider for a newer token."""
        raise NotImplementedError

    def replace(self, token: Token, version: str) -> t.Literal["replaced", "changed", "gone"]:
        """Store a new token, if the stored one still has this version and the login lives."""
        raise NotImplementedError

    def save_fallback(self, token: Token, version: str) -> None:
        """Save a new token on this machine, because the store can't take it now.

        :param version: the version of the stored token that it is to replace.
        """

    def load_fallback(self, version: str) -> Token | None:  # noqa: ARG002
        """Return the token that was saved by :meth:`save_fallback` for this version, or None."""
        return None

    def revoke(self, token: Token) -> None:
        """Revoke a new token that can't be stored."""

    def end(self) -> object:
        """End the login, because its refresh token can't be used any more."""
        raise NotImplementedError

    def lease(self, seconds: float) -> str | None:
        """Return a ticket for the right to refresh; None while another process has it."""
        raise NotImplementedError

    def release(self, ticket: str) -> None:
        """Give back the right to refresh."""
        raise NotImplementedError
