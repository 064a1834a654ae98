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
        handler.find_roles(renewed, renewed.id_claims or record.id_claims, options.roles)
    if options.revalidate is None or not _came_from_userinfo(registration, record, renewed):
        return renewed
    try:
        _ask_userinfo(registration, record, renewed)
    except (IDTokenError, UserInfoRefusedError):
        revoke((handler, renewed))
        raise
    except ProviderError as error:
        # The new token must be stored, because the former refresh token may be used up.
        log.warning("%s: UserInfo can't be asked again just now. %s", registration.log_name, error)
        renewed.is_confirmed = False
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


def _came_from_userinfo(registration: Registration, record: Record, renewed: Token) -> bool:
    options, found = registration.options, renewed.found_roles or {}
    of_tokens = record.id_token_claims if renewed.id_claims is None else renewed.id_claims
    is_claim = any(name not in of_tokens for name in options.claims)
    # A path at which nothing was found is worth asking for only if the developer named it.
    default = USERINFO if options.roles.is_demanded else ID_TOKEN
    sources = {path: source for path, (source, _) in record.roles.items()}
    is_role = any(sources.get(path, default) == USERINFO for path in options.roles.missing(found))
    return (is_claim or is_role) and registration.handler.has_endpoint("userinfo_url")


def _ask_userinfo(registration: Registration, record: Record, token: Token) -> None:
    id_claims = token.id_claims or record.id_claims
    token.userinfo = ask_again(registration.handler, token, record.identity, id_claims)
    token.found_roles = registration.options.roles.find(
        token.userinfo, USERINFO, token.found_roles, token
    )
