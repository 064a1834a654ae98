"""What becomes of the ID token of a refresh response: used, left aside, or the end of the login."""

from __future__ import annotations

import logging
import typing as t

from ..protocol.errors import IDTokenError, ProviderError
from ..protocol.token import Token
from .reasons import Reasons

if t.TYPE_CHECKING:
    from ..protocol.jwt import Verifier

log = logging.getLogger("flask_oauth2_login")


class RefreshedIDTokens:
    """The checks of refreshed ID tokens of one handler, which warn once of each kind of fault.

    :param handler: the handler's repr, for the log.
    """

    def __init__(self, handler: str) -> None:
        self._handler = handler
        self._reasons = Reasons()

    def check(
        self,
        newer: Token,
        former: t.Mapping[str, t.Any],
        client_id: str,
        make_verifier: t.Callable[[], Verifier],
    ) -> None:
        """Check the ID token of a refreshed token, and remove it if it has a fault.

        The old refresh token is used up, so rejecting the new one would end the login.

        :param newer: the refreshed token. It gets ``id_claims`` if its ID token is valid.
        :param former: the claims of the ID token of the sign-in.
        :raises IDTokenError: the ID token is about somebody else, from another issuer, or for
            another client.
        """
        from ..protocol.refreshed_id_token import check_same_person, validate_refreshed

        id_token = newer["id_token"]
        check_same_person(id_token, client_id, former)
        try:
            newer.id_claims = validate_refreshed(
                id_token, make_verifier(), former, newer.access_token
            )
        except (IDTokenError, ProviderError) as error:
            # Keys that can't be fetched now are there later.
            newer.is_confirmed = not isinstance(error, ProviderError)
            del newer["id_token"]
            self._log(error)

    def _log(self, error: Exception) -> None:
        log.log(
            logging.WARNING if self._reasons.is_new(error) else logging.INFO,
            "%s: the ID token of a refresh is left aside, and the new token kept. %s",
            self._handler,
            error,
        )
