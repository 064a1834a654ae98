"""What the provider says of a login now: a refreshed token, and UserInfo asked again."""

from __future__ import annotations

import logging
import math
import time
from contextlib import suppress

from ..client.asked_again import ask_again
from ..client.backoff import MAX_BACKOFF_SECONDS
from ..client.revocation import revoke
from ..protocol.errors import (
    IDTokenError,
    OAuth2Error,
    ProviderAnswerError,
    ProviderError,
    ProviderUnavailableError,
    StoreError,
    UserInfoRefusedError,
)
from ..protocol.roles import ID_TOKEN, USERINFO
from ..protocol.token import Token
from ..stores.local import overwrite
from ..stores.sealing import hashed_name
from .record import Record
from .registration import Registration

log = logging.getLogger("flask_oauth2_login")

#: How long (s) after a failure a login is to be confirmed again, if the provider does not say.
CONFIRM_AGAIN_SECONDS = 30


def renew(registration: Registration, record: Record, token: Token) -> Token | None:
    """Return a refreshed token, with the claims and roles that come with it.

    A login with ``revalidate`` asks UserInfo again, where claims or roles came from there; without
    a refresh token it asks UserInfo alone.

    :param token: the token that is refreshed.
    :raises TokenError: the provider refused.
    :raises UserInfoRefusedError: UserInfo rejects the token.
    :raises IDTokenError: the answer is about somebody else.
    :raises ProviderError: the provider can't be reached, or its response is wrong.
    """
    handler, options = registration.handler, registration.options
    if options.revalidate is not None and token.refresh_token is None:
        newer = token.copy()
        # Nothing is known of the tokens anew, so their roles stay.
        newer.found_roles, newer.is_checked = {}, False
        _ask_userinfo(registration, record, newer)
        return newer
    renewed = handler.renew(token, record.id_claims)
    if renewed is None or renewed.lacks_access_token:
        return renewed
    if options.roles.paths:
        _find_roles(registration, record, renewed)
    if options.revalidate is None:
        return renewed
    is_needed = _came_from(USERINFO, registration, record, renewed)
    is_lacking = renewed.id_claims is None and _came_from(ID_TOKEN, registration, record, renewed)
    if (is_needed or is_lacking) and handler.has_endpoint("userinfo_url"):
        _ask_userinfo_too(registration, record, renewed, is_needed=is_needed)
    return renewed


def confirm(registration: Registration, record: Record, token: Token) -> Token | None:
    """Renew a login as `renew` does, unless a process has failed to a short time ago.

    Nobody needs the new token yet, so no process asks a provider that fails before the pause ends.

    :raises OAuth2Error: as `renew`, and in the pause.
    """
    store, name = registration.shared_store, hashed_name("unconfirmed", record.id)
    note = store.read(name)
    if note is not None and (left := float(note.sealed) - time.time()) > 0:
        raise ProviderUnavailableError(
            "The provider could not confirm this login a short time ago.",
            retry_after=math.ceil(left),
        )
    try:
        return renew(registration, record, token)
    except OAuth2Error as error:
        seconds = getattr(error, "retry_after", None) or CONFIRM_AGAIN_SECONDS
        end = time.time() + min(seconds, MAX_BACKOFF_SECONDS)
        with suppress(StoreError):
            overwrite(store, name, repr(end), end)
        raise


def can_confirm(registration: Registration, token: Token) -> bool:
    """Return True if the provider can be asked whether a login still stands.

    :raises ProviderError: the provider's metadata can't be fetched.
    """
    if token.refresh_token is not None:
        return True
    return not token.expires_within(0) and registration.handler.has_endpoint("userinfo_url")


def _find_roles(registration: Registration, record: Record, renewed: Token) -> None:
    """Find the roles in refreshed tokens, and none where a former ID token has said them.

    The ID token takes precedence over the access token, as at the sign-in, where the same name may
    mean something else.
    """
    rules = registration.options.roles
    registration.handler.find_roles(renewed, renewed.id_claims or record.id_claims, rules)
    renewed.is_confirmed = renewed.is_confirmed and renewed.is_checked
    if renewed.id_claims is None and renewed.found_roles:
        of_id_token = {path for path, (source, _) in record.roles.items() if source == ID_TOKEN}
        renewed.found_roles = {
            path: roles for path, roles in renewed.found_roles.items() if path not in of_id_token
        }


def _came_from(source: int, registration: Registration, record: Record, renewed: Token) -> bool:
    """Return True if a claim or roles that the new tokens lack came from this source before."""
    options, found = registration.options, renewed.found_roles or {}
    of_tokens = record.id_token_claims if renewed.id_claims is None else renewed.id_claims
    if source == USERINFO:
        is_claim = any(name not in of_tokens for name in options.claims)
    else:
        is_claim = any(name in record.id_token_claims for name in options.claims)
    # A path at which nothing was found is worth asking for only if the developer named it.
    default = USERINFO if options.roles.is_demanded else None
    sources = {path: each for path, (each, _) in record.roles.items()}
    missing = options.roles.missing(found)
    return is_claim or any(sources.get(path, default) == source for path in missing)


def _ask_userinfo_too(
    registration: Registration, record: Record, renewed: Token, *, is_needed: bool
) -> None:
    """Ask UserInfo for what refreshed tokens lack.

    :param is_needed: False if only a former ID token had that. Then it does not matter whether
        UserInfo takes this token.
    :raises UserInfoRefusedError: UserInfo rejects the token, and is needed.
    :raises IDTokenError: it is about somebody else.
    """
    try:
        _ask_userinfo(registration, record, renewed)
    except (IDTokenError, ProviderError) as error:
        if isinstance(error, IDTokenError) or (
            is_needed and isinstance(error, UserInfoRefusedError)
        ):
            revoke((registration.handler, renewed))
            raise
        # The new token must be stored, because the former refresh token may be used up.
        log.warning("%s: UserInfo can't be asked again just now. %s", registration.log_name, error)
        if is_needed or not isinstance(error, ProviderAnswerError):
            renewed.is_confirmed = False


def _ask_userinfo(registration: Registration, record: Record, token: Token) -> None:
    id_claims = token.id_claims or record.id_claims
    token.userinfo = ask_again(registration.handler, token, record.identity, id_claims)
    token.found_roles = registration.options.roles.find(
        token.userinfo, USERINFO, token.found_roles, token
    )
