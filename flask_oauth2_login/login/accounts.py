"""A person's accounts, and calling an API for somebody who is not there.

An owner, the app's own key for a person, may have several logins and several accounts at one.
"""

from __future__ import annotations

import dataclasses

from ..protocol.errors import LoginRequired
from ..protocol.identity import Identity
from ..protocol.session import OAuth2Session
from ..protocol.token import Token
from ..stores.sealing import name_of
from .extension import Login
from .home import RecordHome
from .home import expires_at
from .home import find_record_homes
from .home import grant_labels
from .home import owner_of
from .home import seal_record
from .home import server_store
from .proxies import make_session
from .record import Record
from .revocation import revoke


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
    ended = [
        home
        for home in find_record_homes(login, owner=str(owner))
        if home.record.identity.id == id and home.end("unlinked")
    ]
    revoke(*((login.handler, home.record.token) for home in ended))
    return bool(ended)


def _homes_of(login: Login, owner: str) -> list[RecordHome]:
    """The owner's records that have a token."""
    return [home for home in find_record_homes(login, owner=str(owner)) if home.record.token]


def keep_grant(login: Login, record: Record) -> Record:
    """Put a login's token into the grant that jobs use, one for each owner and account.

    :returns: the record that stays with the browser, and points to the grant.
    """
    identity, token = record.identity, record.token
    id = "grant:" + name_of(login.name, owner_of(identity), str(identity.id))
    home = RecordHome(login, id)
    while True:
        kept, claims = home.reload(), record.id_claims
        if kept is not None and token.refresh_token is None and kept.token.refresh_token:
            # Many providers send a refresh token the first time only.
            token = Token(token, refresh_token=kept.token.refresh_token)
            # What comes with a renewal answers to the sign-in that this one came from.
            claims = home.record.id_claims
        home.record = dataclasses.replace(
            record, id=id, token=token, id_claims=claims, id_token=None
        )
        if kept is None:
            kept_now = _create_grant(login, home.record)
        else:
            kept_now = home.put(token, kept.version) == "replaced"
        if kept_now:
            return dataclasses.replace(record, token=Token(), grant=id)


def _create_grant(login: Login, grant: Record) -> bool:
    """Add a grant; False where somebody else did at the same time."""
    store, name = server_store(login), name_of("record", grant.id)
    # What could not be opened any more is worth nothing.
    store.delete(name)
    try:
        sealed, labels = seal_record(login, grant), grant_labels(login, grant)
        store.create(name, sealed, labels, expires_at(grant))
    except KeyError:
        return False
    return True
