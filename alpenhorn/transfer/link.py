"""Hard link a file within its file system."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from alpenhorn.fs.hashing import Digests, digests_of
from alpenhorn.transfer.blame import check_source, other_content, source_failed, wrong_length

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
    sha256: str | None = None,
) -> tuple[os.stat_result, Digests]:
    """Read an open source and compare it with the index, since the link will share its bytes.

    Returns its status, to detect later changes, and its sums.  `sha256`: as in `PullFile`.  Raises TransferFailed and
    Stopped.
    """
    status = check_source(source, size_b)
    try:
        length, found = digests_of(source, size_b, stopping, on_bytes, sha256=sha256 is not None)
    except OSError as error:
        raise source_failed(error) from None
    if length != size_b:
        raise wrong_length(length, size_b)
    if not found.agree(md5sum, sha256):
        raise other_content(found, md5sum, sha256)
    return status, found
