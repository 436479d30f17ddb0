"""Who a failed transfer is put down to (the table in the documentation's "Who is to blame")."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from alpenhorn.errors import AlpenhornError, UnsafePath
from alpenhorn.fs.hashing import md5_of
from alpenhorn.model import Blame
from alpenhorn.outside import text

_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR})
_NAME = frozenset({errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.EILSEQ, errno.EEXIST})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class TransferFailed(AlpenhornError):
    """A file did not arrive.  `full`: for want of space, so that what did arrive had better go."""

    def __init__(self, blame: Blame, error: str, full: bool = False) -> None:
        super().__init__(blame, error, full)
        self.blame = blame
        self.error = text(error)  # with words of programs and names of files in it
        self.full = full

    def __str__(self) -> str:
        return self.error


def source_failed(error: OSError | UnsafePath) -> TransferFailed:
    """The source could not be opened or read.

    It is to blame only when there is no file; "I could not read it" is never "it is corrupt".
    """
    if isinstance(error, UnsafePath):
        return TransferFailed(Blame.SOURCE, f"the source is no regular file: {error}")
    if error.errno in _MISSING:
        return TransferFailed(Blame.SOURCE, f"the source is missing: {error.strerror}")
    return TransferFailed(Blame.UNKNOWN, f"the source cannot be read: {error.strerror}")


def destination_failed(error: OSError | UnsafePath) -> TransferFailed:
    """A file could not be written, flushed or placed.

    What is wrong with one path only is not put down to the node, which would get no more pulls in this run.
    """
    if isinstance(error, UnsafePath):
        return TransferFailed(Blame.UNKNOWN, str(error))
    if error.errno in _NAME:
        return TransferFailed(Blame.UNKNOWN, f"there can be no file of that name: {error.strerror}")
    return TransferFailed(
        Blame.DESTINATION, f"cannot write at the destination: {error.strerror}", error.errno in _FULL
    )


def wrong_bytes(what: str, found: str, expected: str) -> TransferFailed:
    """The source was read without error and is not what the index says; `what`: its length or its MD5."""
    return TransferFailed(
        Blame.SOURCE, f"the {what} of the source is {found}, not {expected} as in the index"
    )


def check_source(source: int, size_b: int) -> os.stat_result:
    """Raise TransferFailed unless an open source is a regular file of that length; return its status."""
    status = os.fstat(source)
    if not stat.S_ISREG(status.st_mode):
        raise TransferFailed(Blame.SOURCE, "the source is no regular file")
    if status.st_size != size_b:
        raise wrong_bytes("length", str(status.st_size), str(size_b))
    return status


def mismatch(
    source: int, before: os.stat_result, found: str, expected: str, stopping: Callable[[], bool] | None
) -> TransferFailed:
    """Whose fault it is that other bytes arrived: read the source itself again."""
    try:
        _, original = md5_of(source, before.st_size, stopping)
    except OSError as error:
        return source_failed(error)
    after = os.fstat(source)
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        return TransferFailed(Blame.SOURCE, "the source changed while it was being read")
    if original != expected:
        return wrong_bytes("MD5", original, expected)
    return TransferFailed(
        Blame.DESTINATION, f"the source is right, but the bytes that arrived have the MD5 {found}"
    )
