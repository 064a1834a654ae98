"""Set up `flask.session` after a sign-in, and clear it for a different person."""

from __future__ import annotations

import copy
import dataclasses
import logging
import typing as t
from contextlib import ExitStack, suppress

from flask import Response, session

from ..client.revocation import revoke
from ..config import csrf_field
from ..protocol.errors import AuthorizationError, LoginRequired, StoreError
from ..protocol.identity import Identity
from ..protocol.token import Token
from ..session.context import this_app
from ..session.current_login import (
    end_unusable,
    find_identity,
    find_logins,
    find_registration,
)
from ..session.endings import after_endings
from ..session.flask_session import (
    SessionEntries,
    SessionEntry,
    clear_session,
    renew_entries_id,
    restore_session,
    this_minute,
    write_entries,
)
from ..session.grants import keep_grant
from ..session.lifetime import expires_at
from ..session.record import Record, default_owner
from ..session.registration import Registration, server_store
from ..session.request_scope import request_scope
from ..session.store_labels import labels_of, owner_key, owner_of
from ..session.stored_login import StoredLogin, seal_within_room
from ..session.superseded import mark_superseded
from ..stores.sealing import hashed_name
from .attempt import Attempt
from .tenants_kept import keep_tenants
from .unknown_attempt import NOT_AS_BEFORE

log = logging.getLogger("flask_oauth2_login")


def sign_in(registration: Registration, attempt: Attempt, record: Record) -> Response | None:
    """Set up the session and store the record; undo everything if any step fails.

    After a failure the token is revoked, unless a grant already holds it.

    :returns: what ``on_login`` returned, to be sent in place of the redirect.
    :raises StoreError: the store failed. The person who was signed in before still is.
    """
    scope = request_scope()
    with ExitStack() as undo:
        # `record` is read when this runs: nothing is revoked if a grant may hold the token.
        undo.callback(lambda: revoke((registration.handler, record.token)))
        before, former = copy.deepcopy(dict(session)), scope.read_entries()
        logins = find_logins(former)
        undo.callback(scope.forget_logins)
        undo.callback(restore_session, before)
        undo.callback(scope.restore_pending, dict(scope.pending))
        response, staying = set_up_session(registration, attempt, record, former)
        undo.callback(delete_record, registration, record)
        if registration.options.offline:
            issued, record = record, dataclasses.replace(record, token=Token())
            record = keep_grant(registration, issued)
        store_record(registration, record)
        interface = this_app().session_interface
        if hasattr(interface, "regenerate"):
            # Flask-Session gives the session a new id, unless it is empty: the entries come first.
            interface.regenerate(session)
        # The old entries stay superseded even if this fails, so a restored session needs a new id.
        undo.callback(renew_entries_id, before)
        mark_superseded(former)
        replaced = [login for id, login in logins.items() if id not in staying]
        end_replaced(registration, replaced, record.identity)
        end_unusable(entry for entry in former.live if entry.id not in staying)
        undo.pop_all()
    scope.forget_logins()
    return response


def store_record(registration: Registration, record: Record) -> None:
    """Store the record of a new login."""
    record = after_endings(registration, record)
    record, sealed = seal_within_room(registration, record)
    registration.records.create(
        hashed_name("record", record.id),
        sealed,
        labels_of(registration, record),
        expires_at(registration.config, record),
    )


def delete_record(registration: Registration, record: Record) -> None:
    """Delete the record of a failed sign-in. If the store fails too, no session names it."""
    if registration.store is not None:
        with suppress(StoreError):
            registration.store.delete(hashed_name("record", record.id))


def end_replaced(
    registration: Registration, logins: t.Iterable[StoredLogin], identity: Identity
) -> None:
    """End the logins that a new one replaces, and revoke their tokens if of another account.

    Tokens of the same account are not revoked, because some providers, such as Google, revoke all
    tokens of an account together, the new one too.

    :raises StoreError: the first login can't be ended, so all of them stay. Once one has ended, a
        later failure is only logged: no session names those records, and they expire.
    """
    ended: list[StoredLogin] = []
    account = (registration.key, identity.id)
    for login in logins:
        is_same = _account_of(login) == account and identity.id is not None
        try:
            login.end("replaced", announce=not is_same)
        except StoreError as error:
            if not ended:
                raise
            log.warning(
                "%s: a login that was replaced could not be ended. %s", login.log_name, error
            )
        ended.append(login)
    others = [login for login in ended if _account_of(login) != account]
    revoke(*((login.handler, login.record.token) for login in others))


def _account_of(login: StoredLogin) -> tuple[str, str | None]:
    return login.registration.key, login.record.identity.id


def set_up_session(
    registration: Registration, attempt: Attempt, record: Record, former: SessionEntries
) -> tuple[Response | None, set[str]]:
    """Write the login to the session; first clear it if another person has signed in.

    `django.contrib.auth.login` does the same, in the same order.

    :param former: the session's entries before this sign-in.
    :returns: what ``on_login`` returned, and the ids of former records that stay signed in.
    :raises AuthorizationError: the account was to be added to a person who has signed out since.
    """
    identity, linking = record.identity, attempt.link_owner is not None
    if linking and linking_owner() != attempt.link_owner:
        raise AuthorizationError(
            "invalid_state", "somebody else is signed in by now", sentence=NOT_AS_BEFORE
        )
    hashes = subject_hashes(registration, identity)
    name, tenant = registration.name, registration.tenant
    same_login = [entry for entry in former.all if (entry.login, entry.tenant) == (name, tenant)]
    # The record replaces a former one of the same account. Linked accounts stay.
    others = [
        entry for entry in former.all if entry not in same_login or entry.subject_hash not in hashes
    ]
    if same_login and not linking and not any(e.subject_hash in hashes for e in same_login):
        clear_session()
        others = []
    # Flask-WTF's token was made for the session before.
    session.pop(csrf_field(), None)
    subject_hash = hashes[0] if hashes else ""
    entry = SessionEntry(name, record.id, subject_hash, this_minute(), tenant=tenant)
    kept = keep_tenants(registration, record, others, entry)
    if len(kept) < len(others):
        # Nothing says any more who was there, so nothing of theirs stays.
        clear_session()
        others = kept
    write_entries([*others, entry])
    has_owner = any(each.owner_hash for each in former.all)
    before_hook = copy.deepcopy(dict(session)) if has_owner else {}
    if linking:
        identity.owner = attempt.link_owner
    response = _run_on_login(registration, record, linking=linking)
    owners = owner_hashes(registration, identity.owner)
    if any(each.owner_hash and each.owner_hash not in owners for each in former.all):
        # The owner has changed: clear the session, but keep what on_login has written.
        written = {key: value for key, value in session.items() if before_hook.get(key) != value}
        clear_session()
        session.update(written)
        others = []
    entry.owner_hash = owners[0] if owners else ""
    if identity.owner is None:
        identity.owner = default_owner(identity)
    write_entries([*others, entry])
    return response, {entry.id for entry in others}


def _run_on_login(registration: Registration, record: Record, *, linking: bool) -> Response | None:
    identity = record.identity
    if not linking:
        # Without an own attribute, owner reads as None, and an assignment of None can be noticed.
        vars(identity).pop("owner", None)
    response, scope, hooks = None, request_scope(), registration.hooks
    scope.forget_logins()
    if hooks.on_login:
        # It must already see the new identity, so that no proxy returns the former user's token.
        login = StoredLogin.holding(registration, record)
        scope.opened[registration.key, record.id] = login
        response = hooks.run_on_login(identity, record.token)
    if "owner" in vars(identity):
        identity.owner = owner_key(identity.owner)
    return response


def subject_hashes(registration: Registration, identity: Identity) -> list[str]:
    """Return keyed hashes of a person's id, by each of the app's secrets; none if it is unknown."""
    if identity.id is None:
        return []
    hashes = registration.sealer.keyed_hashes("who", *registration.context, identity.id)
    return [full[:6] for full in hashes]


def owner_hashes(registration: Registration, owner: str | None) -> list[str]:
    """Return keyed hashes of an owner, by each of the app's secrets; none if there is no owner."""
    if owner is None:
        return []
    return [full[:6] for full in registration.sealer.keyed_hashes("owner", owner)]


def linking_owner() -> str:
    """Return the owner key to which a new account will be linked.

    :raises LoginRequired: nobody is signed in.
    :raises ConfigurationError: the person has no owner key, or browsers keep the records.
    """
    registration = find_registration()
    if registration is None:
        raise LoginRequired("Sign in before you add an account.")
    server_store(registration)
    identity = find_identity(registration)
    return owner_of(t.cast(Identity, identity))
