"""`TokenStore`: what every place for sealed records on the server can do."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..protocol.errors import ConfigurationError

#: What a record may be labelled with.
LABELS = ("owner", "provider", "tenant", "subject", "sid")
#: What records may be found by: all labels of one of these.
INDEXES = (("owner",), ("provider", "tenant", "subject"), ("provider", "tenant", "sid"))

#: What a store must know how to do; `relabel` is for re-sealing only.
METHODS = (
    "read", "create", "replace", "touch", "delete", "find", "scan", "lease", "release", "once",
    "sweep",
)  # fmt: skip

#: The value that replaces a record once its login has ended.
ENDED = ""

Outcome = t.Literal["replaced", "changed", "gone"]


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as a store has it: what was sealed, and which version of it that is."""

    sealed: str = field(repr=False)
    version: str


class SharedStore(t.Protocol):
    """A store that processes share: the part of :class:`TokenStore` that needs no index."""

    def read(self, id: str) -> Stored | None: ...

    def create(
        self, id: str, sealed: str, labels: t.Mapping[str, str], expires_at: float
    ) -> None: ...

    def replace(self, id: str, sealed: str, version: str, expires_at: float) -> Outcome: ...

    def touch(self, id: str, expires_at: float) -> None: ...

    def delete(self, id: str) -> bool: ...

    def lease(self, name: str, seconds: float) -> str | None: ...

    def release(self, name: str, ticket: str) -> None: ...

    def once(self, name: str, seconds: float) -> bool: ...


class TokenStore(t.Protocol):
    """Keeps sealed records on the server; knows nothing of OAuth, and can't read what it keeps.

    Every method may be called from any thread, at any time, after a fork too. Each is a short
    transaction of the store's own, never a part of the caller's.

    Ids, names and labels are ASCII strings of 1 to 64 characters, keyed hashes as a rule, and two
    are equal only if all their bytes are. What is sealed is an ASCII string of any length. Times
    are finite Unix seconds. From ``expires_at`` on a record is as good as none for every method.

    A store that can't be reached raises :exc:`StoreError`, within seconds, and works again as soon
    as its server does. After that error it is unknown whether the call had its effect. No error's
    text or chain holds a secret, such as the password in a URL.

    A store may also have a method ``check()``. It is called when a login is registered, and raises
    :exc:`ConfigurationError` if something is missing that only a developer can fix.

    To try a store of your own, see :class:`flask_oauth2_login.stores.conformance.StoreConformance`.
    """

    def read(self, id: str) -> Stored | None:
        """The record, or None: there never was one, it was deleted, or it has expired."""

    def create(self, id: str, sealed: str, labels: t.Mapping[str, str], expires_at: float) -> None:
        """Add a record.

        :param labels: any of ``owner``, ``provider``, ``tenant``, ``subject``, ``sid``.
        :raises KeyError: a record with this id lives already; it stays as it was.
        :raises TypeError: a label has another name.
        """

    def replace(self, id: str, sealed: str, version: str, expires_at: float) -> Outcome:
        """Put a new value in a record's place, if it still is the version that was read.

        Of any number of callers with the same version one succeeds. The record has a version
        that it never had before, and its labels, afterwards.

        :returns: ``"replaced"``; ``"changed"``, where somebody else was first; ``"gone"``, where
            there is no record. It is not created then.
        """

    def touch(self, id: str, expires_at: float) -> None:
        """Let a record end at another time. Its version stays; what is gone is not created."""

    def relabel(self, id: str, labels: t.Mapping[str, str]) -> None:
        """Give a record other labels. Its version stays; what is gone is not created.

        :param labels: as for :meth:`create`; those not among them are taken away.
        :raises TypeError: a label has another name.
        """

    def delete(self, id: str) -> bool:
        """End a record. True for one of any number of callers: the one that ended it."""

    def find(self, **labels: str) -> list[str]:
        """The ids of all records that have all these labels, in no particular order.

        :param labels: ``owner``; or ``provider``, ``tenant`` and ``subject``; or ``provider``,
            ``tenant`` and ``sid``.
        :raises TypeError: it was asked for something else.
        """

    def scan(self, after: str | None, limit: int) -> list[str]:
        """The ids of all records, a page at a time, in the order of their bytes.

        :param after: the last id of the page before, or None for the first page.
        :param limit: the most ids to return. Fewer mean that this page is the last.
        """

    def lease(self, name: str, seconds: float) -> str | None:
        """Ask to be the only one who does something.

        :param seconds: when the lease ends, unless it is released before.
        :returns: a ticket to release it with, or None while somebody holds it.
        """

    def release(self, name: str, ticket: str) -> None:
        """Give a lease back. With a ticket whose lease has ended nothing happens."""

    def once(self, name: str, seconds: float) -> bool:
        """Whether this is the first call with this name in so many seconds.

        :param seconds: for how long the name is remembered, from the first call on.
        """

    def sweep(self) -> int:
        """Delete what has expired, and return the number of records among that.

        Stores do it by themselves, now and then, as far as they have to.
        """


def check_labels(labels: t.Mapping[str, str]) -> None:
    """See that a record's labels have the names that they may have.

    :raises TypeError: one has another.
    """
    for name in labels:
        if name not in LABELS:
            raise TypeError(f"A record has no label {name!r}. Its labels are {', '.join(LABELS)}.")


def find_index(labels: t.Collection[str]) -> tuple[str, ...]:
    """The index that answers a question by these labels.

    :raises TypeError: there is none.
    """
    for index in INDEXES:
        if set(index) == set(labels):
            return index
    known = "; ".join(", ".join(index) for index in INDEXES)
    raise TypeError(f"Records can't be found by {', '.join(labels) or 'nothing'}. Ask for {known}.")


def require_given(store: object, where: object) -> None:
    """See that a store was told where to keep things: a setting may be missing.

    :raises ConfigurationError: it was not.
    """
    if where is None or where == "":
        raise ConfigurationError(f"{type(store).__name__} needs a URL: is a setting missing?")
