"""Grants: the records that jobs use, one for each owner and account."""

from __future__ import annotations

import dataclasses
import secrets

from ..protocol.errors import ConfigurationError
from ..protocol.token import Token
from .extension import current_extension
from .record import Record
from .registration import Registration
from .stored_login import (
    RecordHome,
    expires_at,
    find_record_homes,
    grant_labels,
    owner_of,
    seal_record,
    server_store,
)


def keep_grant(login: Registration, record: Record) -> Record:
    """Put a login's token into the grant that jobs use, one for each owner and account.

    :returns: the record that stays with the browser, and points to the grant.
    :raises ConfigurationError: the identity has no id.
    """
    identity, token = record.identity, record.token
    owner, account = owner_of(identity), identity.id
    if account is None:
        raise ConfigurationError(
            f"offline=True keeps a grant for each account, and the login {login.name!r} does not"
            " know which one signs in: give its handler a userinfo_url."
        )
    id = current_extension().sealer.keyed_hash("grant", *login.context, owner, account)
    while True:
        home, claims = _find_grant(login, owner, account), record.id_claims
        if home is not None and token.refresh_token is None and home.record.token.refresh_token:
            # Many providers send a refresh token the first time only.
            token = Token(token, refresh_token=home.record.token.refresh_token)
            # What comes with a renewal answers to the sign-in that this one came from.
            claims = home.record.id_claims
        name = id if home is None else home.record.id
        grant = dataclasses.replace(
            record, id=name, grant=name, token=token, id_claims=claims, id_token=None
        )
        kept = _create_grant(login, grant) if home is None else _replace_grant(home, grant)
        if kept:
            return dataclasses.replace(record, token=Token(), grant=name)
        if home is None:
            # The name is taken. If another request has just created the grant, the next round finds
            # it. If the record of this name can't be opened, keep it and use another name here.
            id = secrets.token_urlsafe(16)


def _find_grant(login: Registration, owner: str, account: str) -> RecordHome | None:
    """Return an account's grant, also if its name is a hash by an older secret; None if none."""
    grants = [
        home
        for home in find_record_homes(login, owner=owner)
        if home.record.is_grant and home.record.identity.id == account
    ]
    return max(grants, key=lambda home: home.record.signed_in_at, default=None)


def _replace_grant(home: RecordHome, grant: Record) -> bool:
    """Replace the grant that was read. Return False if it has changed since then."""
    read, home.record = home.current(), grant
    return read is not None and home.put(grant.token, read.version) == "replaced"


def _create_grant(login: Registration, grant: Record) -> bool:
    """Create a grant. Return False if its name is taken."""
    sealed, labels = seal_record(login, grant), grant_labels(login, grant)
    try:
        server_store(login).create(grant.id, sealed, labels, expires_at(grant))
    except KeyError:
        return False
    return True
