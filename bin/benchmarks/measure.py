"""Measure a row in several rounds, and compute the ratio."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import clock
from benchmarks.clock import Spent
from benchmarks.rivals import Rival
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


def measure(
    row: Row, rivals: Sequence[type[Rival]], base: Path, runs: int, tell: Callable[[str], None]
) -> list[Measured]:
    """Create the row's data in the new directory `base`, and measure it `runs` times.

    Returns the comparison with the row's tool, and one with each of `rivals`, all of them with the same times of
    alpenhorn.

    The first round, which fills caches, is not counted.  The data stay until all rows are measured (see
    Archive.begin_again).  Raises BenchFailed, CannotServe.
    """
    base.mkdir()
    ours: list[Spent] = []
    others: list[list[Spent]] = [[] for _ in range(1 + len(rivals))]
    rounds = runs * row.rounds
    with ExitStack() as at_end:
        tell(f"{row.name}: preparing")
        case = row.make(base, at_end)
        beside = [kind(case) for kind in rivals]
        for number in range(rounds + 1):
            case.prepare()
            mine = case.ours()
            case.check(mine)
            case.prepare()
            theirs = [case.tool()]
            for rival in beside:
                case.prepare()
                rival.prepare()
                clock.flush(base)
                theirs.append(rival.run())
                rival.check()
            if number:
                times = ", ".join(f"{spent.seconds:.3f} s" for spent in (mine, *theirs))
                tell(f"{row.name}: round {number} of {rounds}: {times}")
                ours.append(mine)
                for known, spent in zip(others, theirs, strict=True):
                    known.append(spent)
    compared = [row, *(replace(row, tool=kind.tool, target=kind.target) for kind in rivals)]
    return [Measured(one, tuple(ours), tuple(spent)) for one, spent in zip(compared, others, strict=True)]
