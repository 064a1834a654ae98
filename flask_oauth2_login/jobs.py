"""A person's accounts, and calling an API for somebody who is not there.

An owner, the app's own key for a person, may have several logins and several accounts at one.
"""

from __future__ import annotations

from .client.session import OAuth2Session
from .protocol.errors import LoginRequired
from .protocol.identity import Identity
from .session.api_session import make_session
from .session.registration import Registration
from .session.stored_login import (
    RecordHome,
    end_homes,
    find_record_homes,
    owner_key,
)


def session_for(login: Registration, owner: str, account: str | None = None) -> OAuth2Session:
    """The session of a person's grant; without one, of the newest login that lives.

    :raises LoginRequired: there is neither.
    """
    homes = [home for home in _homes_of(login, owner) if account in {None, home.record.identity.id}]
    if not homes:
        raise LoginRequired("This person has no login that lives.", login=login.name)
    home = max(homes, key=lambda home: (home.record.is_grant, home.record.signed_in_at))
    home.touch()
    return make_session(login, home)


def accounts(login: Registration, owner: str) -> list[Identity]:
    """Who a person is at this login: each account once."""
    identities = [home.record.identity for home in _homes_of(login, owner)]
    return list({identity.id: identity for identity in identities}.values())


def unlink(login: Registration, owner: str, id: str) -> bool:
    """End all that a person has of an account, and revoke it. False where there was nothing."""
    homes = find_record_homes(login, owner=owner_key(owner))
    return end_homes([home for home in homes if home.record.identity.id == id], "unlinked")


def _homes_of(login: Registration, owner: str) -> list[RecordHome]:
    """The owner's records that have a token."""
    return [home for home in find_record_homes(login, owner=owner_key(owner)) if home.record.token]
