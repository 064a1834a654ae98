"""Grants: the records that jobs use, one for each owner and account."""

from __future__ import annotations

import dataclasses
import secrets

from ..protocol.errors import ConfigurationError
from ..protocol.token import Token
from .lifetime import expires_at
from .record import Record
from .registration import Registration, server_store
from .store_labels import grant_labels, owner_of
from .stored_login import StoredLogin, find_stored_logins, seal_record


def keep_grant(registration: Registration, record: Record) -> Record:
    """Move a login's token into the grant that jobs use, one for each owner and account.

    :returns: the browser's record, which names the grant.
    :raises ConfigurationError: the identity has no id.
    """
    identity, token = record.identity, record.token
    owner, account = owner_of(identity), identity.id
    if account is None:
        raise ConfigurationError(
            f"offline=True keeps a grant for each account, and the login {registration.name!r}"
            " does not know which one signs in: give its handler a userinfo_url.",
            row="no-account-id",
        )
    id = registration.keyed_hash("grant", owner, account)
    while True:
        login, claims = _find_grant(registration, owner, account), record.id_claims
        if login is not None and token.refresh_token is None and login.record.token.refresh_token:
            # Many providers send a refresh token the first time only.
            token = _with_refresh_token(token, login.record.token)
            # A refreshed ID token is compared with the claims that came with its refresh token.
            claims = login.record.id_claims
        name = id if login is None else login.record.id
        grant = dataclasses.replace(record, id=name, grant=name, token=token, id_claims=claims)
        kept = _create_grant(registration, grant) if login is None else _replace_grant(login, grant)
        if kept:
            return dataclasses.replace(record, token=Token(), grant=name)
        if login is None:
            # The name is taken. If another request has just created the grant, the next round finds
            # it. If the record of this name can't be opened, keep it and use another name here.
            id = secrets.token_urlsafe(16)


def _with_refresh_token(token: Token, former: Token) -> Token:
    """Return a token with the refresh token of a former one."""
    kept = Token(token, refresh_token=former.refresh_token)
    if token.dpop_key is not None:
        # The refresh token may be bound to the former key, but the access token is not.
        kept.dpop_key = former.dpop_key
        if token.is_dpop:
            kept["expires_at"] = 0
    return kept


def _find_grant(registration: Registration, owner: str, account: str) -> StoredLogin | None:
    """Return an account's grant, also if its name is a hash by an older secret; None if none."""
    grants = [
        login
        for login in find_stored_logins(registration, owner=owner)
        if login.record.is_grant and login.record.identity.id == account
    ]
    return max(grants, key=lambda login: login.record.signed_in_at, default=None)


def _replace_grant(login: StoredLogin, grant: Record) -> bool:
    """Replace the grant that was read. Return False if it has changed since then."""
    read, login.record = login.current(), grant
    return read is not None and login.put(grant.token, read.version) == "replaced"


def _create_grant(registration: Registration, grant: Record) -> bool:
    """Create a grant. Return False if its name is taken."""
    sealed, labels = seal_record(registration, grant), grant_labels(registration, grant)
    try:
        server_store(registration).create(
            grant.id, sealed, labels, expires_at(registration.config, grant)
        )
    except KeyError:
        return False
    return True
