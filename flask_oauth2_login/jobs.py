"""A person's accounts and sessions for jobs, without a request of that person.

An owner is the app's own key for a person, who may have several logins and accounts.
"""

from __future__ import annotations

from .client.session import OAuth2Session
from .protocol.errors import LoginRequired
from .protocol.identity import Identity
from .session.exchanged_token import session_of_login
from .session.registration import Registration
from .session.store_labels import owner_key
from .session.stored_login import StoredLogin, end_and_revoke, find_stored_logins


def session_for(
    registration: Registration, owner: str, account: str | None = None
) -> OAuth2Session:
    """Return the session of a person's grant, or else of the newest login.

    :raises LoginRequired: there is neither.
    """
    logins = [
        login
        for login in _logins_of(registration, owner)
        if account in {None, login.record.identity.id}
    ]
    if not logins:
        raise LoginRequired("This person has no login any more.", login=registration.name)
    login = max(logins, key=lambda login: (login.record.is_grant, login.record.signed_in_at))
    login.touch()
    return session_of_login(login)


def accounts(registration: Registration, owner: str) -> list[Identity]:
    """Return a person's accounts at this login, each once."""
    identities = [login.identity for login in _logins_of(registration, owner)]
    return list({identity.id: identity for identity in identities}.values())


def unlink(registration: Registration, owner: str, id: str) -> bool:
    """End a person's logins and grant of an account; return False if there were none."""
    logins = find_stored_logins(registration, owner=owner_key(owner))
    return end_and_revoke([login for login in logins if login.record.identity.id == id], "unlinked")


def _logins_of(registration: Registration, owner: str) -> list[StoredLogin]:
    """Return an owner's logins that have a token."""
    return [
        login
        for login in find_stored_logins(registration, owner=owner_key(owner))
        if login.record.token
    ]
