"""`WrittenMap`: which ids may have a record in the local store's file, known without a query.

The map is a file of bits beside the store's file. The bit of an id is set before a record with that
id is written, and never cleared. So a clear bit proves that there is no record, and a set one only
that the store must be asked: another id may have the same bit.

Bits are set, and maps are made, only inside a write transaction of the store. So no process makes a
map from the records while another one writes a record. Each process makes a new map when it opens
the store's file, because that may be a restored backup. A map counts only if its header names the
store's file and the machine's current boot: after a power failure, the store's last records may be
on the disk without their bits.
"""

from __future__ import annotations

import contextlib
import functools
import os
import typing as t
import zlib
from secrets import token_hex

#: The number of bits. With a million records, one in sixteen other ids shares a bit with one.
BITS = 2**24

_HEADER = b"oauth2-login-map\1"
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class WrittenMap:
    """The map of one store's file. Without it, :meth:`proves_absent` is never True.

    :param path: the map's path.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._file: _OpenFile | None = None
        # Replaced as a whole, because other threads read it meanwhile.
        self._header = b""

    def proves_absent(self, id: str) -> bool:
        """Return True if the store's file has no record with this id."""
        file = self._file
        if file is None or not file.is_at(self.path):
            file = self._file = self._open()
            if file is None:
                return False
        return not file.has_bit(_index(id))

    def bind(self, file_id: int) -> None:
        """Set which store's file the map has to name."""
        self._header = _HEADER + file_id.to_bytes(8, "big") + _boot_id()
        self._file = None

    def note(self, id: str, all_ids: t.Callable[[], t.Iterable[str]]) -> None:
        """Set the bit of an id. Call it inside a write transaction, before the record is written.

        :param all_ids: returns the ids of all records, in case the map has to be made.
        :raises OSError: the bit can't be set, and there is a map that other processes may read.
        """
        file = self._file
        if file is None or not file.is_at(self.path):
            file = self._file = self._open()
        try:
            file = file or self.make(all_ids)
            file.set_bit(_index(id))
        except OSError:
            # Without a map, every process asks the store. A process that can't use one, because it
            # has no /proc, removes the map of those that can.
            self._file = None
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)

    def make(self, all_ids: t.Callable[[], t.Iterable[str]]) -> _OpenFile:
        """Make a new map with the bits of all ids. Call it inside a write transaction.

        :raises OSError: it can't be made.
        """
        if not is_usable():
            raise OSError("The system does not name the machine's boot.")
        bits = bytearray(BITS // 8)
        for id in all_ids():
            index = _index(id)
            bits[index >> 3] |= 1 << (index & 7)
        temporary = f"{self.path}.{token_hex(8)}"
        try:
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as new:
                os.chmod(temporary, 0o600)
                new.write(self._header + bits)
            os.replace(temporary, self.path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        self._file = self._open()
        if self._file is None:
            raise FileNotFoundError(self.path)
        return self._file

    def _open(self) -> _OpenFile | None:
        """Return the open map; None if there is none that counts."""
        header = self._header
        if not is_usable() or not header:
            return None
        try:
            file = _OpenFile(self.path, len(header))
        except OSError:
            return None
        return file if file.header == header and file.is_at(self.path) else None


class _OpenFile:
    """An open map. It is closed when no thread uses it any more."""

    def __init__(self, path: str, header_size: int) -> None:
        self._descriptor = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
        self._start = header_size
        found = os.fstat(self._descriptor)
        self._identity = (found.st_ino, found.st_dev, header_size + BITS // 8)
        self.header = os.pread(self._descriptor, header_size, 0)

    def is_at(self, path: str) -> bool:
        """Return True if this is the file at a path, and nothing of it was cut off."""
        try:
            found = os.stat(path)
        except OSError:
            return False
        return (found.st_ino, found.st_dev, found.st_size) == self._identity

    def has_bit(self, index: int) -> bool:
        """Return True if a bit is set, or is not there."""
        # The file is not mapped into memory, because that ends the process if it is cut short.
        found = os.pread(self._descriptor, 1, self._start + (index >> 3))
        return not found or bool(found[0] >> (index & 7) & 1)

    def set_bit(self, index: int) -> None:
        at = self._start + (index >> 3)
        found = os.pread(self._descriptor, 1, at)
        if not found:
            raise OSError("The map was cut short.")
        os.pwrite(self._descriptor, bytes([found[0] | 1 << (index & 7)]), at)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            os.close(self._descriptor)


def _index(id: str) -> int:
    return zlib.crc32(id.encode()) % BITS


def is_usable() -> bool:
    """Return True if this process can use maps."""
    return bool(_boot_id())


@functools.cache
def _boot_id() -> bytes:
    """Return what names the machine's current boot; empty if nothing does, so maps can't be used.

    It does not change while a process lives.
    """
    try:
        with open(_BOOT_ID, "rb") as file:
            return file.read().strip() if hasattr(os, "pread") else b""
    except OSError:
        return b""
