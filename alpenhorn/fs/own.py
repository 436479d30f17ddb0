"""Alpenhorn's own directory and small files below a root, opened safely.

A local user who can write to the root can put a link or a directory of his own in their place.  So every
element is opened relative to the root's descriptor without following links, and must be a regular file with
one name, whose owner was entitled to create it.  Only those who can write to the root get access: anybody who
can open a lock file can hold its lock.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat
from contextlib import suppress

from alpenhorn.errors import StorageError
from alpenhorn.fs.sharing import GROUP_DIRECTORY, GROUP_FILE, set_mode
from alpenhorn.reasons import Code

PRIVATE = ".alpenhorn"

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_own(root: str, path: str, flags: int) -> int:
    """Open one of alpenhorn's own small files: `path`, at the root or in our directory.

    With O_CREAT, it and our directory are created if missing, and modes of those owned by this user are
    corrected.  Raises StorageError if something else is there, and OSError.
    """
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        directory, _, name = path.rpartition("/")
        make = bool(flags & os.O_CREAT)
        at = open_directory(root_fd, directory, root, make) if directory else root_fd
        try:
            return _open_file(at, name, flags, os.fstat(root_fd), f"{root}/{path}")
        finally:
            if at != root_fd:
                os.close(at)
    finally:
        os.close(root_fd)


def open_directory(parent: int, name: str, root: str, make: bool = True) -> int:
    """Open one of alpenhorn's own directories, `name` in the directory `parent`; with `make` it is created if missing.

    `root`: the path of `parent`, for messages.  Raises StorageError if something else is there, and OSError.
    """
    path, above = f"{root}/{name}", os.fstat(parent)
    shared = bool(above.st_mode & stat.S_IWGRP)
    if make:
        try:
            os.mkdir(name, 0o770 if shared else 0o700, dir_fd=parent)
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno == errno.EROFS:
                raise StorageError(Code.OWN_READ_ONLY(path=path, why=error.strerror)) from error
            raise StorageError(Code.OWN_NOT_MADE(path=path, why=error.strerror, root=root)) from error
    try:
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
    except NotADirectoryError:
        raise _something_else(parent, name, path, "directory") from None
    try:
        status = os.fstat(fd)
        _check_owner(status, above, path)
        wanted = stat.S_IMODE(status.st_mode) & ~stat.S_IWOTH
        if make:
            set_mode(fd, status, above, wanted, GROUP_DIRECTORY, regroup=True)
        if os.fstat(fd).st_mode & stat.S_IWOTH and not above.st_mode & stat.S_IWOTH:
            raise StorageError(Code.OWN_OPEN(path=path))
    except BaseException:
        os.close(fd)
        raise
    return fd


def _open_file(directory: int, name: str, flags: int, root: os.stat_result, path: str) -> int:
    shared = bool(root.st_mode & stat.S_IWGRP)
    opening = flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a fifo must not block it
    try:
        fd = os.open(name, opening, 0o660 if shared else 0o600, dir_fd=directory)
    except OSError:
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
                raise _something_else(directory, name, path, "regular file") from None
        raise
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise _something_else(directory, name, path, "regular file")
        if status.st_nlink > 1:
            raise StorageError(Code.OWN_NAMES(path=path, names=status.st_nlink))
        _check_owner(status, root, path)
        if flags & os.O_CREAT:
            mode = stat.S_IMODE(status.st_mode)
            wanted = 0o660 if mode & stat.S_IWGRP else 0o600
            set_mode(fd, status, root, wanted, GROUP_FILE, regroup=True)
    except BaseException:
        os.close(fd)
        raise
    return fd


def entitled(status: os.stat_result, root: os.stat_result) -> bool:
    """Return whether the root's permissions allowed the owner of a file below it to create it."""
    if status.st_uid in (os.geteuid(), 0, root.st_uid):
        return True
    if not root.st_mode & stat.S_IWGRP:
        return False
    # By the group, or by an access control list, which shows as the group's permissions.
    if not root.st_mode & stat.S_IWOTH:
        return True
    # With set-group-id, the group is that of the root for every creator, and proves nothing.
    return status.st_gid == root.st_gid and not root.st_mode & stat.S_ISGID


def _check_owner(status: os.stat_result, root: os.stat_result, path: str) -> None:
    if not entitled(status, root):
        me = user_name(os.geteuid())
        raise StorageError(Code.OWN_STRANGER(path=path, user=user_name(status.st_uid), me=me))


def _something_else(directory: int, name: str, path: str, wanted: str) -> StorageError:
    try:
        link = stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except OSError:
        link = False
    return StorageError(Code.OWN_LINK(path=path) if link else Code.OWN_OTHER(path=path, wanted=wanted))


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
