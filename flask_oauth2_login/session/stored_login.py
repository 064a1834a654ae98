"""One record in its store, as renewal and signing out see it."""

from __future__ import annotations

import dataclasses
import logging
import time
import typing as t

from .. import signals
from ..client.oauth2 import OAuth2
from ..client.refresh import Kept
from ..client.revocation import revoke
from ..protocol.errors import ConfigurationError, StoreError
from ..protocol.identity import Identity
from ..protocol.token import Token
from ..stores.base import Outcome, TokenStore
from ..stores.sealing import hashed_name
from .browser_record import BrowserRecords
from .extension import current_extension
from .record import Record, default_owner, pack, unpack
from .registration import Registration

log = logging.getLogger("flask_oauth2_login")

#: Seconds for which a new token waits for the store.
ASIDE_SECONDS = 7 * 24 * 3600
#: Seconds for which a grant is kept without use: it ends by `unlink`, or at the provider.
GRANT_SECONDS = 10 * 365 * 24 * 3600


def expires_at(record: Record) -> float:
    """When a record ends, if it is not used again: Unix seconds."""
    if record.is_grant:
        return time.time() + GRANT_SECONDS
    extension = current_extension()
    # It is touched that often; in between nobody says that it is in use.
    idle = time.time() + extension.idle_seconds + extension.touch_seconds
    end = absolute_end(record)
    return idle if end is None else min(idle, end)


def absolute_end(record: Record) -> float | None:
    """When a record ends however much it is used: OAUTH2_LOGIN_LIFETIME seconds after sign-in."""
    if record.is_grant:
        return None
    seconds = current_extension().lifetime
    return None if seconds is None else record.signed_in_at + seconds


def is_over(record: Record) -> bool:
    """Whether a record has ended however much it is used."""
    end = absolute_end(record)
    return end is not None and end <= time.time()


def owner_of(identity: Identity) -> str:
    """The app's key for a person; without one, the account at the provider.

    :raises ConfigurationError: nothing says who it is.
    """
    owner = default_owner(identity) if identity.owner is None else identity.owner
    if owner is None:
        raise ConfigurationError(
            f"The login {identity.provider!r} does not know who signs in, so it has no owners:"
            " give its handler a userinfo_url, or set identity.owner in on_login."
        )
    return owner


def owner_key(owner: object) -> str:
    """Return the app's own key for a person as text.

    :raises ConfigurationError: the key is None, "None" or empty. All people without a key would
        count as one person.
    """
    key = "" if owner is None else str(owner)
    if key in {"", "None"}:
        raise ConfigurationError(
            f"{owner!r} can't be an owner. Set identity.owner, and call session_for(), accounts()"
            " and unlink(), with your key for the person. A new user has a primary key only after"
            " a flush or commit of the database session."
        )
    return key


def grant_labels(login: Registration, record: Record) -> dict[str, str]:
    """What a grant is found by: a person's accounts, and not what signs browsers out."""
    labels = labels_of(login, record)
    return {"owner": labels["owner"], "provider": labels["provider"]}


def labels_of(login: Registration, record: Record) -> dict[str, str]:
    """What a server-side store finds a record by, as keyed hashes."""
    if login.store is None:
        return {}
    identity, keyed = record.identity, current_extension().sealer.keyed_hash
    labels = {"provider": login.name, "tenant": identity.tenant or ""}
    if identity.id is not None:
        # What a provider that signs people out calls them, whatever the app takes for their id.
        subject = str(record.id_claims.get("sub", identity.id))
        labels |= {"subject": subject, "owner": owner_of(identity)}
    if sid := record.id_claims.get("sid"):
        labels["sid"] = str(sid)
    return {name: keyed(f"label:{name}", value) for name, value in labels.items()}


def find_record_homes(login: Registration, **labels: str) -> list[RecordHome]:
    """The records of a login, in a server-side store, that have all these labels and live."""
    store, sealer = server_store(login), current_extension().sealer
    if "owner" not in labels:
        labels = {"provider": login.name, "tenant": "", **labels}
    hashes = [sealer.keyed_hashes(f"label:{name}", value) for name, value in labels.items()]
    homes: dict[str, RecordHome] = {}
    # By each of the app's secrets: an older one labelled what has not been sealed anew since.
    for hashed in zip(*hashes, strict=True):
        for found in store.find(**dict(zip(labels, hashed, strict=True))):
            stored = store.read(found)
            record = open_record(login, stored.sealed) if stored else None
            if stored and record is not None and not is_over(record):
                homes[found] = RecordHome.holding(login, record, stored.version)
    return list(homes.values())


def server_store(login: Registration) -> TokenStore:
    """The login's store on the server.

    :raises ConfigurationError: its records rest in browsers.
    """
    if login.store is None:
        raise ConfigurationError(
            f"This needs a server-side store, and the records of the login {login.name!r} rest in"
            " browsers. Give it one: OAuth2Login(…, store='sqlite:///logins.db'), or set"
            " OAUTH2_LOGIN_STORE to that, to 'postgresql+psycopg://…' or to 'redis://…'."
        )
    return login.store


def seal_record(login: Registration, record: Record) -> str:
    """Seal a record for its store.

    :raises ProviderAnswerError: it is larger than what could be opened again.
    """
    return current_extension().sealer.seal(pack(record), "record", *login.context)


def open_record(login: Registration, sealed: str) -> Record | None:
    """The record that was sealed; None for one that is not this login's, or an older release's."""
    opened = current_extension().sealer.open(sealed, "record", *login.context)
    return None if opened is None else unpack(opened, login.name)


def end_homes(homes: t.Iterable[RecordHome], reason: str) -> bool:
    """End logins, and revoke their tokens where the provider can.

    :returns: False if there were none, or if another request ended them at the same time.
    """
    ended: list[RecordHome] = []
    try:
        ended.extend(home for home in homes if home.end(reason))
    finally:
        # If the store failed at one, revoke the tokens of those before it all the same.
        revoke(*((home.handler, home.record.token) for home in ended))
    return bool(ended)


class RecordHome:
    """One record in its store, as renewal sees it: `client.refresh.Home`.

    It belongs to the browser of the request that made it, also in a thread or after the request.
    """

    record: Record

    def __init__(self, login: Registration, id: str, *, is_grant: bool = False) -> None:
        self._login = login
        self._id = id
        # The id in a session's mark must never open a grant, only a browser's record.
        self._is_grant = is_grant
        self._store_id = id if is_grant else hashed_name("record", id)
        self._lease_name = hashed_name("renew", id)
        self._records = login.records
        if isinstance(self._records, BrowserRecords):
            self._records = self._records.of_this_request()
        # Always replaced as a whole, so that threads sharing a session see a complete token.
        self._kept: Kept | None = None
        self._grant: RecordHome | None = None

    @classmethod
    def holding(cls, login: Registration, record: Record, version: str = "") -> RecordHome:
        """That of a record which has been read already.

        Without a version, of one which does not rest yet: its token can be used, not renewed.
        """
        home = cls(login, record.id, is_grant=record.is_grant)
        home.record, home._kept = record, Kept(record.token, version)
        return home

    @property
    def key(self) -> str:
        return f"{self._login.name}:{self._id}"

    @property
    def login(self) -> str:
        return self._login.name

    @property
    def handler(self) -> OAuth2:
        return self._login.handler

    @property
    def person(self) -> str:
        identity = self.record.identity
        return self._id if identity.id is None else f"{identity.tenant or ''}:{identity.id}"

    @property
    def seconds(self) -> float:
        return self._login.handler.transport.seconds

    def can_renew(self, token: Token) -> bool:
        return token.refresh_token is not None

    def current(self) -> Kept | None:
        return self._kept

    def reload(self) -> Kept | None:
        stored = self._records.read(self._store_id)
        record = open_record(self._login, stored.sealed) if stored else None
        kept = None
        if stored and record is not None and self._is_mine(record) and not is_over(record):
            self.record, kept = record, Kept(record.token, stored.version)
        self._kept = kept
        return kept

    def _is_mine(self, record: Record) -> bool:
        return (record.id, record.is_grant) == (self._id, self._is_grant)

    def refresh(self, token: Token) -> Token | None:
        return self._login.handler.renew(token, self.record.id_claims)

    def replace(self, token: Token, version: str) -> Outcome:
        outcome = self.put(token, version)
        if outcome == "replaced":
            signals.send(
                signals.token_refreshed,
                login=self.login,
                identity=self.record.identity,
                token=token,
            )
        return outcome

    def put(self, token: Token, version: str) -> Outcome:
        """As :meth:`replace`, of a token that was not renewed but came with a sign-in."""
        record = dataclasses.replace(self.record, token=token)
        sealed = seal_record(self._login, record)
        outcome = self._records.replace(self._store_id, sealed, version, expires_at(record))
        if outcome == "replaced":
            if self._login.store is None and token.refresh_token != self.record.token.refresh_token:
                self._say_where_it_counts()
            try:
                self.reload()
            except StoreError:
                # It is kept, and only its version is unknown.
                self.record, self._kept = record, Kept(token, "")
        return outcome

    def _say_where_it_counts(self) -> None:
        if current_extension().once("rotation"):
            log.info(
                "%s: this provider's refresh tokens can be used once. On several machines, keep"
                " records in a server-side store (OAUTH2_LOGIN_STORE).",
                self.login,
            )

    def set_aside(self, token: Token, version: str) -> None:
        """Keep a new token where this machine's processes look, while the store is away."""
        name = hashed_name("aside", self._id)
        sealed = current_extension().sealer.seal(
            [version, dict(token)], "aside", *self._login.context
        )
        current_extension().machine.put(name, sealed, time.time() + ASIDE_SECONDS)

    def find_aside(self, version: str) -> Token | None:
        """The token that was set aside to take this version's place."""
        stored = current_extension().machine.read(hashed_name("aside", self._id))
        sealed = stored.sealed if stored else None
        opened = current_extension().sealer.open(sealed, "aside", *self._login.context)
        return Token(opened[1]) if opened and opened[0] == version else None

    def revoke(self, token: Token) -> None:
        revoke((self._login.handler, token))

    def end(self, reason: str = "expired") -> bool:
        """End the login; the mark that is left in the session opens nothing.

        :returns: False where somebody else ended it at the same time.
        """
        ended = self._records.delete(self._store_id)
        self._kept = None
        if ended:
            signals.send(
                signals.logged_out, login=self.login, identity=self.record.identity, reason=reason
            )
        return ended

    @property
    def token_home(self) -> RecordHome | None:
        """The record that has the token: this one, or the grant; None where that has ended."""
        if self.record.grant is None or self.record.is_grant:
            return self
        if self._grant is None:
            grant = RecordHome(self._login, self.record.grant, is_grant=True)
            grant.reload()
            self._grant = grant
        return self._grant if self._grant.current() is not None else None

    def touch(self) -> None:
        """Note that the login is in use."""
        self._records.touch(self._store_id, expires_at(self.record))

    def lease(self, seconds: float) -> str | None:
        return self._login.shared.lease(self._lease_name, seconds)

    def release(self, ticket: str) -> None:
        self._login.shared.release(self._lease_name, ticket)
