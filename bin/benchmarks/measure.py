"""Running a row: in turn, several times; and what the times come to."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clock import Spent
from benchmarks.rows import Row


@dataclass(frozen=True, slots=True)
class Measured:
    """Our times and the tool's, of the same rounds in the same order."""

    row: Row
    ours: tuple[Spent, ...]
    tool: tuple[Spent, ...]

    @property
    def ratios(self) -> list[float]:
        """One for each round, so that what slows down the machine for a while slows down both."""
        return [ours.seconds / tool.seconds for ours, tool in zip(self.ours, self.tool, strict=True)]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def peak_b(self) -> int:
        return max(spent.peak_b for spent in self.ours)

    @property
    def reached(self) -> bool:
        enough = self.row.memory_b is None or self.peak_b < self.row.memory_b
        return self.ratio <= self.row.target and enough


def measure(row: Row, base: Path, runs: int, tell: Callable[[str], None]) -> Measured:
    """Build the row's data in the new directory `base`, and run it `runs` times.

    A first round, in which caches are filled, is not counted.  The data stay (see Archive.begin_again) until all
    rows are measured.  Raises BenchFailed, CannotServe.
    """
    base.mkdir()
    ours: list[Spent] = []
    tool: list[Spent] = []
    rounds = runs * row.rounds
    with ExitStack() as at_end:
        tell(f"{row.name}: building")
        case = row.make(base, at_end)
        for number in range(rounds + 1):
            case.prepare()
            mine = case.ours()
            case.check(mine)
            case.prepare()
            other = case.tool()
            if number:
                tell(f"{row.name}: {number} of {rounds}: {mine.seconds:.3f} s, {other.seconds:.3f} s")
                ours.append(mine)
                tool.append(other)
    return Measured(row, tuple(ours), tuple(tool))
