"""Who a failed transfer is put down to (the table in the documentation's "Who is to blame")."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from alpenhorn.errors import AlpenhornError, UnsafePath
from alpenhorn.fs.hashing import md5_of
from alpenhorn.model.tasks import Blame
from alpenhorn.reasons import Code, Reason, storable

_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR})
_NAME = frozenset({errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.EILSEQ, errno.EEXIST})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_OURS = frozenset({errno.EMFILE, errno.ENFILE})


class TransferFailed(AlpenhornError):
    """A file did not arrive.  `full`: for want of space, so that what did arrive had better go."""

    def __init__(self, blame: Blame, error: Reason, full: bool = False) -> None:
        super().__init__(blame, error, full)
        self.blame = blame
        self.error = storable(error)  # with words of programs and names of files in it
        self.full = full

    def __str__(self) -> str:
        return self.error

    @property
    def reason(self) -> Reason:
        return self.error


def is_ours(error: OSError) -> bool:
    """Whether it is a limit of this process or host, so that neither side of a transfer is to blame."""
    return error.errno in _OURS


def source_failed(error: OSError | UnsafePath) -> TransferFailed:
    """The source could not be opened or read.

    It is to blame only when there is no file; "I could not read it" is never "it is corrupt".
    """
    if isinstance(error, UnsafePath):
        return TransferFailed(Blame.SOURCE, Code.SOURCE_NOT_REGULAR_BECAUSE(why=error))
    if is_ours(error):
        return TransferFailed(Blame.UNKNOWN, Code.TOO_MANY_OPEN_FILES())
    if error.errno in _MISSING:
        return TransferFailed(Blame.SOURCE, Code.SOURCE_MISSING(why=error.strerror))
    return TransferFailed(Blame.UNKNOWN, Code.SOURCE_UNREADABLE(why=error.strerror))


def destination_failed(error: OSError | UnsafePath) -> TransferFailed:
    """A file could not be written, flushed or placed.

    What is wrong with one path only is not put down to the node, which would get no more pulls in this run.
    """
    if isinstance(error, UnsafePath):
        return TransferFailed(Blame.UNKNOWN, error.reason)
    if is_ours(error):
        return TransferFailed(Blame.UNKNOWN, Code.TOO_MANY_OPEN_FILES())
    if error.errno == errno.EFBIG:
        # Other files are shorter.  What did arrive can never become whole, and takes up room.
        return TransferFailed(Blame.UNKNOWN, Code.LARGER_THAN_POSSIBLE(), full=True)
    if error.errno in _NAME:
        return TransferFailed(Blame.UNKNOWN, Code.FILE_NAME_IMPOSSIBLE(why=error.strerror))
    return unwritable(error.strerror or str(error), error.errno in _FULL)


def unwritable(why: str, full: bool = False) -> TransferFailed:
    """`full`: for want of space."""
    code = Code.DESTINATION_OUT_OF_SPACE if full else Code.DESTINATION_UNWRITABLE
    return TransferFailed(Blame.DESTINATION, code(why=why), full)


def wrong_length(found: int, expected: int) -> TransferFailed:
    """The source was read without error and has not the length that the index says."""
    return TransferFailed(Blame.SOURCE, Code.SOURCE_LENGTH_WRONG(found=found, expected=expected))


def wrong_md5(found: str, expected: str) -> TransferFailed:
    """The source was read without error and has not the MD5 sum that the index says."""
    return TransferFailed(Blame.SOURCE, Code.SOURCE_MD5_WRONG(found=found, expected=expected))


def check_source(source: int, size_b: int) -> os.stat_result:
    """Raise TransferFailed unless an open source is a regular file of that length; return its status."""
    status = os.fstat(source)
    if not stat.S_ISREG(status.st_mode):
        raise TransferFailed(Blame.SOURCE, Code.SOURCE_NOT_REGULAR())
    if status.st_size != size_b:
        raise wrong_length(status.st_size, size_b)
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
        return TransferFailed(Blame.SOURCE, Code.SOURCE_CHANGED())
    if original != expected:
        return wrong_md5(original, expected)
    return TransferFailed(Blame.DESTINATION, Code.ARRIVED_MD5_WRONG(found=found))
