"""What the processes of one machine share: in a file, or else each by itself."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import tempfile
import time
import typing as t
from hashlib import sha256

from ..protocol.errors import StoreError
from .base import Outcome
from .base import Stored
from .base import TokenStore
from .file import MachineStore as MachineStore
from .file import is_own
from .process import ProcessStore

log = logging.getLogger("flask_oauth2_login")

#: Seconds for which a file that could not be written is left alone.
COOL_DOWN = 5.0


def open_machine_store(instance_path: str | None, app_name: str) -> TokenStore:
    """The store that all processes of one app on this machine share.

    Its file is in the app's instance folder, where there is one that can be written to, else in a
    private folder of the system's temporary one. Nothing is made before the first call. Where no
    file can be used, the store falls back to the memory of each process, and says so in the log.

    :param instance_path: the app's instance folder, whether it exists or not.
    :param app_name: the app's name; with the folder it tells the apps of one user apart.
    """
    name = sha256(f"{instance_path}\0{app_name}".encode()).hexdigest()[:32] + ".db"
    return BestEffortStore(lambda: MachineStore(os.path.join(_find_folder(instance_path), name)))


class BestEffortStore:
    """A store that never fails: what its file can't do now, the memory of this process does.

    :param open_file: opens the file. It may raise `OSError`.
    """

    def __init__(self, open_file: t.Callable[[], TokenStore]) -> None:
        self._open_file = open_file
        self._opened: TokenStore | None = None
        # What was written while the file could not be. It counts before the file.
        self._own = ProcessStore()
        self._cold_until = 0.0
        #: Why this process could not use the file at some time; None while it always could.
        self.trouble: str | None = None

    def read(self, id: str) -> Stored | None:
        if own := self._own.read(id):
            return own
        try:
            return self._file().read(id)
        except StoreError as error:
            self._note(error)
            return None

    def create(self, id: str, sealed: str, labels: t.Mapping[str, str], expires_at: float) -> None:
        if self._own.read(id):
            raise KeyError("A record with this id lives already.")
        with self._otherwise(lambda: self._own.create(id, sealed, labels, expires_at)):
            self._writable().create(id, sealed, labels, expires_at)

    def replace(self, id: str, sealed: str, version: str, expires_at: float) -> Outcome:
        if self._own.read(id):
            return self._own.replace(id, sealed, version, expires_at)
        try:
            return self._writable().replace(id, sealed, version, expires_at)
        except StoreError as error:
            self._cool(error)
        known = self.read(id)
        if known is None:
            return "gone"
        if known.version != version:
            return "changed"
        try:
            self._own.create(id, sealed, {}, expires_at)
        except KeyError:
            return "changed"
        return "replaced"

    def touch(self, id: str, expires_at: float) -> None:
        self._own.touch(id, expires_at)
        with self._otherwise():
            self._writable().touch(id, expires_at)

    def relabel(self, id: str, labels: t.Mapping[str, str]) -> None:
        self._own.relabel(id, labels)
        with self._otherwise():
            self._writable().relabel(id, labels)

    def delete(self, id: str) -> bool:
        own = shared = self._own.delete(id)
        with self._otherwise():
            shared = self._writable().delete(id)
        return own or shared

    def find(self, **labels: str) -> list[str]:
        found = set(self._own.find(**labels))
        with self._otherwise():
            found.update(self._file().find(**labels))
        return list(found)

    def scan(self, after: str | None, limit: int) -> list[str]:
        found = set(self._own.scan(after, limit))
        with self._otherwise():
            found.update(self._file().scan(after, limit))
        return sorted(found)[:limit]

    def lease(self, name: str, seconds: float) -> str | None:
        own = self._own.lease(name, seconds)
        if own is None:
            return None
        shared: str | None = ""
        with self._otherwise():
            shared = self._writable().lease(name, seconds)
        if shared is None:
            self._own.release(name, own)
            return None
        return f"{own}:{shared}"

    def release(self, name: str, ticket: str) -> None:
        own, _, shared = ticket.partition(":")
        if shared:
            with self._otherwise():
                self._writable().release(name, shared)
        self._own.release(name, own)

    def once(self, name: str, seconds: float) -> bool:
        first = self._own.once(name, seconds)
        if first:
            with self._otherwise():
                first = self._writable().once(name, seconds)
        return first

    def sweep(self) -> int:
        swept = self._own.sweep()
        with self._otherwise():
            swept += self._writable().sweep()
        return swept

    def _file(self) -> TokenStore:
        if self._opened is None:
            try:
                self._opened = self._open_file()
            except OSError as error:
                raise StoreError(str(error)) from None
        return self._opened

    def _writable(self) -> TokenStore:
        """The file, unless writing failed a moment ago: to find that out may have taken seconds."""
        if time.monotonic() < self._cold_until:
            raise StoreError("The file could not be written a moment ago.")
        return self._file()

    @contextlib.contextmanager
    def _otherwise(self, instead: t.Callable[[], None] = lambda: None) -> t.Iterator[None]:
        try:
            yield
        except StoreError as error:
            self._cool(error)
            instead()

    def _cool(self, error: StoreError) -> None:
        now = time.monotonic()
        if now >= self._cold_until:
            self._cold_until = now + COOL_DOWN
        self._note(error)

    def _note(self, error: StoreError) -> None:
        if self.trouble is None:
            self.trouble = str(error)
            log.warning(
                "What the processes of this app should share stays in each of them: %s With"
                " several processes, one may send a refresh token that another has spent. Make the"
                " app's instance folder writable for this user, or take a server-side store.",
                error,
            )


def _find_folder(instance_path: str | None) -> str:
    """A private folder of this user's, made if need be.

    :raises OSError: none can be had.
    """
    # Someone else may have made a folder of this name in a temporary folder, or a link, for us to
    # fall into; so it must be ours, and closed to others.
    geteuid: t.Callable[[], int] | None = getattr(os, "geteuid", None)
    user = f"-{geteuid()}" if geteuid else ""
    folders = [os.path.join(tempfile.gettempdir(), f"flask-oauth2-login{user}")]
    if instance_path and os.path.isdir(instance_path):
        folders.insert(0, os.path.join(instance_path, "oauth2_login"))
    for folder in folders:
        if _is_private(folder):
            return folder
    raise OSError(f"{' or '.join(folders)} is not there, or not this user's alone (mode 0700).")


def _is_private(folder: str) -> bool:
    try:
        try:
            os.mkdir(folder, 0o700)
            os.chmod(folder, 0o700)
        except FileExistsError:
            pass
        found = os.lstat(folder)
    except OSError:
        return False
    if not stat.S_ISDIR(found.st_mode) or not is_own(found):
        return False
    closed = os.name == "nt" or not stat.S_IMODE(found.st_mode) & 0o077
    return closed and os.access(folder, os.W_OK | os.X_OK)
