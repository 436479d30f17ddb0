"""Our own directory and small files below a root: opened so that nothing else is ever written through them.

A local user who can write to the root can put a symbolic or hard link where one of them should be, or a directory of
his own.  So every element is opened below the root's descriptor and follows no link, and what is found there has to be
a regular file with one name, whose owner was entitled to make it.  They are made for those who can write to the root,
and for nobody else: whoever can open a lock file can hold its lock.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from alpenhorn.errors import StorageError
from alpenhorn.fs.sharing import GROUP_DIRECTORY, GROUP_FILE, set_mode
from alpenhorn.reasons import Code

PRIVATE = ".alpenhorn"

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_own(root: str, path: str, flags: int) -> int:
    """Open one of our own small files: `path`, at the root or in our directory.

    With O_CREAT, it and our directory are made when missing, and the mode of one that this user owns is set right.
    Raises StorageError when something else is there, and OSError.
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
    """Open one of our own directories, `name` in the directory `parent`; with `make` it is made when missing.

    `root`: where `parent` is, for messages.  Raises StorageError when something else is there, and OSError.
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
    opening = flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a fifo must not make it wait
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
    """Whether the owner of what lies below a root could have made it with the consent of the root's owner."""
    if status.st_uid in (os.geteuid(), 0, root.st_uid):
        return True
    if not root.st_mode & stat.S_IWGRP:
        return False
    # By the group or by an access control list, which shows as the group's permissions.
    if not root.st_mode & stat.S_IWOTH:
        return True
    # With set-group-id the group is that of the root, whoever made it.
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
    import pwd  # only for messages

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
