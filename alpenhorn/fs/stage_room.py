"""Divide the free bytes of a file system among the stages that are filled on it at the same time.

A stage that takes room has a file without blocks in ROOT/.alpenhorn/room, as long as all that may be written into the
stage.  Without it, several workers would find the same bytes free, and fill the disk together.  What killed workers
leave there makes later ones too careful, until the next run removes it with other leftovers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress

from alpenhorn.errors import StorageError
from alpenhorn.fs import ofd, own
from alpenhorn.fs.placing import Stage
from alpenhorn.reasons import Code

ROOM = "room"
LOCK = "lock"
LOCK_SECONDS = 30.0  # it is held while a few directories are listed
BLOCK_B = 512


class StageRoom:
    """The room of one stage.  `stopping`: when it returns true, a wait for the lock soon ends with Stopped."""

    def __init__(self, stage: Stage, stopping: Callable[[], bool]) -> None:
        self._stage = stage
        self._stopping = stopping
        self._private = os.path.dirname(stage.path)
        self._directory = os.path.join(self._private, ROOM)
        self.free_b = 0
        """The bytes that were free for this stage when room was last taken."""

    def take(self, sizes_b: Sequence[int]) -> int:
        """Take room for the first of some files, as many as fit together; return their number.

        Raises StorageError, OSError and Stopped.
        """
        os.close(own.open_directory(self._stage.private, ROOM, self._private))
        lock = ofd.LockFile(os.path.join(self._directory, LOCK))
        try:
            deadline = ofd.deadline_after(LOCK_SECONDS, blocking=True)
            if not lock.acquire(ofd.exclusive(0), deadline, self._stopping):
                raise StorageError(Code.STAGE_ROOM_LOCKED(path=self._directory))
            self.give_back()
            here_b = _space_below(self._stage.path)  # of the part that is continued
            self.free_b = max(0, self._unpromised() + here_b)
            number = taken_b = 0
            while number < len(sizes_b) and taken_b + sizes_b[number] <= self.free_b:
                taken_b += sizes_b[number]
                number += 1
            if number:
                with open(self._own, "xb") as file:
                    file.truncate(taken_b)
            return number
        finally:
            lock.close()

    def give_back(self) -> None:
        """Give back the room that was taken; does nothing if there is none."""
        with suppress(FileNotFoundError):
            os.unlink(self._own)

    @property
    def _own(self) -> str:
        return os.path.join(self._directory, f"{self._stage.name}.b")

    def _unpromised(self) -> int:
        """Return the free bytes without those that other stages will still take."""
        status = os.fstatvfs(self._stage.fd)
        free_b = status.f_bavail * status.f_frsize
        with os.scandir(self._directory) as entries:
            for entry in entries:
                if entry.name != LOCK:
                    name = entry.name.removesuffix(".b")
                    written_b = _space_below(os.path.join(self._private, name))
                    free_b -= max(0, entry.stat(follow_symlinks=False).st_size - written_b)
        return free_b


def _space_below(directory: str) -> int:
    """Return the bytes on the disk of all files below a directory; 0 if it does not exist."""
    total = 0
    for at, _, names in os.walk(directory):
        for name in names:
            with suppress(FileNotFoundError):  # renamed after the listing
                total += os.lstat(os.path.join(at, name)).st_blocks * BLOCK_B
    return total
