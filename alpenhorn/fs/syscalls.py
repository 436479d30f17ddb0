"""Linux system calls that are missing in `os`, or not supported by every file system.  All raise OSError."""

from __future__ import annotations

import errno
import os
from ctypes import CDLL, c_int64, get_errno
from functools import cache
from typing import Any

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
_SYNC_FILE_RANGE_WRITE = 2
_NO_FLAG = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
_NO_LINKS = frozenset({errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP})


def syncfs(fd: int) -> None:
    """Flush the whole file system of `fd`.

    Also raises for a write that failed since `fd` was opened.
    """
    _call("syncfs", fd)


def start_writing(fd: int, offset: int, length: int) -> None:
    """Let the kernel start to write a range of a file to the medium, without waiting."""
    _call("sync_file_range", fd, c_int64(offset), c_int64(length), _SYNC_FILE_RANGE_WRITE)


def flush(fd: int) -> None:
    """Flush a file or a directory; if directories cannot be flushed, the whole file system."""
    try:
        os.fsync(fd)
    except OSError as error:
        # File systems that are read-only, and a few network file systems.
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        syncfs(fd)


def rename_new(
    source: str,
    target: str,
    source_dir: int = _AT_FDCWD,
    target_dir: int = _AT_FDCWD,
    reserve: bool = True,
) -> None:
    """Rename without replacing: raises FileExistsError if `target` exists.

    On a file system that does not support this, first reserves the name with an empty file, which a crash may
    leave; without `reserve`, raises the error of the file system instead.
    """
    try:
        return rename_noreplace(source, target, source_dir, target_dir)
    except OSError as error:
        if error.errno not in _NO_FLAG:
            raise
    # Some network file systems reject the flag; link(2) never replaces either.
    try:
        os.link(source, target, src_dir_fd=source_dir, dst_dir_fd=target_dir, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS or not reserve:
            raise
        _rename_reserved(source, target, source_dir, target_dir)
    else:
        os.unlink(source, dir_fd=source_dir)


def rename_noreplace(source: str, target: str, source_dir: int, target_dir: int) -> None:
    """Call renameat2(2) with RENAME_NOREPLACE; some file systems, such as FAT and exFAT through FUSE, fail
    with EINVAL.
    """
    _call("renameat2", source_dir, os.fsencode(source), target_dir, os.fsencode(target), _RENAME_NOREPLACE)


def rename_exchange(source: str, target: str, source_dir: int, target_dir: int) -> bool:
    """Exchange two names atomically; return False if the file system does not support it."""
    try:
        _call("renameat2", source_dir, os.fsencode(source), target_dir, os.fsencode(target), _RENAME_EXCHANGE)
    except OSError as error:
        if error.errno not in _NO_FLAG:
            raise
        return False
    return True


def _rename_reserved(source: str, target: str, source_dir: int, target_dir: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    os.close(os.open(target, flags, 0o600, dir_fd=target_dir))
    try:
        os.rename(source, target, src_dir_fd=source_dir, dst_dir_fd=target_dir)
    except BaseException:
        os.unlink(target, dir_fd=target_dir)
        raise


def _call(name: str, *arguments: Any) -> None:
    function = getattr(_libc(), name)
    while function(*arguments) < 0:
        number = get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))


@cache
def _libc() -> Any:
    return CDLL(None, use_errno=True)
