"""Sets of byte ranges of a file: which parts have arrived, and which are still to be fetched.

Ranges begin at multiples of BLOCK, and end there or at the end of the file, so that `dd` on another host can
read them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

BLOCK = 64 * 1024  # bytes


class ByteRange(NamedTuple):
    """The bytes from offset `start` to before `end`."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


class RangeSet:
    """A set of bytes, as sorted ranges that neither overlap nor touch."""

    def __init__(self, ranges: Iterable[ByteRange] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.total = 0
        for one in ranges:
            self.add(one)

    def __iter__(self) -> Iterator[ByteRange]:
        return map(ByteRange, self._starts, self._ends)

    def add(self, new: ByteRange) -> None:
        """Add a range, which may overlap others."""
        if new.length <= 0:
            return
        first = bisect_left(self._ends, new.start)
        last = bisect_right(self._starts, new.end)
        start, end = new
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._replace(first, last, [ByteRange(start, end)])

    def remove(self, gone: ByteRange) -> None:
        """Remove the bytes of a range, as far as they are in the set."""
        if gone.length <= 0:
            return
        first = bisect_right(self._ends, gone.start)
        last = bisect_left(self._starts, gone.end)
        if first >= last:
            return
        rest = (ByteRange(self._starts[first], gone.start), ByteRange(gone.end, self._ends[last - 1]))
        self._replace(first, last, [one for one in rest if one.length > 0])

    def take(self, most: int) -> ByteRange | None:
        """Remove and return at most `most` bytes, which must be a multiple of BLOCK, from the start; None if empty."""
        if not self._starts:
            return None
        start = self._starts[0]
        taken = ByteRange(start, min(start + most, self._ends[0]))
        self.remove(taken)
        return taken

    def prefix(self) -> int:
        """Return the number of bytes in the set from the start of the file on, up to the first gap."""
        return self._ends[0] if self._starts and self._starts[0] == 0 else 0

    def _replace(self, first: int, last: int, new: list[ByteRange]) -> None:
        self.total -= sum(self._ends[first:last]) - sum(self._starts[first:last])
        self.total += sum(one.length for one in new)
        self._starts[first:last] = [one.start for one in new]
        self._ends[first:last] = [one.end for one in new]


def without_tail(position: int, size_b: int) -> int:
    """Return the end of the last complete block before `position` in a file of that size."""
    return position if position >= size_b else position // BLOCK * BLOCK
