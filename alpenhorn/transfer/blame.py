"""The party to blame for a failed transfer (the table "Who is to blame" in the documentation)."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from alpenhorn.errors import AlpenhornError, UnsafePath
from alpenhorn.fs.hashing import Digests, digests_of
from alpenhorn.model.tasks import Blame
from alpenhorn.reasons import Code, Reason, storable

_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR})
_NAME = frozenset({errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.EILSEQ, errno.EEXIST})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_OURS = frozenset({errno.EMFILE, errno.ENFILE})


class TransferFailed(AlpenhornError):
    """A file was not transferred.  `full`: for lack of space, so that the partial file should be removed."""

    def __init__(self, blame: Blame, error: Reason, full: bool = False) -> None:
        super().__init__(blame, error, full)
        self.blame = blame
        self.error = storable(error)  # it contains output of programs and names of files
        self.full = full

    def __str__(self) -> str:
        return self.error

    @property
    def reason(self) -> Reason:
        return self.error


def is_ours(error: OSError) -> bool:
    """Return whether it is a limit of this process or host, with no side of the transfer to blame."""
    return error.errno in _OURS


def source_failed(error: OSError | UnsafePath) -> TransferFailed:
    """Return the failure of a source that cannot be opened or read.

    The source is to blame only if the file is missing; an unreadable file is never considered corrupt.
    """
    if isinstance(error, UnsafePath):
        return TransferFailed(Blame.SOURCE, Code.SOURCE_NOT_REGULAR_BECAUSE(why=error))
    if is_ours(error):
        return TransferFailed(Blame.UNKNOWN, Code.TOO_MANY_OPEN_FILES())
    if error.errno in _MISSING:
        return TransferFailed(Blame.SOURCE, Code.SOURCE_MISSING(why=error.strerror))
    return TransferFailed(Blame.UNKNOWN, Code.SOURCE_UNREADABLE(why=error.strerror))


def destination_failed(error: OSError | UnsafePath) -> TransferFailed:
    """Return the failure of a file that cannot be written, flushed or placed.

    A problem with a single path is not blamed on the node, which would get no more pulls in this run.
    """
    if isinstance(error, UnsafePath):
        return TransferFailed(Blame.UNKNOWN, error.reason)
    if is_ours(error):
        return TransferFailed(Blame.UNKNOWN, Code.TOO_MANY_OPEN_FILES())
    if error.errno == errno.EFBIG:
        # Other files are shorter.  The partial file can never be completed, and takes up space.
        return TransferFailed(Blame.UNKNOWN, Code.LARGER_THAN_POSSIBLE(), full=True)
    if error.errno in _NAME:
        return TransferFailed(Blame.UNKNOWN, Code.FILE_NAME_IMPOSSIBLE(why=error.strerror))
    return unwritable(error.strerror or str(error), error.errno in _FULL)


def unwritable(why: str, full: bool = False) -> TransferFailed:
    """Return the failure of a destination.  `full`: for lack of space."""
    code = Code.DESTINATION_OUT_OF_SPACE if full else Code.DESTINATION_UNWRITABLE
    return TransferFailed(Blame.DESTINATION, code(why=why), full)


def wrong_length(found: int, expected: int) -> TransferFailed:
    """Return the failure of a source that was read without error, but with a wrong length."""
    return TransferFailed(Blame.SOURCE, Code.SOURCE_LENGTH_WRONG(found=found, expected=expected))


def other_content(found: Digests, md5sum: str, sha256: str | None) -> TransferFailed:
    """Return the failure of a source that was read without error, but with a wrong MD5 sum, or only SHA-256 sum."""
    if found.md5 != md5sum or not sha256:
        why = Code.SOURCE_MD5_WRONG(found=found.md5, expected=md5sum)
    else:
        why = Code.SOURCE_SHA256_WRONG(found=found.sha256, expected=sha256)
    return TransferFailed(Blame.SOURCE, why)


def check_source(source: int, size_b: int) -> os.stat_result:
    """Raise TransferFailed unless the open source is a regular file of that length; return its status."""
    status = os.fstat(source)
    if not stat.S_ISREG(status.st_mode):
        raise TransferFailed(Blame.SOURCE, Code.SOURCE_NOT_REGULAR())
    if status.st_size != size_b:
        raise wrong_length(status.st_size, size_b)
    return status


def mismatch(
    source: int,
    before: os.stat_result,
    found: str,
    md5sum: str,
    sha256: str | None,
    stopping: Callable[[], bool] | None,
) -> TransferFailed:
    """Return the failure of a file that arrived wrong, after reading the source again to find whom to blame."""
    try:
        _, original = digests_of(source, before.st_size, stopping, sha256=bool(sha256))
    except OSError as error:
        return source_failed(error)
    after = os.fstat(source)
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        return TransferFailed(Blame.SOURCE, Code.SOURCE_CHANGED())
    if not original.agree(md5sum, sha256):
        return other_content(original, md5sum, sha256)
    return TransferFailed(Blame.DESTINATION, Code.ARRIVED_MD5_WRONG(found=found))
