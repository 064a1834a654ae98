"""One record in its store, as renewal and signing out see it."""

from __future__ import annotations

import dataclasses
import hashlib
import time
import typing as t

from flask import current_app

from ..client.renewal import Kept
from ..protocol.errors import ConfigurationError
from ..protocol.identity import Identity
from ..protocol.token import Token
from ..stores.sealing import encode
from . import signals
from .extension import Login
from .extension import current_extension
from .record import Record
from .record import pack
from .record import unpack
from .revocation import revoke


def store_id(id: str) -> str:
    """What a record is called in a store: the id itself opens a session, so it rests nowhere."""
    return encode(hashlib.sha256(id.encode()).digest())


def expires_at(record: Record) -> float:
    """When a record ends, if it is not used again: Unix seconds."""
    idle = time.time() + current_extension().lifetime()
    end = absolute_end(record)
    return idle if end is None else min(idle, end)


def absolute_end(record: Record) -> float | None:
    """When a record ends however much it is used: OAUTH2_LOGIN_LIFETIME seconds after sign-in."""
    seconds = current_app.config.get("OAUTH2_LOGIN_LIFETIME")
    return None if seconds is None else record.signed_in_at + float(seconds)


def owner_of(identity: Identity) -> str:
    """The app's key for a person; without one, the account at the provider.

    :raises ConfigurationError: nothing says who it is.
    """
    if identity.owner is not None:
        return identity.owner
    if identity.id is None:
        raise ConfigurationError(
            f"The login {identity.provider!r} does not know who signs in, so it has no owners:"
            " give its handler a userinfo_url, or set identity.owner in on_login."
        )
    return f"{identity.provider}:{identity.tenant or ''}:{identity.id}"


def labels_of(login: Login, record: Record) -> dict[str, str]:
    """What a server-side store finds a record by, as keyed hashes."""
    if login.store is None:
        return {}
    identity, keyed = record.identity, current_extension().sealer.digest
    labels = {"provider": login.name, "tenant": identity.tenant or ""}
    if identity.id is not None:
        labels |= {"subject": identity.id, "owner": owner_of(identity)}
    if sid := record.id_claims.get("sid"):
        labels["sid"] = str(sid)
    return {name: keyed(value, f"label:{name}") for name, value in labels.items()}


def seal_record(login: Login, record: Record) -> str:
    return current_extension().sealer.seal(pack(record), "record", login.name)


def open_record(login: Login, sealed: str) -> Record | None:
    opened = current_extension().sealer.open(sealed, "record", login.name)
    return None if opened is None else unpack(opened, login.name)


class RecordHome:
    """One record in its store, as renewal sees it: `client.renewal.Home`."""

    record: Record

    def __init__(self, login: Login, id: str) -> None:
        self._login = login
        self._id = id
        self._version: str | None = None

    @property
    def key(self) -> str:
        return f"{self._login.name}:{self._id}"

    @property
    def login(self) -> str:
        return self._login.name

    @property
    def seconds(self) -> float:
        return self._login.handler.transport.seconds

    def current(self) -> Kept | None:
        return None if self._version is None else Kept(self.record.token, self._version)

    def reload(self) -> Kept | None:
        self._version = None
        stored = self._login.records.read(store_id(self._id))
        record = open_record(self._login, stored.sealed) if stored else None
        if stored is None or record is None or record.id != self._id:
            return None
        end = absolute_end(record)
        if end is not None and end <= time.time():
            return None
        self.record, self._version = record, stored.version
        return self.current()

    def refresh(self, token: Token) -> Token | None:
        return self._login.handler.renew(token, self.record.id_claims)

    def replace(self, token: Token, version: str) -> t.Literal["replaced", "changed", "gone"]:
        record = dataclasses.replace(self.record, token=token)
        sealed = seal_record(self._login, record)
        outcome = self._login.records.replace(
            store_id(self._id), sealed, version, expires_at(record)
        )
        if outcome == "replaced":
            self.reload()
            signals.send(
                signals.token_refreshed, login=self.login, identity=record.identity, token=token
            )
        return outcome

    def revoke(self, token: Token) -> None:
        revoke(self._login.handler, token)

    def end(self, reason: str = "expired") -> bool:
        """End the login; the mark that is left in the session opens nothing.

        :returns: False where somebody else ended it at the same time.
        """
        ended = self._login.records.delete(store_id(self._id))
        self._version = None
        if ended:
            signals.send(
                signals.logged_out, login=self.login, identity=self.record.identity, reason=reason
            )
        return ended

    def touch(self) -> None:
        """Note that the login is in use."""
        self._login.records.touch(store_id(self._id), expires_at(self.record))

    def lease(self, seconds: float) -> str | None:
        return self._login.shared.lease(f"renew:{store_id(self._id)}", seconds)

    def release(self, ticket: str) -> None:
        self._login.shared.release(f"renew:{store_id(self._id)}", ticket)
