"""`StoredLogin`: one login's record in its store, to read, replace and end."""

from __future__ import annotations

import dataclasses
import logging
import time
import typing as t
from contextlib import suppress

from .. import signals
from ..client.oauth2 import OAuth2
from ..client.revocation import revoke
from ..client.token_source import StoredToken, TokenSource
from ..protocol.errors import StoreError, see
from ..protocol.identity import Identity
from ..protocol.token import Token
from ..stores.base import Outcome
from ..stores.sealing import hashed_name
from .browser_record import BrowserRecords
from .endings import find_end
from .extension import current_extension
from .last_use import note_use
from .lifetime import expires_at, is_over
from .record import Record, copy_identity, pack, unpack, with_refreshed_claims
from .registration import Registration, server_store
from .renewal import CONFIRM_AGAIN_SECONDS, confirm, renew
from .stored_key import pack_token, unpack_token

log = logging.getLogger("flask_oauth2_login")

#: How long (s) a refreshed token waits on this machine for a store that is down.
FALLBACK_SECONDS = 7 * 24 * 3600


def find_stored_logins(registration: Registration, **labels: str) -> list[StoredLogin]:
    """Return the logins in a server-side store that have all these labels and have not ended.

    :raises ConfigurationError: browsers keep the records.
    :raises StoreError: the store can't be read.
    """
    store, sealer = server_store(registration), registration.sealer
    if "owner" not in labels:
        labels = {"provider": registration.name, "tenant": registration.tenant, **labels}
    hashes = [sealer.keyed_hashes(f"label:{name}", value) for name, value in labels.items()]
    logins: dict[str, StoredLogin] = {}
    # Search by each of the app's secrets: a record keeps the labels by which it was sealed last.
    for hashed in zip(*hashes, strict=True):
        for found in store.find(**dict(zip(labels, hashed, strict=True))):
            stored = store.read(found)
            record = open_record(registration, stored.sealed) if stored else None
            if stored and record is not None and not is_over(registration.config, record):
                logins[found] = StoredLogin.holding(registration, record, stored.version)
    return list(logins.values())


def seal_record(registration: Registration, record: Record) -> str:
    """Seal a record for its store.

    :raises ProviderAnswerError: it is too large to be opened again.
    """
    return registration.seal(pack(record, registration.context), "record")


def seal_within_room(registration: Registration, record: Record) -> tuple[Record, str]:
    """Seal a record, without its ID token if the browser has no room for that.

    :returns: the record as it is sealed, and the sealed record.
    :raises ProviderAnswerError: it is too large to be opened again.
    """
    sealed, records = seal_record(registration, record), registration.records
    is_optional = record.id_token is not None and registration.options.keep_id_token is None
    if is_optional and isinstance(records, BrowserRecords) and not records.has_room(sealed):
        record = dataclasses.replace(record, id_token=None)
        sealed = seal_record(registration, record)
    return record, sealed


def open_record(registration: Registration, sealed: str) -> Record | None:
    """Return a sealed record; None if it is another login's, or of an incompatible version."""
    name, tenant, context = registration.name, registration.tenant or None, registration.context
    roles = registration.options.roles
    return registration.sealer.open_cached(
        sealed, lambda opened: unpack(opened, name, context, tenant, roles), "record", *context
    )


def end_and_revoke(logins: t.Iterable[StoredLogin], reason: str) -> bool:
    """End logins, and revoke their tokens if the provider can.

    :returns: False if there were none, or if another request ended them at the same time.
    :raises StoreError: one can't be ended. Those before it have ended.
    """
    ended: list[StoredLogin] = []
    try:
        ended.extend(login for login in logins if login.end(reason))
    finally:
        revoke(*((login.handler, login.record.token) for login in ended))
    return bool(ended)


class StoredLogin(TokenSource):
    """One login's record in its store.

    It belongs to the browser of the request that made it, also in a thread or after the request.
    """

    record: Record
    #: While the provider is asked to confirm the login: when it did so before.
    confirming_since: int | None = None
    # Always replaced as a whole, so that threads sharing a session see a complete token.
    _stored: StoredToken | None = None
    _grant: StoredLogin | None = None
    # What `identity` returned, with the record that it was made of.
    _identity: tuple[Record, Identity] | None = None

    def __init__(self, registration: Registration, id: str, *, is_grant: bool = False) -> None:
        self.registration = registration
        self._id = id
        # The id in a session's entry must open only a browser's record, never a grant.
        self._is_grant = is_grant
        self._store_id = id if is_grant else hashed_name("record", id)
        records = registration.records
        if isinstance(records, BrowserRecords):
            records = records.of_this_request()
        self._records = records

    @classmethod
    def holding(cls, registration: Registration, record: Record, version: str = "") -> StoredLogin:
        """Return the login of a record that has been read already.

        :param version: the version that was read. Without it the record is not stored yet: its
            token can be used, but not refreshed.
        """
        login = cls(registration, record.id, is_grant=record.is_grant)
        login.record, login._stored = record, StoredToken(record.token, version)
        if not version:  # Nobody shares the record yet, and `on_login` may change the identity.
            login._identity = record, record.identity
        return login

    @property
    def identity(self) -> Identity:
        """Whose login it is, for this request alone, because the app may change it."""
        # A refresh changes the claims of the grant only.
        newest = (self._grant or self).record
        if self._identity is None or self._identity[0] is not newest:
            self._identity = newest, copy_identity(self.record.identity, newest.identity)
        return self._identity[1]

    @property
    def key(self) -> str:
        return f"{self.registration.key}:{self._id}"

    @property
    def name(self) -> str:
        return self.registration.name

    @property
    def provider(self) -> str:
        return self.registration.key

    @property
    def log_name(self) -> str:
        return self.registration.log_name

    @property
    def handler(self) -> OAuth2:
        return self.registration.handler

    @property
    def person(self) -> str:
        identity = self.record.identity
        return self._id if identity.id is None else identity.id

    @property
    def max_request_seconds(self) -> float:
        # With `revalidate`, UserInfo is asked too.
        requests = 1 if self.registration.options.revalidate is None else 2
        return requests * self.handler.http_options.max_request_seconds

    def can_refresh(self, token: Token) -> bool:
        return token.refresh_token is not None

    def current(self) -> StoredToken | None:
        return self._stored

    def reload(self) -> StoredToken | None:
        found = self._records.read(self._store_id)
        record = open_record(self.registration, found.sealed) if found else None
        stored = None
        if found and record and record.id == self._id and record.is_grant == self._is_grant:
            reason = find_end(self.registration, record)
            self.record = record
            if reason is None:
                stored = StoredToken(record.token, found.version)
            else:
                # If the store fails now, the next request ends it. Until then nobody is let in.
                with suppress(StoreError):
                    end_and_revoke([self], reason)
        # Set once, because a thread that shares the session may look at any moment.
        self._stored = stored
        return stored

    def refresh(self, token: Token) -> Token | None:
        ask = renew if self.confirming_since is None else confirm
        return ask(self.registration, self.record, token)

    def is_newer(self, stored: StoredToken, former: Token) -> bool:
        since = self.confirming_since
        is_confirmed = since is not None and self.record.confirmed_at > since
        return is_confirmed or super().is_newer(stored, former)

    def replace(self, token: Token, version: str) -> Outcome:
        options = self.registration.options
        newer = with_refreshed_claims(self.record, token, options.claims)
        newer.identity.roles = options.roles.name(newer.roles)
        if options.revalidate is not None:
            later = 0 if token.is_confirmed else options.revalidate - CONFIRM_AGAIN_SECONDS
            newer.renewed_at = int(time.time() - max(later, 0))
        outcome = self._put(newer, token, version)
        if outcome == "replaced":
            identity = self.identity
            signals.send(signals.token_refreshed, login=self.name, identity=identity, token=token)
        return outcome

    def put(self, token: Token, version: str) -> Outcome:
        """Replace the token as `replace` does, for a token that came with a sign-in."""
        return self._put(self.record, token, version)

    def _put(self, record: Record, token: Token, version: str) -> Outcome:
        record = dataclasses.replace(record, token=token)
        record, sealed = seal_within_room(self.registration, record)
        end = expires_at(self.registration.config, record)
        outcome = self._records.replace(self._store_id, sealed, version, end)
        if outcome == "replaced":
            if token.refresh_token != self.record.token.refresh_token:
                self._log_rotation()
            try:
                self.reload()
            except StoreError:
                # The record is stored; only its version is unknown.
                self.record, self._stored = record, StoredToken(token, "")
        return outcome

    def _log_rotation(self) -> None:
        """Log once how to run on several machines, if browsers keep the records."""
        if self.registration.store is None and current_extension().once("rotation"):
            log.info(
                "%s: this provider's refresh tokens can be used once. On several machines, keep"
                " records in a server-side store (OAUTH2_LOGIN_STORE).",
                self.log_name,
            )

    def note_refused(self) -> None:
        """Log once that another machine may have used the refresh token.

        This machine has not: it would have known the newer token.
        """
        if self.registration.store is None and current_extension().once("refused"):
            log.warning(
                "%s: the provider refused a refresh token that this machine has not used. If the"
                " app runs on several machines, another one has: set OAUTH2_LOGIN_STORE to a"
                " server-side store. On a single machine, it was revoked or has expired. %s",
                self.log_name,
                see("several-machines"),
            )

    def save_fallback(self, token: Token, version: str) -> None:
        name = hashed_name("aside", self._id)
        sealed = self.registration.seal([version, pack_token(token)], "aside")
        current_extension().local_store.put(name, sealed, time.time() + FALLBACK_SECONDS)

    def load_fallback(self, version: str) -> Token | None:
        stored = current_extension().local_store.read(hashed_name("aside", self._id))
        opened = self.registration.open(stored.sealed, "aside") if stored else None
        return unpack_token(opened[1]) if opened and opened[0] == version else None

    def revoke(self, token: Token) -> None:
        revoke((self.handler, token))

    def end(self, reason: str = "expired", *, announce: bool = True) -> bool:
        """Delete the record. The entry that is left in the session opens nothing.

        :param announce: False to send no `logged_out`, because the person stays signed in.
        :returns: False if another request has ended the login at the same time.
        """
        ended = self._records.delete(self._store_id)
        self._stored = None
        if ended:
            log.info("%s: a login has ended. The reason: %s.", self.log_name, reason)
            if announce:
                identity = self.identity
                signals.send(signals.logged_out, login=self.name, identity=identity, reason=reason)
        return ended

    @property
    def token_source(self) -> StoredLogin | None:
        """The login that has the token: this one, or its grant; None if the grant has ended."""
        if self.record.grant is None or self.record.is_grant:
            return self
        if self._grant is None:
            grant = StoredLogin(self.registration, self.record.grant, is_grant=True)
            grant.reload()
            self._grant = grant
        return self._grant if self._grant.current() is not None else None

    @property
    def newest_id_token(self) -> str | None:
        """The newest ID token of this browser's session at the provider, if it is kept."""
        own, source = self.record, self.token_source
        if source is None or source is self:
            return own.id_token
        # All browsers of a person refresh one grant, so its ID token may be of another's session.
        names = ("iss", "sub", "sid")
        same = all(source.record.id_claims.get(n) == own.id_claims.get(n) for n in names)
        return (source.record.id_token if same else None) or own.id_token

    @property
    def granted_scopes(self) -> list[str]:
        """The scopes that the provider named, and those that its response proves without a name.

        Some providers don't name ``offline_access`` and ``openid``: a refresh token and an ID token
        show that they were granted.
        """
        scopes, source = list(self.record.scopes), self.token_source
        if source is not None and source.record.token.refresh_token is not None:
            scopes.append("offline_access")
        return [*scopes, "openid"] if self.record.id_claims else scopes

    @property
    def kept_scopes(self) -> list[str]:
        """The scopes to ask for again at the next sign-in: those that were asked for and granted.

        A scope that was granted beyond that may be one that can't be asked for.
        """
        requested = self.record.requested.get("scope", ())
        missing = self.handler.missing_scopes(requested, self.granted_scopes)
        return [scope for scope in requested if scope not in missing]

    def touch(self) -> None:
        """Note that the login is in use."""
        end = expires_at(self.registration.config, self.record)
        self._records.touch(self._store_id, end)
        note_use(self.registration, self.record, end)

    def lease(self, seconds: float) -> str | None:
        return self.registration.shared_store.lease(hashed_name("renew", self._id), seconds)

    def release(self, ticket: str) -> None:
        self.registration.shared_store.release(hashed_name("renew", self._id), ticket)
