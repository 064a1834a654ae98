"""Where the local store's file is: in a folder that belongs to this user alone."""

from __future__ import annotations

import os
import stat
import tempfile
import typing as t
from contextlib import suppress

from ..protocol.errors import StoreError


def find_file(instance_path: str | None, name: str, secret_name: str) -> str:
    """Return the path of the existing file, or else a path in the first folder that can be used.

    An existing file takes precedence, so that all processes of this user agree even if a folder
    was made after some of them started.

    :param instance_path: the app's instance folder, which may be missing, or None.
    :param name: the file's name.
    :param secret_name: the end of a folder's name that other users can't guess.
    :raises StoreError: a folder that may have the file can't be read, or others may write to it.
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
    raise OSError(f"{' or '.join(folders)} can't be made, or is not this user's alone (mode 0700).")


def _has_file(folder: str, name: str) -> bool:
    """Return True if the file is in a folder of this user that nobody else can write to.

    :raises StoreError: the folder can't be read, or others may write to it by now. Another folder
        must not be used then, because its file does not know who has signed out.
    """
    mode = _own_mode(folder)
    if mode is None:
        return False
    try:
        os.lstat(os.path.join(folder, name))
        if mode & 0o022:
            raise StoreError(
                f"Other users may write to the folder {folder}, so the file in it can't be trusted."
                f" If nobody has changed it, run: chmod 700 {folder}.",
                row="shared-file",
            )
        if mode & 0o077:
            os.chmod(folder, 0o700)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(
            f"The folder {folder} can't be used: {error}.", row="shared-file"
        ) from None
    return True


def is_unusable(path: str) -> bool:
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
