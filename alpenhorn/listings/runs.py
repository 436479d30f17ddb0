"""Rows of runs, for all listings of runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.index.times import known_moment, moment
from alpenhorn.outside import parsed
from alpenhorn.reasons import Code

LATER = 1000  # maximum number of later runs to search for one on the same nodes
COLUMNS = "id, host, nodes, started, ended, exit_status, done, failed, bytes, counts, pid, ending"
# Without dry runs, which did no work, and fail if index and disk differ.
REAL = f"COALESCE(ending, '') <> '{Code.DRY_RUN.text}'"
AFTER = f"SELECT {COLUMNS} FROM sync_run WHERE id > ? ORDER BY id LIMIT {LATER}"


class RunRow(NamedTuple):
    """A run.

    `ended` None: in progress, or killed (see `alpenhorn.coordinator.run_states`).  `counts`: kind of work to {"done",
    "failed", "bytes"}; `pid`: of its process, None for runs of earlier versions; `ending`: why it ended early.
    """

    id: int
    host: str
    nodes: str
    started: datetime
    ended: datetime | None
    exit_status: int | None
    done: int
    failed: int
    bytes: int
    counts: dict[str, dict[str, int]]
    pid: int | None = None
    ending: str | None = None

    @property
    def seconds(self) -> float | None:
        return None if self.ended is None else (self.ended - self.started).total_seconds()


def run_rows(index: Index, sql: str, values: Sequence[Any] = ()) -> list[RunRow]:
    """Return the runs that a SELECT of COLUMNS finds."""
    return index.facts(RunRow, sql, values, started=known_moment, ended=moment, counts=_counts)


def after(index: Index, run_id: int) -> list[RunRow]:
    return run_rows(index, AFTER, (run_id,))


def _counts(text: str | None) -> dict[str, dict[str, int]]:
    """Parse the column `counts`; return an empty dict if it is invalid."""
    try:
        found = parsed(text or "{}")
        return {
            str(kind): {str(key): int(number) for key, number in count.items()}
            for kind, count in found.items()
        }
    except (AttributeError, TypeError, ValueError, OverflowError):
        return {}
