"""Whether a file has been left alone for a while, by the clock that its times come from."""

from __future__ import annotations

import os
import time

from alpenhorn.fs.placing import PRIVATE


def storage_now(root: str) -> float:
    """POSIX seconds by the clock of a root's storage, which for a file server is not this host's.

    Our own directory below the root is given the time; where there is none, this host's clock is taken.
    """
    private = os.path.join(root, PRIVATE)
    try:
        os.utime(private, follow_symlinks=False)
        return os.stat(private, follow_symlinks=False).st_mtime
    except OSError:
        return time.time()


def settled(status: os.stat_result, settle: float, now: float) -> bool:
    """Whether a file of that status has not changed for `settle` seconds, `now` being the storage's time.

    A file can be dated to the future, but not its last change; where that lies there as well the clock was
    put back, and nothing is known.
    """
    changed = status.st_mtime if status.st_mtime <= now else status.st_ctime
    return not settle or now - changed >= settle
