"""A person's accounts, and calling an API for somebody who is not there.

An owner, the app's own key for a person, may have several logins and several accounts at one.
"""

from __future__ import annotations

import dataclasses
import secrets

from ..protocol.errors import ConfigurationError
from ..protocol.errors import LoginRequired
from ..protocol.identity import Identity
from ..protocol.session import OAuth2Session
from ..protocol.token import Token
from .extension import Login
from .extension import current_extension
from .home import RecordHome
from .home import end_homes
from .home import expires_at
from .home import find_record_homes
from .home import grant_labels
from .home import owner_key
from .home import owner_of
from .home import seal_record
from .home import server_store
from .proxies import make_session
from .record import Record


def session_for(login: Login, owner: str, account: str | None = None) -> OAuth2Session:
    """The session of a person's grant; without one, of the newest login that lives.

    :raises LoginRequired: there is neither.
    """
    homes = [home for home in _homes_of(login, owner) if account in {None, home.record.identity.id}]
    if not homes:
        raise LoginRequired("This person has no login that lives.", login=login.name)
    home = max(homes, key=lambda home: (home.record.is_grant, home.record.signed_in_at))
    home.touch()
    return make_session(login, home)


def accounts(login: Login, owner: str) -> list[Identity]:
    """Who a person is at this login: each account once."""
    identities = [home.record.identity for home in _homes_of(login, owner)]
    return list({identity.id: identity for identity in identities}.values())


def unlink(login: Login, owner: str, id: str) -> bool:
    """End all that a person has of an account, and revoke it. False where there was nothing."""
    homes = find_record_homes(login, owner=owner_key(owner))
    return end_homes([home for home in homes if home.record.identity.id == id], "unlinked")


def _homes_of(login: Login, owner: str) -> list[RecordHome]:
    """The owner's records that have a token."""
    return [home for home in find_record_homes(login, owner=owner_key(owner)) if home.record.token]


def keep_grant(login: Login, record: Record) -> Record:
    """Put a login's token into the grant that jobs use, one for each owner and account.

    :returns: the record that stays with the browser, and points to the grant.
    :raises ConfigurationError: nothing says which account it is.
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
            # Somebody else was first, and is found now. Or what has this name can't be opened:
            # that is left alone, and this grant gets another name.
            id = secrets.token_urlsafe(16)


def _find_grant(login: Login, owner: str, account: str) -> RecordHome | None:
    """An account's grant, which an older secret may have named."""
    grants = [
        home
        for home in find_record_homes(login, owner=owner)
        if home.record.is_grant and home.record.identity.id == account
    ]
    return max(grants, key=lambda home: home.record.signed_in_at, default=None)


def _replace_grant(home: RecordHome, grant: Record) -> bool:
    """Put a grant in the place of what was read; False where somebody else has changed that."""
    read, home.record = home.current(), grant
    return read is not None and home.put(grant.token, read.version) == "replaced"


def _create_grant(login: Login, grant: Record) -> bool:
    """Add a grant; False where something has its name already."""
    sealed, labels = seal_record(login, grant), grant_labels(login, grant)
    try:
        server_store(login).create(grant.id, sealed, labels, expires_at(grant))
    except KeyError:
        return False
    return True
