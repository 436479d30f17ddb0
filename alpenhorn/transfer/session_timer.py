"""End a session with another host that has stalled or takes too long.

rsync's own --timeout does not help: it counts its own keep-alive messages as progress, and a stalled
connection takes many of them before it is full.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from alpenhorn.reasons import Code, Reason

LOOKS = 8  # checks of what has arrived, per stall timeout
START_SECONDS = 60.0  # minimum for connecting, logging in and the first bytes, whatever the stall timeout
PLACING_SHARE = 0.1  # of a job's time, for placing the files before the worker is killed
PLACING_SECONDS = (
    3.0  # minimum, as ending a program may take that long, unless the job has only SHORT_SECONDS
)
SHORT_SECONDS = 10.0


def session_seconds(limit: float) -> float:
    """Return the part of a job's time limit that may be spent on sessions."""
    least = PLACING_SECONDS if limit > SHORT_SECONDS else 0.0
    return limit - max(PLACING_SHARE * limit, least)


class SessionTimer:
    """The time limits of a session: call `over` repeatedly; `why` is set once the session must end.

    `stall`: maximum seconds without progress, 0 for no limit.  `size_b`: returns the length of all that has
    arrived; called rarely, for programs that do not report progress.  `end`: time.monotonic() at which the
    session must end since the job has `limit` seconds; None for no limit.
    """

    def __init__(
        self, host: str | None, stall: float, size_b: Callable[[], int], end: float | None, limit: float
    ) -> None:
        self.why: Reason | None = None
        self._host = host
        self._stall = stall
        self._size_b = size_b
        self._end = end
        self._limit = limit
        self._arrived = size_b()
        self._most = max(stall, START_SECONDS)
        self._moved = self._looked = time.monotonic()

    def moved(self) -> None:
        """Record progress."""
        self._most = self._stall
        self._moved = time.monotonic()

    def over(self) -> bool:
        now = time.monotonic()
        if self._end is not None and now >= self._end:
            self.why = Code.PULL_TIMED_OUT(host=self._host, seconds=self._limit)
        elif self._stall and now - max(self._looked, self._moved) >= self._stall / LOOKS:
            self._looked = now
            arrived = self._size_b()
            if arrived != self._arrived:
                self._arrived = arrived
                self.moved()
            elif now - self._moved >= self._most:
                self.why = Code.TRANSFER_STALLED(host=self._host, seconds=self._most)
        return self.why is not None


def length_below(directory: int) -> int:
    """Return the length of all files below an open directory, in bytes."""
    total = 0
    for _, _, names, fd in os.fwalk(".", dir_fd=directory, onerror=None):
        for name in names:
            try:
                total += os.stat(name, dir_fd=fd, follow_symlinks=False).st_size
            except OSError:  # renamed after the listing
                continue
    return total
