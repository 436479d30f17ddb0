"""Check whether a file has not changed for a while, by the clock of its storage."""

from __future__ import annotations

import os
import time

from alpenhorn.fs.placing import PRIVATE


def storage_now(root: str) -> float:
    """Return POSIX seconds by the clock of a root's storage, which on a file server differs from this host's.

    Sets the times of our directory below the root to find out; without it, uses this host's clock.
    """
    private = os.path.join(root, PRIVATE)
    try:
        os.utime(private, follow_symlinks=False)
        return os.stat(private, follow_symlinks=False).st_mtime
    except OSError:
        return time.time()


def settled(status: os.stat_result, settle: float, now: float) -> bool:
    """Return whether a file with that status has not changed for `settle` seconds; `now` is the storage's time.

    The modification time can be set into the future, the status change time cannot; if that is in the future
    as well, the clock was set back, and the file does not count as settled.
    """
    changed = status.st_mtime if status.st_mtime <= now else status.st_ctime
    return not settle or now - changed >= settle
