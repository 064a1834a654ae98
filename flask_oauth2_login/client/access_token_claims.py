"""What an access token that is a JWT says of its person, once it was checked."""

from __future__ import annotations

import logging
import typing as t

from ..protocol import base64url
from ..protocol.errors import IDTokenError, ProviderError
from ..protocol.json_input import parse_json
from ..protocol.roles import find_value
from .reasons import Reasons

if t.TYPE_CHECKING:
    from ..protocol.jwt import Verifier

log = logging.getLogger("flask_oauth2_login")


class AccessTokenClaims:
    """Reads the access tokens of one handler, and warns once of each reason not to.

    :param handler: the handler's repr, for the log.
    """

    def __init__(self, handler: str) -> None:
        self._handler = handler
        self._reasons = Reasons()

    def read(
        self,
        access_token: str | None,
        sub: t.Any,
        make_verifier: t.Callable[[], Verifier],
        paths: t.Iterable[str],
    ) -> dict[str, t.Any]:
        """Return the claims of an access token; none if it is not a JWT that passes all checks.

        :param sub: the ``sub`` of the person's ID token.
        :param paths: where roles may be. Without a value there, nothing is checked.
        :raises ProviderError: the provider's keys can't be fetched.
        """
        from ..protocol.id_token import validate_access_token

        unchecked = _peek(access_token)
        if all(find_value(unchecked, path, None) is None for path in paths):
            return {}
        try:
            claims = validate_access_token(access_token, make_verifier(), sub)
        except (IDTokenError, ProviderError) as error:
            self._log(error)
            if isinstance(error, ProviderError):
                raise
            return {}
        return claims

    def _log(self, error: Exception) -> None:
        if self._reasons.is_new(error):
            log.warning(
                "%s: roles in an access token don't count, because it can't be checked. %s",
                self._handler,
                error,
            )


def _peek(access_token: str | None) -> t.Any:
    """Return the claims of a JWT before any check; None if it is none."""
    parts = (access_token or "").split(".")
    try:
        return parse_json(base64url.decode(parts[1])) if len(parts) == 3 else None
    except ValueError:
        return None
