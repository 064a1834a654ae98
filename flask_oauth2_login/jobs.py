"""A person's accounts, and calling an API for somebody who is not there.

An owner, the app's own key for a person, may have several logins and several accounts at one.
"""

from __future__ import annotations

from .client.session import OAuth2Session
from .protocol.errors import LoginRequired
from .protocol.identity import Identity
from .session.api_session import make_session
from .session.labels import owner_key
from .session.registration import Registration
from .session.stored_login import StoredLogin, end_and_revoke, find_stored_logins


def session_for(
    registration: Registration, owner: str, account: str | None = None
) -> OAuth2Session:
    """The session of a person's grant; without one, of the newest login that lives.

    :raises LoginRequired: there is neither.
    """
    logins = [
        login
        for login in _logins_of(registration, owner)
        if account in {None, login.record.identity.id}
    ]
    if not logins:
        raise LoginRequired("This person has no login that lives.", login=registration.name)
    login = max(logins, key=lambda login: (login.record.is_grant, login.record.signed_in_at))
    login.touch()
    return make_session(registration, login)


def accounts(registration: Registration, owner: str) -> list[Identity]:
    """Who a person is at this login: each account once."""
    identities = [login.record.identity for login in _logins_of(registration, owner)]
    return list({identity.id: identity for identity in identities}.values())


def unlink(registration: Registration, owner: str, id: str) -> bool:
    """End all that a person has of an account, and revoke it. False where there was nothing."""
    logins = find_stored_logins(registration, owner=owner_key(owner))
    return end_and_revoke([login for login in logins if login.record.identity.id == id], "unlinked")


def _logins_of(registration: Registration, owner: str) -> list[StoredLogin]:
    """The owner's records that have a token."""
    return [
        login
        for login in find_stored_logins(registration, owner=owner_key(owner))
        if login.record.token
    ]
