"""Roots on which users of a common group all run alpenhorn: the group may write to the root, and to what runs make."""

from __future__ import annotations

import os
import stat
from contextlib import suppress


def share(fd: int, directory: int) -> None:
    """Let the group write to what this process made in a directory for a group, whatever the umask.

    Else one user's runs would make directories in which another's cannot place anything.
    """
    above, status = os.fstat(directory), os.fstat(fd)
    if not above.st_mode & stat.S_IWGRP or status.st_gid != above.st_gid:
        return
    wanted = stat.S_IMODE(status.st_mode) | (above.st_mode & (stat.S_IRWXG | stat.S_ISGID))
    if not stat.S_ISDIR(status.st_mode):
        wanted &= ~(stat.S_IXGRP | stat.S_ISGID)
    if wanted != stat.S_IMODE(status.st_mode):
        with suppress(OSError):  # where modes are those of the mount
            os.fchmod(fd, wanted)
