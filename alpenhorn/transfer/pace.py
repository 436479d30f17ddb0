"""Keeping our own copies below a rate."""

from __future__ import annotations

import time
from collections.abc import Callable

from alpenhorn.errors import Stopped

BLOCK_SECONDS = 0.25  # what is moved in one go takes that long
STOP_POLL = 0.2
CATCH_UP = 0.1  # seconds; what was lost to a slow disk for longer is not made up for
AHEAD = 0.005  # seconds; a sleep for less takes longer than was asked for


class Pace:
    """`rate` bytes per second over all that is taken, from when this is made; a burst is never more than a block."""

    def __init__(self, rate: int, stopping: Callable[[], bool]) -> None:
        self.block = max(4096, int(rate * BLOCK_SECONDS))
        self._rate = rate
        self._stopping = stopping
        self._due = time.monotonic()

    def take(self, count: int) -> None:
        """Wait until `count` more bytes may have been moved; raises Stopped as soon as the run is to stop.

        Waiting comes before moving, so that many jobs of one small file each keep below the rate too.
        """
        self._due = max(self._due, time.monotonic() - CATCH_UP) + count / self._rate
        while (left := self._due - time.monotonic()) > AHEAD:
            if self._stopping():
                raise Stopped("the run was asked to stop while a file was being copied")
            time.sleep(min(left, STOP_POLL))
