"""Roots shared by a group of users: the group may write to the root, and to what runs create there."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

GROUP_FILE = stat.S_IRGRP | stat.S_IWGRP
GROUP_DIRECTORY = stat.S_IRWXG | stat.S_ISGID


def share(fd: int, directory: int, regroup: bool = False) -> None:
    """Allow the group to write to a file or directory created in a directory of the group, despite the umask.

    Otherwise one user's runs could not place files in directories created by another's.  `regroup`: as in
    `set_mode`.
    """
    status, above = os.fstat(fd), os.fstat(directory)
    bits = GROUP_DIRECTORY if stat.S_ISDIR(status.st_mode) else GROUP_FILE
    set_mode(fd, status, above, stat.S_IMODE(status.st_mode), above.st_mode & bits, regroup)


def set_mode(
    fd: int, status: os.stat_result, above: os.stat_result, mode: int, group: int, regroup: bool
) -> None:
    """Set the mode of this user's file or directory to `mode`, plus the bits `group` in a directory of its group.

    Files of other users are left alone.  `status`, `above`: those of `fd` and of its directory.  `regroup`:
    first change its group to that of a directory for a group.
    """
    if status.st_uid != os.geteuid():
        return
    shared = bool(above.st_mode & stat.S_IWGRP)
    if shared and regroup and status.st_gid != above.st_gid:
        with suppress(OSError):  # no modes on this file system, or the user is not in the group
            os.fchown(fd, -1, above.st_gid)
            status = os.fstat(fd)
    if shared and status.st_gid == above.st_gid:
        mode |= group
    if mode != stat.S_IMODE(status.st_mode):
        with suppress(OSError):  # mount options may fix the modes
            os.fchmod(fd, mode)
