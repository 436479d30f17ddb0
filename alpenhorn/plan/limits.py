"""The time that a job may take; apart from the making of tasks, which an idle run has no use for."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """How long a job may take, and among how many workers a page of work is shared out.

    `base` seconds and a second for each `bytes_per_second` bytes (0: no limit); a job of many files gets
    `per_file` seconds more for each, since their number and not their length is what takes time.  A job that may
    move only `rate` bytes per second gets twice the time that this takes besides.
    """

    base: float
    bytes_per_second: float
    workers: int
    per_file: float = 0.1

    def deadline(self, files: int, size_b: int, rate: int = 0) -> float | None:
        if self.bytes_per_second == 0:
            return None
        limited = 2 * size_b / rate if rate else 0.0
        return self.base + size_b / self.bytes_per_second + self.per_file * (files - 1) + limited
