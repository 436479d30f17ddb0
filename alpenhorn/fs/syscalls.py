"""System calls of Linux that Python's `os` does not offer, or not on every file system.  All raise OSError."""

from __future__ import annotations

import errno
import os
from functools import cache
from typing import Any

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_SYNC_FILE_RANGE_WRITE = 2
_NO_FLAG = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
_NO_LINKS = frozenset({errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP})


def syncfs(fd: int) -> None:
    """Make everything on the file system of `fd` durable.

    A write-back that failed since `fd` was opened raises too.
    """
    _call("syncfs", fd)


def start_writing(fd: int, offset: int, length: int) -> None:
    """Let the kernel begin to write a range of a file to the medium, without waiting for it."""
    from ctypes import c_int64

    _call("sync_file_range", fd, c_int64(offset), c_int64(length), _SYNC_FILE_RANGE_WRITE)


def flush(fd: int) -> None:
    """Make a file or a directory durable, with all of its file system where it has no such call for directories."""
    try:
        os.fsync(fd)
    except OSError as error:
        # File systems that are never written to, and a few that are far away.
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        syncfs(fd)


def rename_new(source: str, target: str, source_dir: int = _AT_FDCWD, target_dir: int = _AT_FDCWD) -> None:
    """Rename, but never over something: raises FileExistsError when `target` exists.

    On a file system that cannot do that, the name is reserved first with an empty file, which a crash may leave.
    """
    try:
        return rename_noreplace(source, target, source_dir, target_dir)
    except OSError as error:
        if error.errno not in _NO_FLAG:
            raise
    # Some network file systems refuse the flag; link(2) never replaces either.
    try:
        os.link(source, target, src_dir_fd=source_dir, dst_dir_fd=target_dir, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _rename_reserved(source, target, source_dir, target_dir)
    else:
        os.unlink(source, dir_fd=source_dir)


def rename_noreplace(source: str, target: str, source_dir: int, target_dir: int) -> None:
    """renameat2(2) with RENAME_NOREPLACE, which FAT and exFAT through FUSE, and others, refuse with EINVAL."""
    _call("renameat2", source_dir, os.fsencode(source), target_dir, os.fsencode(target), _RENAME_NOREPLACE)


def _rename_reserved(source: str, target: str, source_dir: int, target_dir: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    os.close(os.open(target, flags, 0o600, dir_fd=target_dir))
    try:
        os.rename(source, target, src_dir_fd=source_dir, dst_dir_fd=target_dir)
    except BaseException:
        os.unlink(target, dir_fd=target_dir)
        raise


def _call(name: str, *arguments: Any) -> None:
    from ctypes import get_errno

    function = getattr(_libc(), name)
    while function(*arguments) < 0:
        number = get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))


@cache
def _libc() -> Any:
    # Imported here: commands that touch no disk start faster without it.
    from ctypes import CDLL

    return CDLL(None, use_errno=True)
