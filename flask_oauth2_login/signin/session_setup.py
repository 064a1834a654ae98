"""Making the session ready for whoever has just signed in: Django's rule, and its order."""

from __future__ import annotations

import copy
import dataclasses
import logging
import typing as t
from contextlib import ExitStack, suppress

from flask import Response, current_app, session

from ..client.revocation import revoke
from ..protocol.errors import AuthorizationError, LoginRequired, StoreError
from ..protocol.identity import Identity
from ..protocol.token import Token
from ..session.browser_record import copies_to_send, restore_copies
from ..session.entries import Mark, Marks, read_marks, renew_marks_id, this_minute, write_marks
from ..session.extension import current_extension
from ..session.flask_session import clear_session, restore_session
from ..session.grants import keep_grant
from ..session.record import Record, default_owner
from ..session.registration import Registration
from ..session.request_scope import (
    current_login,
    current_visit,
    displace_marks,
    find_homes,
    find_identity,
)
from ..session.stored_login import (
    RecordHome,
    expires_at,
    labels_of,
    owner_key,
    owner_of,
    seal_record,
    server_store,
)
from ..stores.sealing import hashed_name
from .attempt import Attempt

log = logging.getLogger("flask_oauth2_login")


def sign_in(login: Registration, attempt: Attempt, record: Record) -> Response | None:
    """Set up the session and store the record; undo everything if any step fails.

    After a failure the token is revoked, unless a grant already holds it.

    :returns: what ``on_login`` wants sent in place of the redirect.
    :raises StoreError: the store failed. The person who was signed in before still is.
    """
    with ExitStack() as undo:
        # `record` is read when this runs: nothing is revoked if a grant may hold the token.
        undo.callback(lambda: revoke((login.handler, record.token)))
        before, former = copy.deepcopy(dict(session)), read_marks()
        homes = find_homes(former)
        undo.callback(current_visit().forget)
        undo.callback(restore_session, before)
        undo.callback(restore_copies, copies_to_send())
        response, kept = make_session_ready(login, attempt, record, former)
        undo.callback(forget_record, login, record)
        if login.options.offline:
            issued, record = record, dataclasses.replace(record, token=Token())
            record = keep_grant(login, issued)
        keep_record(login, record)
        if hasattr(current_app.session_interface, "regenerate"):
            # Flask-Session's. It ignores an empty session, so the marks must be written before.
            current_app.session_interface.regenerate(session)
        # The old marks stay displaced even if this fails, so the restored session needs a new id.
        undo.callback(renew_marks_id, before)
        displace_marks(former)
        end_replaced([home for id, home in homes.items() if id not in kept], record.identity)
        undo.pop_all()
    current_visit().forget()
    return response


def keep_record(login: Registration, record: Record) -> None:
    """Store the record."""
    login.records.create(
        hashed_name("record", record.id),
        seal_record(login, record),
        labels_of(login, record),
        expires_at(record),
    )


def forget_record(login: Registration, record: Record) -> None:
    """Delete the record of a failed sign-in. If the store fails too, no session names it."""
    if login.store is not None:
        with suppress(StoreError):
            login.store.delete(hashed_name("record", record.id))


def end_replaced(homes: t.Iterable[RecordHome], identity: Identity) -> None:
    """End the logins that a new one replaces, and revoke their tokens if of another account.

    Tokens of the same account are not revoked, because some providers, such as Google, revoke all
    tokens of an account together, the new one too.

    :raises StoreError: the first login can't be ended, so all of them stay. Once one has ended, a
        later failure is only logged: no session names those records, and they expire.
    """
    ended: list[RecordHome] = []
    for home in homes:
        try:
            home.end("replaced")
        except StoreError as error:
            if not ended:
                raise
            log.warning("%s: a login that was replaced could not be ended. %s", home.login, error)
        ended.append(home)
    account = (identity.provider, identity.id)
    others = [home for home in ended if (home.login, home.record.identity.id) != account]
    revoke(*((home.handler, home.record.token) for home in others))


def make_session_ready(
    login: Registration, attempt: Attempt, record: Record, former: Marks
) -> tuple[Response | None, set[str]]:
    """Write the mark, and let the app have its say: Django's rule, and its order.

    :returns: what ``on_login`` wants sent, and the ids of former records that go on.
    """
    identity, linking = record.identity, attempt.link_owner is not None
    who = fingerprints(login, identity)
    before = [row for row in former.rows if row.login == login.name]
    # Further accounts of the same person stay; of this one the new record takes the place.
    others = [row for row in former.rows if row not in before or row.who not in who]
    if linking and linking_owner() != attempt.link_owner:
        raise AuthorizationError("invalid_state", "somebody else is signed in by now")
    if before and not linking and not any(row.who in who for row in before):
        clear_session()
        others = []
    # Tokens that were made for the session before, such as Flask-WTF's.
    session.pop(current_app.config.get("WTF_CSRF_FIELD_NAME", "csrf_token"), None)
    mark = Mark(login.name, record.id, who[0] if who else "", this_minute())
    write_marks([*others, mark])
    before_hook = copy.deepcopy(dict(session))
    if linking:
        identity.owner = attempt.link_owner
    else:
        # Without an own attribute, owner reads as None, and an assignment of None can be noticed.
        vars(identity).pop("owner", None)
    # For the hook it is the new person who is there: nobody's token is taken for another's.
    current_visit().forget()
    current_visit().homes[login.name, record.id] = RecordHome.holding(login, record)
    response = login.hooks.run_on_login(identity, record.token)
    if "owner" in vars(identity):
        identity.owner = owner_key(identity.owner)
    owner = owner_fingerprints(identity.owner)
    if any(row.owner and row.owner not in owner for row in former.rows):
        # Somebody else, by the app's own word. What the hook has just written is his.
        his = {key: value for key, value in session.items() if before_hook.get(key) != value}
        clear_session()
        session.update(his)
        others = []
    mark.owner = owner[0] if owner else ""
    if identity.owner is None:
        identity.owner = default_owner(identity)
    write_marks([*others, mark])
    return response, {row.id for row in others}


def fingerprints(login: Registration, identity: Identity) -> list[str]:
    """Keyed hashes of who it is at the provider, by each of the app's secrets; [] if unknown."""
    if identity.id is None:
        return []
    hashes = current_extension().sealer.keyed_hashes("who", *login.context, identity.id)
    return [full[:6] for full in hashes]


def owner_fingerprints(owner: str | None) -> list[str]:
    """Likewise, of the app's own key for a person."""
    if owner is None:
        return []
    return [full[:6] for full in current_extension().sealer.keyed_hashes("owner", owner)]


def linking_owner() -> str:
    """The app's key for whoever is signed in, for an account to be added to it.

    :raises LoginRequired: nobody is.
    :raises ConfigurationError: nothing names an owner, or records don't rest on the server.
    """
    login = current_login()
    if login is None:
        raise LoginRequired("Sign in before you add an account.")
    server_store(login)
    identity = find_identity(login)
    return owner_of(t.cast(Identity, identity))
