"""Three system calls of Linux that Python's `os` does not offer.  All raise OSError."""

from __future__ import annotations

import errno
import os
from functools import cache
from typing import Any

_RENAME_NOREPLACE = 1
_SYNC_FILE_RANGE_WRITE = 2
_NO_FLAG = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


def syncfs(fd: int) -> None:
    """Make everything on the file system of `fd` durable.

    A write-back that failed since `fd` was opened raises too.
    """
    _call("syncfs", fd)


def start_writing(fd: int, offset: int, length: int) -> None:
    """Let the kernel begin to write a range of a file to the medium, without waiting for it."""
    from ctypes import c_int64

    _call("sync_file_range", fd, c_int64(offset), c_int64(length), _SYNC_FILE_RANGE_WRITE)


def rename_new(source: str, target: str, source_dir: int, target_dir: int) -> None:
    """Rename, but never over something: raises FileExistsError when `target` exists."""
    try:
        _call(
            "renameat2", source_dir, os.fsencode(source), target_dir, os.fsencode(target), _RENAME_NOREPLACE
        )
    except OSError as error:
        if error.errno not in _NO_FLAG:
            raise
        # Some network file systems refuse the flag; link(2) never replaces either.
        os.link(source, target, src_dir_fd=source_dir, dst_dir_fd=target_dir, follow_symlinks=False)
        os.unlink(source, dir_fd=source_dir)


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
