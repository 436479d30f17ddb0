"""Set the owner, mode and times of an open file, as far as the file system supports them: FAT and exFAT have neither
modes nor owners.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from alpenhorn.fs.abilities import UNSUPPORTED

KEPT = -1  # for fchown


def set_owner_and_mode(fd: int, now: os.stat_result, uid: int, gid: int, mode: int) -> None:
    """Give a file with the status `now` this owner, group (KEPT: as they are) and mode; only what differs.

    Raises OSError.
    """
    changed = uid not in (KEPT, now.st_uid) or gid not in (KEPT, now.st_gid)
    if changed:
        _where_supported(lambda: os.fchown(fd, uid, gid))
    # A change of the owner removes set-user-id and set-group-id.
    if changed or stat.S_IMODE(now.st_mode) != mode:
        _where_supported(lambda: os.fchmod(fd, mode))


def set_times(fd: int, atime_ns: int, mtime_ns: int) -> None:
    """Set the times, in nanoseconds.  Raises OSError, and OverflowError for an impossible one."""
    _where_supported(lambda: os.utime(fd, ns=(atime_ns, mtime_ns)))


def _where_supported(change: Callable[[], None]) -> None:
    try:
        change()
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
