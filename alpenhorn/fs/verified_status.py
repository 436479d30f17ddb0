"""The status of a file when its bytes were verified, by which they are later known to be the same without reading them.

A status is a text: the start of the system, inode number, length, modification time and status change time, the times
in nanoseconds.  Only the kernel sets the status change time, so a file that was written has another one.  A status
proves something only if

- the last change before the verification was clearly earlier.  Two changes within one tick of the clock have the same
  time, so a change after the verification might keep it.  (git rereads files that are not older than its index.)
- all pages were clean before the verification.  A program that has mapped the file changes a page that is not, and no
  time with it.
- the file system is on a device of this host, and keeps fractions of seconds.  On others, several clocks may set the
  times, attributes may be cached, and a mapped file may change without them.
- the system was not started again.  What is written just before a power cut may be on the medium without its time.

A hard link or a rename changes the status change time, so whoever makes one looks right before and right after.
Between these two, and in the rest of the tick, only the modification time shows a change.  So it must be clearly
earlier, too.

Data that rot on the medium change no time.
"""

from __future__ import annotations

import os
from contextlib import suppress

from alpenhorn.fs.abilities import kind_of
from alpenhorn.fs.placing import StatusAround, unchanged

LEAST_B = 2**20  # bytes; reading a shorter file costs little more than keeping its status
CLEARLY_S = 2.0  # seconds; far longer than a tick
KINDS = frozenset({"ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs"})
BOOT = "/proc/sys/kernel/random/boot_id"

_SECOND = 10**9  # nanoseconds


class StatusTaker:
    """Take the statuses of the files of one job.

    `began`: POSIX seconds, when the job began, before any of its files was read.
    """

    def __init__(self, began: float) -> None:
        self._earlier_ns = int((began - CLEARLY_S) * _SECOND)
        self._suits: dict[int, bool] = {}
        self._boot = ""
        with suppress(OSError), open(BOOT) as file:
            self._boot = file.read().strip()

    def text(self, status: os.stat_result) -> str:
        return f"{self._boot} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"

    def before_reading(self, fd: int, size_b: int) -> str:
        """Flush an open file, and return its status; "" if that would prove nothing, or the file is short.

        It holds for the bytes that are read afterwards.  `size_b`: the length of the file.  Raises OSError if the file
        cannot be flushed.
        """
        if size_b < LEAST_B or not self._boot or not self._is_suitable(fd, os.fstat(fd).st_dev):
            return ""
        os.fdatasync(fd)
        status = os.fstat(fd)
        clear = status.st_ctime_ns <= self._earlier_ns and status.st_ctime_ns % _SECOND
        return self.text(status) if clear else ""

    def after_placing(self, stage: int, around: StatusAround) -> str:
        """Return the status of a file that was renamed, after it was verified and flushed in a directory of our own.

        `stage`: a descriptor of that directory.  "" as in `before_reading`.
        """
        before = around.before
        if before is None or before.st_size < LEAST_B or not self._boot:
            return ""
        return self.after_link(self.text(before), around) if self._is_suitable(stage, before.st_dev) else ""

    def after_link(self, known: str, around: StatusAround) -> str:
        """Return the new status of a file that was linked; "" if that would prove nothing.

        `known`: the status with which its bytes were verified, "" for none.
        """
        before, after = around.before, around.after
        if before is None or after is None or self.text(before) != known:
            return ""
        clear = after.st_mtime_ns <= self._earlier_ns and after.st_ctime_ns % _SECOND
        return self.text(after) if unchanged(after, before) and clear else ""

    def _is_suitable(self, fd: int, device: int) -> bool:
        if device not in self._suits:
            self._suits[device] = kind_of(fd) in KINDS
        return self._suits[device]
