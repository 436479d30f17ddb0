"""Roots on which users of a common group all run alpenhorn: the group may write to the root, and to what runs make."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

GROUP_FILE = stat.S_IRGRP | stat.S_IWGRP
GROUP_DIRECTORY = stat.S_IRWXG | stat.S_ISGID


def share(fd: int, directory: int, regroup: bool = False) -> None:
    """Let the group write to what this process made in a directory for a group, whatever the umask.

    Else one user's runs would make directories in which another's cannot place anything.  `regroup`: as in `set_mode`.
    """
    status, above = os.fstat(fd), os.fstat(directory)
    bits = GROUP_DIRECTORY if stat.S_ISDIR(status.st_mode) else GROUP_FILE
    set_mode(fd, status, above, stat.S_IMODE(status.st_mode), above.st_mode & bits, regroup)


def set_mode(
    fd: int, status: os.stat_result, above: os.stat_result, mode: int, group: int, regroup: bool
) -> None:
    """Set the mode of a file or directory of this user to `mode`, with the bits `group` if it lies in a directory for
    its group.  What belongs to another user is left alone.

    `status`, `above`: of `fd` and of the directory that it lies in; `regroup`: first give it the group of a directory
    for a group.
    """
    if status.st_uid != os.geteuid():
        return
    shared = bool(above.st_mode & stat.S_IWGRP)
    if shared and regroup and status.st_gid != above.st_gid:
        with suppress(OSError):  # a file system without modes; or a group in which this user is not
            os.fchown(fd, -1, above.st_gid)
            status = os.fstat(fd)
    if shared and status.st_gid == above.st_gid:
        mode |= group
    if mode != stat.S_IMODE(status.st_mode):
        with suppress(OSError):  # where modes are those of the mount
            os.fchmod(fd, mode)
