"""Deadlines of jobs; a separate module, because an idle run creates no tasks."""

from __future__ import annotations

from typing import NamedTuple

# Files for each worker that are planned at once.  Meanwhile no worker gets a task, and all would be idle for longer
# with more.
PAGE_FILES = 500


class Limits(NamedTuple):
    """The deadlines of jobs, and the number of workers among which work is divided.

    A deadline is `base` seconds, plus one second for each `bytes_per_second` bytes (0: no deadline), plus `per_file`
    seconds for each file, since many small files take time by their number.  A job limited to `rate` bytes per second
    gets twice the time needed at that rate in addition.
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

    def page(self, most: int) -> int:
        """Return the number of files to plan at once, at most `most`."""
        return min(PAGE_FILES * self.workers, most)
