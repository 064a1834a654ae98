"""`TokenSource`: what a refresh needs of a place where a token is stored."""

from __future__ import annotations

import typing as t

from ..protocol.token import Token


class StoredToken(t.NamedTuple):
    """A token as it is stored."""

    token: Token
    #: The version of its record, which changes with each write.
    version: str


class TokenSource:
    """Where one login's token is stored, and how a newer one is fetched.

    Methods that do nothing here are not needed for a token that can be fetched again at any time,
    such as the app's own.
    """

    #: True if the provider's refusal to send a newer token is the caller's affair.
    raises_refusals: t.ClassVar[bool] = False

    @property
    def key(self) -> str:
        """The key of this login, the same in all processes."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """The login's name."""
        raise NotImplementedError

    @property
    def provider(self) -> str:
        """A key of the provider. All people who sign in there share it."""
        return self.name

    @property
    def log_name(self) -> str:
        """What the log calls the login."""
        return self.name

    @property
    def person(self) -> str:
        """A key of the person, who may have several logins."""
        raise NotImplementedError

    @property
    def max_request_seconds(self) -> float:
        """The longest time (s) that one request to the provider can take."""
        raise NotImplementedError

    def can_refresh(self, token: Token) -> bool:  # noqa: ARG002
        """Return True if a newer token can be fetched, such as with a refresh token."""
        return True

    def current(self) -> StoredToken | None:
        """Return the token as this request has read it, or None if the login has ended."""
        raise NotImplementedError

    def reload(self) -> StoredToken | None:
        """Read the token again, and return it; None if the login has ended."""
        raise NotImplementedError

    def refresh(self, token: Token) -> Token | None:
        """Ask the provider for a newer token. Return None for a response without content.

        :raises TokenError: the provider refused.
        :raises ProviderError: the provider can't be reached, or its response is wrong.
        """
        raise NotImplementedError

    def replace(self, token: Token, version: str) -> t.Literal["replaced", "changed", "gone"]:
        """Store a new token, if the stored one still has this version.

        :returns: ``"changed"`` if it has another version, ``"gone"`` if the login has ended.
        :raises StoreError: the store can't be reached.
        """
        raise NotImplementedError

    def save_fallback(self, token: Token, version: str) -> None:
        """Save a new token on this machine, because the store fails.

        :param version: the version of the stored token that it replaces.
        """

    def load_fallback(self, version: str) -> Token | None:  # noqa: ARG002
        """Return the token that :meth:`save_fallback` has saved for this version, or None."""
        return None

    def revoke(self, token: Token) -> None:
        """Revoke a new token that can't be stored, or that nobody needs."""

    def note_refused(self) -> None:
        """Note that the provider has refused the refresh token, before the login ends."""

    def is_newer(self, stored: StoredToken, former: Token) -> bool:
        """Return True if what is stored is newer than a token that this request has read."""
        # Compare whole tokens: some providers only extend the life of the same access token.
        return stored.token != former

    def end(self, reason: str = "expired") -> object:
        """End the login, because its refresh token can't be used any more."""
        raise NotImplementedError

    def lease(self, seconds: float) -> str | None:
        """Get the lease: the right to refresh, which one process at a time can have.

        :param seconds: how long the lease lasts if it is not released.
        :returns: a ticket for :meth:`release`, or None while another process has the lease.
        """
        raise NotImplementedError

    def release(self, ticket: str) -> None:
        """Release the lease that :meth:`lease` gave this ticket for."""
        raise NotImplementedError
