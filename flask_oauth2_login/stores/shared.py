"""The small file that the processes of one machine share, and the fallback if it fails."""

from __future__ import annotations

import logging
import os
import stat
import tempfile
import time
import typing as t
from contextlib import suppress
from hashlib import sha256

from ..protocol.errors import StoreError
from ..protocol.fork_safe import ForkSafe
from .base import ENDED, Outcome, SharedStore, Stored
from .sqlite import BUSY_SECONDS, SQLiteStore

log = logging.getLogger("flask_oauth2_login")

#: The most records in the file, ended logins not counted.
LIMIT = 100_000
#: The most notes that a process remembers, to write them again if the file is lost.
REMEMBERED = 10_000
#: Seconds between checks that the file is still in its place.
LOOK = 1.0

ALONE = (
    "What the processes of this app should share stays in each of them: %s Sign-outs and used"
    " sign-ins are known only to the process that handled them, until it ends. So a copy of old"
    " cookies may sign somebody in at another process, and one process may send a refresh token"
    " that another has used. Make the app's instance folder writable for this user, or use a"
    " server-side store."
)
UNWRITTEN = (
    "Sign-outs can't be noted for the other processes of this app now: %s This process remembers"
    " them, and writes them as soon as it can. Until then, a copy of old cookies may still sign"
    " somebody in at another process."
)
LOST = (
    "The file that the processes of this app share was lost, and made anew: %s. This process has"
    " written again what it remembers (%d notes). Sign-outs and renewals that it does not know"
    " are forgotten, so a copy of old cookies may sign somebody in again. To end all logins, change"
    " SECRET_KEY."
)


def open_shared_store(instance_path: str | None, app_name: str, secret_name: str) -> FallbackStore:
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
    return FallbackStore(lambda: _find_file(instance_path, name, secret_name))


class FallbackStore(ForkSafe):
    """A store in a file that the app's processes share, or in memory if no file can be made.

    If the file exists but can't be used now, calls fail, because nobody knows which logins have
    ended. Only ended logins (:meth:`end`) and what :meth:`put` is given are kept in this process
    until they can be written. In this process they count at once. If the file is lost, this process
    writes what it remembers of them into the new file.

    :param find_path: returns the file's path, and makes its folder if needed. It raises `OSError`
        if no file can be made, and `StoreError` if there is one that can't be used.
    """

    def __init__(self, find_path: t.Callable[[], str]) -> None:
        self._find_path = find_path
        self._look_at = 0.0
        self._file: SQLiteStore | None = None
        #: The `file_id` of the file that has all notes except the unwritten ones.
        self._served: int | None = None
        # Used, and opened, only if there is no file.
        self._memory = SQLiteStore(":memory:", limit=LIMIT)
        # By id, each note with the time when it expires, oldest first.
        self._notes: dict[str, tuple[str, float]] = {}
        self._unwritten: set[str] = set()
        #: Why this process had no file at first; None if it always had one.
        self.trouble: str | None = None
        super().__init__()

    def read(self, id: str) -> Stored | None:
        """Return a record, or None if there is none.

        :raises StoreError: the file exists, but can't be read now.
        """
        store = self._store()
        sealed, until = self._notes.get(id, ("", 0.0))
        if until > time.time() and (sealed == ENDED or id in self._unwritten):
            return Stored(sealed, "noted")
        return store.read(id)

    def create(self, id: str, sealed: str, labels: t.Mapping[str, str], expires_at: float) -> None:
        if self._has_ended(id):
            raise KeyError("A record with this id lives already.")
        self._store().create(id, sealed, labels, expires_at)

    def replace(self, id: str, sealed: str, version: str, expires_at: float) -> Outcome:
        if self._has_ended(id):
            return "changed"
        return self._store().replace(id, sealed, version, expires_at)

    def touch(self, id: str, expires_at: float) -> None:
        # A failure does no harm: a note outlives its record by several touches.
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
        """Store a record, replacing any other one. Keep it here until the file can be written.

        :returns: False if its login had ended; nothing is stored then.
        """
        if self._has_ended(id):
            return False
        written = True
        try:
            # Wait for a busy file once. While notes are unwritten, later calls don't wait.
            patience = 0.0 if self._unwritten else BUSY_SECONDS
            kept = self._store().put(id, sealed, expires_at, patience)
        except StoreError as error:
            kept, written = True, False
            if not self._unwritten:
                log.warning(UNWRITTEN, error)
        if kept:
            self._remember(id, sealed, expires_at, written)
        return kept

    def _has_ended(self, id: str) -> bool:
        """Return True if this process has noted that a login has ended."""
        sealed, until = self._notes.get(id, ("", 0.0))
        return sealed == ENDED and until > time.time()

    def _remember(self, id: str, sealed: str, expires_at: float, written: bool) -> None:
        with self._lock:
            self._notes.pop(id, None)
            self._notes[id] = (sealed, expires_at)
            if written:
                self._unwritten.discard(id)
            else:
                self._unwritten.add(id)
            while len(self._notes) - len(self._unwritten) > REMEMBERED:
                del self._notes[next(id for id in self._notes if id not in self._unwritten)]

    def _store(self) -> SQLiteStore:
        """Return the store in the file, or the one in memory if there was never a file.

        :raises StoreError: there was a file, but it can't be used now.
        """
        now = time.monotonic()
        if now >= self._look_at:
            self._look_for_file()
            self._look_at = now + LOOK
        if self._file is None:
            return self._memory
        self._write_notes(self._file)
        return self._file

    def _look_for_file(self) -> None:
        former = self._file
        if former is not None and _is_barred(former.path):
            raise StoreError(f"The file {former.path} is not this user's alone any more.")
        try:
            path = self._find_path()
            if former is not None and former.path == path:
                former.look()
            else:
                self._use_file(SQLiteStore(path, limit=LIMIT))
        except OSError as error:
            if former is not None:
                raise StoreError(f"The file {former.path} is gone: {error}") from None
            if self.trouble is None:
                self.trouble = str(error)
                log.warning(ALONE, error)

    def _use_file(self, file: SQLiteStore) -> None:
        """Open a file, and copy what this process holds in memory into it.

        :raises OSError: the file could not be made.
        """
        try:
            file.look()
        except StoreError as error:
            if self._file is None and _is_empty(file.path):
                raise OSError(str(error)) from None
            raise
        if self._file is None and self.trouble:
            self._memory.copy_to(file)
        self._file = file

    def _write_notes(self, file: SQLiteStore) -> None:
        """Write the notes that the file lacks; all notes, if it is a new file."""
        if file.file_id != self._served:
            with self._lock:
                self._unwritten.update(self._notes)
            if self._served is not None:
                log.warning(LOST, file.path, len(self._notes))
            self._served = file.file_id
        with suppress(StoreError):
            for id in list(self._unwritten):
                note = self._notes.get(id)
                if note is not None:
                    file.put(id, *note, patience=0.0)
                with self._lock:
                    if self._notes.get(id) == note:
                        self._unwritten.discard(id)


def overwrite(store: SharedStore, id: str, sealed: str, expires_at: float) -> None:
    """Store a record in a store that processes share, replacing any other one."""
    if isinstance(store, FallbackStore):
        store.put(id, sealed, expires_at)
        return
    store.delete(id)
    # If another process has just created the record, its value is as good.
    with suppress(KeyError):
        store.create(id, sealed, {}, expires_at)


def _find_file(instance_path: str | None, name: str, secret_name: str) -> str:
    """Return the path of the existing file, or else a path in the first folder that can be used.

    An existing file takes precedence, so that all processes of this user agree even if a folder
    was made after some of them started.

    :raises StoreError: a folder that may have the file can't be read.
    :raises OSError: no folder can be used.
    """
    geteuid: t.Callable[[], int] | None = getattr(os, "geteuid", None)
    user = f"-{geteuid()}" if geteuid else ""
    temporary = os.path.join(tempfile.gettempdir(), f"flask-oauth2-login{user}")
    # Another user may have made the first folder, but can't know the name of the second.
    folders = [temporary, f"{temporary}-{secret_name}"]
    if instance_path and os.path.isdir(instance_path):
        folders.insert(0, os.path.join(instance_path, "oauth2_login"))
    for folder in folders:
        if _has_file(folder, name):
            return os.path.join(folder, name)
    for folder in folders:
        if _make_private(folder):
            return os.path.join(folder, name)
    raise OSError(f"{' or '.join(folders)} is missing, or not this user's alone (mode 0700).")


def _has_file(folder: str, name: str) -> bool:
    """Return True if the file is in a folder of this user that nobody else can write to.

    :raises StoreError: nobody can tell, or others may write to the folder by now. To look for
        another folder then would forget who has signed out.
    """
    mode = _own_mode(folder)
    if mode is None:
        return False
    try:
        os.lstat(os.path.join(folder, name))
        if mode & 0o022:
            raise StoreError(
                f"Others may write to the folder {folder}, so the file in it can't be trusted. If"
                f" nobody did, close it again: chmod 700 {folder}."
            )
        if mode & 0o077:
            os.chmod(folder, 0o700)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(f"The folder {folder} can't be used: {error}.") from None
    return True


def _is_barred(path: str) -> bool:
    """Return True if a file exists but must not, or can't, be used any more."""
    folder, name = os.path.split(path)
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return not _has_file(folder, name)


def _make_private(folder: str) -> bool:
    """Make a folder if needed. Return True if it belongs to this user alone and is writable."""
    with suppress(OSError):
        os.mkdir(folder, 0o700)
        os.chmod(folder, 0o700)
    mode = _own_mode(folder)
    return mode is not None and not mode & 0o077 and os.access(folder, os.W_OK | os.X_OK)


def _own_mode(folder: str) -> int | None:
    """Return the mode of this user's folder; None for a link or for another user's folder."""
    try:
        found = os.lstat(folder)
    except OSError:
        return None
    if not stat.S_ISDIR(found.st_mode):
        return None
    geteuid: t.Callable[[], int] | None = getattr(os, "geteuid", None)
    if geteuid is None:
        # Windows has neither such modes nor user ids.
        return 0o700
    return stat.S_IMODE(found.st_mode) if found.st_uid == geteuid() else None


def _is_empty(path: str) -> bool:
    try:
        return os.path.getsize(path) == 0
    except OSError:
        return True
