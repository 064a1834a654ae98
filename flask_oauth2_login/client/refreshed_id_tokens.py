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
        decrypt: t.Callable[[str], str],
    ) -> None:
        """Check the ID token of a refreshed token, and remove it if it has a fault.

        The old refresh token is used up, so rejecting the new one would end the login.

        :param newer: the refreshed token. It gets ``id_claims`` if its ID token is valid.
        :param former: the claims of the ID token of the sign-in.
        :param decrypt: returns the signed token that an encrypted one contains.
        :raises IDTokenError: the ID token is about somebody else, from another issuer, or for
            another client.
        """
        from ..protocol.refreshed_id_token import check_same_person, validate_refreshed

        try:
            newer["id_token"] = decrypt(newer["id_token"])
        except IDTokenError as error:
            self._leave_aside(newer, error)
            return
        check_same_person(newer["id_token"], client_id, former)
        try:
            newer.id_claims = validate_refreshed(
                newer["id_token"], make_verifier(), former, newer.access_token
            )
        except (IDTokenError, ProviderError) as error:
            # Keys that can't be fetched now are there later.
            newer.is_confirmed = not isinstance(error, ProviderError)
            self._leave_aside(newer, error)

    def _leave_aside(self, newer: Token, error: Exception) -> None:
        del newer["id_token"]
        log.log(
            logging.WARNING if self._reasons.is_new(error) else logging.INFO,
            "%s: the ID token of a refresh is left aside, and the new token kept. %s",
            self._handler,
            error,
        )
