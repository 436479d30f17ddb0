"""Give a file the attributes that `rsync -tpgo` would give it: times, mode, group, and for root the owner."""

from __future__ import annotations

import grp
import os
import pwd
import time

from alpenhorn.fs.attributes import KEPT, set_owner_and_mode, set_times
from alpenhorn.transfer.tar_reader import Member


class AttributeSetter:
    """Sets the attributes of new files of this process.

    `owners`: modes and owners can be set here; otherwise only times are, and the mode when the file is created.
    Attributes that the file system does not support are skipped.
    """

    def __init__(self, owners: bool) -> None:
        self._owners = owners
        self._root = os.geteuid() == 0
        self._groups = frozenset((os.getegid(), *os.getgroups()))
        self._known: dict[tuple[bytes, int, bytes, int], tuple[int, int]] = {}

    def first_mode(self, member: Member) -> int:
        """Return the mode with which to create a file: nearly always the final one, but writable for us."""
        return member.mode & 0o777 | 0o600

    def set(self, fd: int, member: Member) -> None:
        """Set the attributes of an open file.  Raises OSError, and OverflowError for an impossible time or owner."""
        if self._owners:
            set_owner_and_mode(fd, os.fstat(fd), *self._owner(member), member.mode)
        set_times(fd, time.time_ns(), member.mtime_ns)

    def _owner(self, member: Member) -> tuple[int, int]:
        """Return owner and group here: those of the same names or, without such names, of the same numbers."""
        key = (member.user, member.uid, member.group, member.gid)
        known = self._known.get(key)
        if known is None:
            uid = _uid(member) if self._root else KEPT
            gid = _gid(member)
            if not self._root and gid not in self._groups:
                gid = KEPT
            known = self._known[key] = (uid, gid)
        return known


def _uid(member: Member) -> int:
    if member.user and member.uid:  # rsync(1), --numeric-ids: 0 is the same everywhere
        try:
            return pwd.getpwnam(os.fsdecode(member.user)).pw_uid
        except (KeyError, ValueError):  # no such name, or no name at all
            pass
    return member.uid


def _gid(member: Member) -> int:
    if member.group and member.gid:
        try:
            return grp.getgrnam(os.fsdecode(member.group)).gr_gid
        except (KeyError, ValueError):  # no such name, or no name at all
            pass
    return member.gid
