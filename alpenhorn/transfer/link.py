"""Hard link a file within its file system."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from alpenhorn.fs.hashing import md5_of
from alpenhorn.transfer.blame import check_source, source_failed, wrong_length, wrong_md5

REFUSED = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOENT})
"""Errors of link(2) that only mean that the file must be copied.

ENOENT: the source was removed after it was opened, or there is no /proc.
"""


def verify(
    source: int,
    size_b: int,
    md5sum: str,
    stopping: Callable[[], bool] | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> os.stat_result:
    """Read an open source and compare it with the index, since the link will share its bytes.

    Returns its status, to detect later changes.  Raises TransferFailed and Stopped.
    """
    status = check_source(source, size_b)
    try:
        length, found = md5_of(source, size_b, stopping, on_bytes)
    except OSError as error:
        raise source_failed(error) from None
    if length != size_b:
        raise wrong_length(length, size_b)
    if found != md5sum:
        raise wrong_md5(found, md5sum)
    return status


def unchanged(source: int, verified: os.stat_result) -> bool:
    """Return whether an open file is the verified one, unchanged."""
    now = os.fstat(source)
    return (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns) == (
        verified.st_dev,
        verified.st_ino,
        verified.st_size,
        verified.st_mtime_ns,
    )
