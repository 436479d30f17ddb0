"""Measure a row in several rounds, and compute the ratio."""

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
    """The times of alpenhorn and of the tool, round by round."""

    row: Row
    ours: tuple[Spent, ...]
    tool: tuple[Spent, ...]

    @property
    def ratios(self) -> list[float]:
        """Ratios of the rounds: a temporary load on the machine affects both sides of one round."""
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
    """Create the row's data in the new directory `base`, and measure it `runs` times.

    The first round, which fills caches, is not counted.  The data stay until all rows are measured (see
    Archive.begin_again).  Raises BenchFailed, CannotServe.
    """
    base.mkdir()
    ours: list[Spent] = []
    tool: list[Spent] = []
    rounds = runs * row.rounds
    with ExitStack() as at_end:
        tell(f"{row.name}: preparing")
        case = row.make(base, at_end)
        for number in range(rounds + 1):
            case.prepare()
            mine = case.ours()
            case.check(mine)
            case.prepare()
            other = case.tool()
            if number:
                tell(f"{row.name}: round {number} of {rounds}: {mine.seconds:.3f} s, {other.seconds:.3f} s")
                ours.append(mine)
                tool.append(other)
    return Measured(row, tuple(ours), tuple(tool))
