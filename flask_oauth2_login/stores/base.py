"""`TokenStore`: the methods of every store that keeps sealed records on the server."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..protocol.errors import ConfigurationError, see

#: The labels that a record may have.
LABELS = ("owner", "provider", "tenant", "subject", "sid")
#: The sets of labels by which records can be found.
INDEXES = (("owner",), ("provider", "tenant", "subject"), ("provider", "tenant", "sid"))

#: The methods that every store must have. Only resealing calls `relabel`, which may be missing.
METHODS = (
    "read", "create", "replace", "touch", "delete", "find", "scan", "lease", "release", "once",
    "sweep",
)  # fmt: skip

#: The value that replaces a record once its login has ended.
ENDED = ""
#: The beginning of the ids of notes that all of a person's sign-ins have ended. No record of the
#: local store that begins so is deleted before it expires.
ENDINGS = "ended:"

#: The number of records that are asked for at a time.
PAGE = 500

Outcome = t.Literal["replaced", "changed", "gone"]


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as :meth:`TokenStore.read` returns it.

    :param sealed: the sealed record, an ASCII string. It is not part of the ``repr``.
    :param version: any string that the record never had before; :meth:`TokenStore.create` and
        :meth:`TokenStore.replace` give it a new one.
    """

    sealed: str = field(repr=False)
    version: str


class SharedStore(t.Protocol):
    """A store that processes share: the methods of :class:`TokenStore` that need no index.

    The local store has these methods only.
    """

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
    """A store for sealed records on the server. It knows nothing of OAuth, and can't open records.

    To write a store of your own, write a class with these methods, for example::

        class MyStore:
            def read(self, id):
                row = self.database.get_row(id, after=time.time())
                return Stored(row.sealed, row.version) if row else None

        app.register_blueprint(OAuth2Login("github", store=MyStore()))

    :class:`flask_oauth2_login.stores.conformance.StoreConformance` has tests for it.

    Every method may be called from any thread, at any time, after a fork too. Each is a short
    transaction of the store's own, never a part of the caller's.

    Ids, names and labels are ASCII strings of 1 to 64 characters, as a rule keyed hashes. Two are
    equal only if all their bytes are equal. A sealed record is an ASCII string of any length. Times
    (``expires_at``) are finite Unix seconds. From its ``expires_at`` on, a record does not exist
    for any method.

    If the store can't be reached, every method raises :exc:`StoreError` within seconds, and works
    again as soon as the store's server does. After that error it is unknown whether the call had an
    effect. Neither the error's text nor its chain may contain a secret, such as the password in a
    URL.

    A store may also have a method ``check()``, which is called when a login is registered. It
    raises :exc:`ConfigurationError` if something is missing that only a developer can fix.
    """

    def read(self, id: str) -> Stored | None:
        """Return the record with this id.

        :returns: the record; None if it never existed, was deleted, or has expired.
        """

    def create(self, id: str, sealed: str, labels: t.Mapping[str, str], expires_at: float) -> None:
        """Add a record.

        :param sealed: the sealed record.
        :param labels: any of ``owner``, ``provider``, ``tenant``, ``subject`` and ``sid``.
        :param expires_at: when the record expires, in Unix seconds.
        :raises KeyError: a record with this id exists. It is not changed.
        :raises TypeError: a label has another name.
        """

    def replace(self, id: str, sealed: str, version: str, expires_at: float) -> Outcome:
        """Replace a record's value if the record still has the version that was read.

        Of any number of callers with the same version, one succeeds. Afterwards the record has a
        version that it never had before. It keeps its labels.

        :param sealed: the new sealed record.
        :param version: the version that was read.
        :param expires_at: when the record expires from now on, in Unix seconds.
        :returns: ``"replaced"``; ``"changed"`` if the record has another version; ``"gone"`` if
            there is no record, which is not created then.
        """

    def touch(self, id: str, expires_at: float) -> None:
        """Change when a record expires. It keeps its version. A missing record is not created.

        :param expires_at: when the record expires from now on, in Unix seconds.
        """

    def relabel(self, id: str, labels: t.Mapping[str, str]) -> None:
        """Replace a record's labels. It keeps its version. A missing record is not created.

        Only :meth:`OAuth2Login.reseal` calls this.

        :param labels: as for :meth:`create`. The record loses all other labels.
        :raises TypeError: a label has another name.
        """

    def delete(self, id: str) -> bool:
        """Delete a record.

        :returns: True for the one caller that deleted it; False if there was no record.
        """

    def find(self, **labels: str) -> list[str]:
        """Return the ids of all records that have all these labels, in any order.

        :param labels: ``owner``; or ``provider``, ``tenant`` and ``subject``; or ``provider``,
            ``tenant`` and ``sid``.
        :raises TypeError: the labels are none of these sets.
        """

    def scan(self, after: str | None, limit: int) -> list[str]:
        """Return the ids of all records, a page at a time, in the order of their bytes.

        :param after: the last id of the page before; None for the first page.
        :param limit: the most ids to return. A page with fewer ids is the last one.
        """

    def lease(self, name: str, seconds: float) -> str | None:
        """Take a lease, which only one caller has at a time.

        :param seconds: how long the lease lasts, unless it is released before.
        :returns: a ticket to release it with; None while somebody else has the lease.
        """

    def release(self, name: str, ticket: str) -> None:
        """Give a lease back. Nothing happens if the ticket's lease has ended.

        :param ticket: what :meth:`lease` returned.
        """

    def once(self, name: str, seconds: float) -> bool:
        """Return True for the first call with this name, False for every other one.

        :param seconds: how long the name is remembered, from the first call on.
        """

    def sweep(self) -> int:
        """Delete everything that has expired. Stores do this by themselves, now and then.

        :returns: the number of records that were deleted.
        """


def all_ids(store: TokenStore) -> t.Iterator[str]:
    """Yield the ids of all records in a store, a page at a time.

    :raises StoreError: the store can't be read.
    """
    page = store.scan(None, PAGE)
    while page:
        yield from page
        page = store.scan(page[-1], PAGE) if len(page) == PAGE else []


def check_labels(labels: t.Mapping[str, str]) -> None:
    """Check that labels have known names.

    :raises TypeError: one has another name.
    """
    for name in labels:
        if name not in LABELS:
            raise TypeError(
                f"A record has no label {name!r}. Its labels are {', '.join(LABELS)}."
                f" {see('store-labels')}"
            )


def find_index(labels: t.Collection[str]) -> tuple[str, ...]:
    """Return the set of labels, in its order, by which records with these labels are found.

    :raises TypeError: records can't be found by these labels.
    """
    for index in INDEXES:
        if set(index) == set(labels):
            return index
    known = "; ".join(", ".join(index) for index in INDEXES)
    raise TypeError(
        f"Records can't be found by {', '.join(labels) or 'nothing'}. Use {known}."
        f" {see('store-labels')}"
    )


def require_given(store: object, where: object) -> None:
    """Check that a store was given a path, a URL or a client, because a setting may be missing.

    :raises ConfigurationError: it was given None or an empty string.
    """
    if where is None or where == "":
        raise ConfigurationError(
            f"{type(store).__name__} needs a URL or a path, and was given {where!r}. Is a setting"
            " missing?",
            row="store-url",
        )
