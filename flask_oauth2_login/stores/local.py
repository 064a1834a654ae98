"""The local store: what the processes of one app on one machine share, without a server."""

from __future__ import annotations

import logging
import os
import time
import typing as t
from contextlib import suppress
from hashlib import sha256

from ..protocol.errors import StoreError, see
from ..protocol.fork_safe import ForkSafe
from .base import ENDED, ENDINGS, Outcome, SharedStore, Stored
from .local_file import find_file, is_unusable
from .shared_file import SharedFile
from .sqlite import BUSY_TIMEOUT, CHECK_INTERVAL, SQLiteStore

log = logging.getLogger("flask_oauth2_login")

#: The most records in the file, ended logins not counted.
MAX_RECORDS = 100_000
#: The most notes that a process remembers, to write them again if the file is lost.
MAX_NOTES = 10_000

NO_FILE = (
    "No file can be made for the processes of this app to share: %s Sign-outs and used sign-ins are"
    " known only to the process that handled them, until it ends. So a copy of old cookies may sign"
    " somebody in at another process, and one process may send a refresh token that another has"
    " used. Make the app's instance folder writable for this user, or use a server-side store. %s"
)
FILE_NOT_WRITTEN = (
    "Sign-outs can't be written for the other processes of this app now: %s This process remembers"
    " them, and writes them as soon as it can. Until then, a copy of old cookies may still sign"
    " somebody in at another process. %s"
)
FILE_LOST = (
    "The file that the processes of this app share was lost, and made anew: %s. This process has"
    " written again what it remembers (%d notes). Sign-outs and refreshed tokens that it does not"
    " know are forgotten, so a copy of old cookies may sign somebody in again. To end all logins,"
    " change SECRET_KEY. %s"
)


def open_local_store(instance_path: str | None, app_name: str, secret_name: str) -> LocalStore:
    """Open the store that all processes of one app on this machine share.

    Its file is in the app's instance folder if there is one, else in a private folder inside the
    system's temporary folder. A file that already exists in one of them is used where it is.
    Nothing is created before the first call.

    :param instance_path: the app's instance folder, whether it exists or not.
    :param app_name: the app's name. Together with the folder it distinguishes a user's apps.
    :param secret_name: a name that is the same in all processes and that nobody else can guess.
        It names a second folder, for use if another user has made the first.
    """
    name = sha256(f"{instance_path}\0{app_name}\0shared".encode()).hexdigest()[:32] + ".db"
    return LocalStore(lambda: find_file(instance_path, name, secret_name))


class _Note(t.NamedTuple):
    """A record that this process remembers, because it must not be lost."""

    sealed: str
    expires_at: float


class LocalStore(ForkSafe):
    """A store in a file that the app's processes share, or in memory if no file can be made.

    If the file exists but can't be used now, calls fail, because nobody knows which logins have
    ended. Only what :meth:`end` and :meth:`put` are given succeeds: this process keeps a note of
    it, which counts in this process at once, and writes it when the file can be used again. If the
    file is lost, this process writes all its notes into the new file.

    :param find_path: returns the file's path, and makes its folder if needed. It raises `OSError`
        if no file can be made, and `StoreError` if there is one that can't be used.
    """

    def __init__(self, find_path: t.Callable[[], str]) -> None:
        self._find_path = find_path
        #: When to look for the file again, by the monotonic clock.
        self._next_check = 0.0
        self._file: SharedFile | None = None
        #: The `file_id` of the file that has all notes except the unwritten ones.
        self._noted_file_id: int | None = None
        # Used, and opened, only if there is no file.
        self._memory = SQLiteStore(":memory:", limit=MAX_RECORDS)
        #: By the record's id, oldest first.
        self._notes: dict[str, _Note] = {}
        #: The ids of the notes that are not in the file yet.
        self._unwritten: set[str] = set()
        self._has_put_endings = False
        #: Why this process had no file at first; None if it always had one.
        self.no_file_reason: str | None = None
        super().__init__()

    def read(self, id: str) -> Stored | None:
        """Return a record, or None if there is none.

        :raises StoreError: the file exists, but can't be read now.
        """
        store = self._store()
        note = self._live_note(id) if self._notes else None
        if note is not None and (note.sealed == ENDED or id in self._unwritten):
            return Stored(note.sealed, "noted")
        return store.read(id)

    def is_unwritten(self, id: str) -> bool:
        """Return True if no process has written a record with this id: see `SharedFile`.

        :raises StoreError: the file exists, but can't be read now.
        """
        store = self._store()
        return isinstance(store, SharedFile) and id not in self._notes and store.is_unwritten(id)

    def create(self, id: str, sealed: str, labels: t.Mapping[str, str], expires_at: float) -> None:
        if self._has_ended(id):
            raise KeyError("A record with this id exists already.")
        self._store().create(id, sealed, labels, expires_at)

    def replace(self, id: str, sealed: str, version: str, expires_at: float) -> Outcome:
        if self._has_ended(id):
            return "changed"
        return self._store().replace(id, sealed, version, expires_at)

    def touch(self, id: str, expires_at: float) -> None:
        # A failure does no harm, because a note outlives its record by several touches.
        with suppress(StoreError):
            self._store().touch(id, expires_at)

    def delete(self, id: str) -> bool:
        with self._lock:
            self._notes.pop(id, None)
            self._unwritten.discard(id)
        return self._store().delete(id)

    def lease(self, name: str, seconds: float) -> str | None:
        return self._store().lease(name, seconds)

    def release(self, name: str, ticket: str) -> None:
        self._store().release(name, ticket)

    def once(self, name: str, seconds: float) -> bool:
        return self._store().once(name, seconds)

    def end(self, id: str, expires_at: float) -> bool:
        """Note that a login has ended. Nothing replaces the note until it expires.

        :returns: False if this was noted before.
        """
        return self.put(id, ENDED, expires_at)

    def put(self, id: str, sealed: str, expires_at: float) -> bool:
        """Store a record, replacing any other one, and note it until the file can be written.

        :returns: False if its login had ended; nothing is stored then.
        """
        if self._has_ended(id):
            return False
        is_written = True
        try:
            # Wait for a busy file once. While notes are unwritten, later calls don't wait.
            timeout = 0.0 if self._unwritten else BUSY_TIMEOUT
            is_stored = self._store().put(id, sealed, expires_at, timeout)
        except StoreError as error:
            is_stored, is_written = True, False
            if not self._unwritten:
                log.warning(FILE_NOT_WRITTEN, error.message, see("shared-file"))
        self._has_put_endings = self._has_put_endings or id.startswith(ENDINGS)
        if is_stored:
            self._remember(id, _Note(sealed, expires_at), is_written)
        return is_stored

    @property
    def path(self) -> str | None:
        """The path of the file; None if there is none, or before the first call."""
        return self._file.path if self._file is not None else None

    @property
    def has_endings(self) -> bool:
        """False if the last call of :meth:`read` proves that no id begins with `ENDINGS`."""
        return self._has_put_endings or (self._file is not None and self._file.has_endings)

    def _live_note(self, id: str) -> _Note | None:
        note = self._notes.get(id)
        return note if note is not None and note.expires_at > time.time() else None

    def _has_ended(self, id: str) -> bool:
        """Return True if this process has noted that a login has ended."""
        note = self._live_note(id)
        return note is not None and note.sealed == ENDED

    def _remember(self, id: str, note: _Note, is_written: bool) -> None:
        """Keep a note. Forget the oldest of too many, except the unwritten ones."""
        with self._lock:
            self._notes.pop(id, None)
            self._notes[id] = note
            if is_written:
                self._unwritten.discard(id)
            else:
                self._unwritten.add(id)
            while len(self._notes) - len(self._unwritten) > MAX_NOTES:
                del self._notes[next(id for id in self._notes if id not in self._unwritten)]

    def _store(self) -> SQLiteStore:
        """Return the store in the file, or the one in memory if there was never a file.

        :raises StoreError: there was a file, but it can't be used now.
        """
        now = time.monotonic()
        if now >= self._next_check:
            self._look_for_file()
            self._next_check = now + CHECK_INTERVAL
        file = self._file
        if file is None:
            return self._memory
        if self._unwritten or file.file_id != self._noted_file_id:
            self._write_notes(file)
        return file

    def _look_for_file(self) -> None:
        former = self._file
        if former is not None and is_unusable(former.path):
            raise StoreError(
                f"The file {former.path} can't be used any more, because its folder can't be read,"
                " or is not this user's. Give the folder back to this user, with mode 0700.",
                row="shared-file",
            )
        try:
            path = self._find_path()
            if former is not None and former.path == path:
                former.reopen_if_replaced()
            else:
                self._use_file(SharedFile(path, limit=MAX_RECORDS))
        except OSError as error:
            if former is not None:
                raise StoreError(
                    f"The file {former.path} is gone, and can't be made anew: {error}",
                    row="shared-file",
                ) from None
            if self.no_file_reason is None:
                self.no_file_reason = str(error)
                log.warning(NO_FILE, error, see("shared-file"))

    def _use_file(self, file: SharedFile) -> None:
        """Open a file, and copy what this process holds in memory into it.

        :raises OSError: the file could not be made.
        """
        try:
            file.reopen_if_replaced()
        except StoreError as error:
            if self._file is None and _is_empty(file.path):
                raise OSError(error.message) from None
            raise
        if self._file is None and self.no_file_reason:
            self._memory.copy_to(file)
        self._file = file

    def _write_notes(self, file: SharedFile) -> None:
        """Write the notes that the file lacks; all notes, if it is a new file."""
        if file.file_id != self._noted_file_id:
            with self._lock:
                self._unwritten.update(self._notes)
            if self._noted_file_id is not None:
                log.warning(FILE_LOST, file.path, len(self._notes), see("shared-file"))
            self._noted_file_id = file.file_id
        with suppress(StoreError):
            for id in list(self._unwritten):
                note = self._notes.get(id)
                if note is not None:
                    file.put(id, *note, timeout=0.0)
                with self._lock:
                    if self._notes.get(id) == note:
                        self._unwritten.discard(id)


def overwrite(store: SharedStore, id: str, sealed: str, expires_at: float) -> None:
    """Store a record in a store that processes share, replacing any other one."""
    if isinstance(store, LocalStore):
        store.put(id, sealed, expires_at)
        return
    store.delete(id)
    # If another process has just created the record, its value is as good.
    with suppress(KeyError):
        store.create(id, sealed, {}, expires_at)


def _is_empty(path: str) -> bool:
    """Return True if a file is empty or missing."""
    try:
        return os.path.getsize(path) == 0
    except OSError:
        return True
