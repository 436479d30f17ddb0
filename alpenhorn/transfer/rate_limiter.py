"""Keep copies within this host below a rate."""

from __future__ import annotations

import time
from collections.abc import Callable

from alpenhorn.errors import Stopped

BLOCK_SECONDS = 0.25  # duration of one block
STOP_POLL = 0.2
CATCH_UP = 0.1  # seconds; longer delays by a slow disk are not made up for
AHEAD = 0.005  # seconds; a shorter sleep takes longer than requested


class RateLimiter:
    """A limit of `rate` bytes per second from its creation on; a burst is at most one block."""

    def __init__(self, rate: int, stopping: Callable[[], bool]) -> None:
        self.block = max(4096, int(rate * BLOCK_SECONDS))
        self._rate = rate
        self._stopping = stopping
        self._due = time.monotonic()

    def wait(self, count: int) -> None:
        """Wait until `count` more bytes may be copied; raises Stopped as soon as the run is to stop.

        Waits before copying, so that many jobs with one small file each stay below the rate too.
        """
        self._due = max(self._due, time.monotonic() - CATCH_UP) + count / self._rate
        while (left := self._due - time.monotonic()) > AHEAD:
            if self._stopping():
                raise Stopped("the run was asked to stop while copying a file")
            time.sleep(min(left, STOP_POLL))
