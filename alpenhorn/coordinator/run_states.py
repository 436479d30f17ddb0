"""The states of runs, including those that recorded no end."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from alpenhorn.fs.processes import began
from alpenhorn.index.times import posix
from alpenhorn.listings.runs import RunRow

# Seconds by which a process may seem to have started after its row was written, since clocks are adjusted.
SLACK = 5.0


class RunState(StrEnum):
    ENDED = "ended"
    RUNNING = "running"
    DEAD = "dead"  # killed, or the host went down
    UNKNOWN = "unknown"  # known only on the host of the run

    @property
    def said(self) -> str:
        return {"dead": "did not end", "unknown": "not ended"}.get(self.value, self.value)


def run_states(rows: Iterable[RunRow], host: str, later: Iterable[RunRow] = ()) -> dict[int, RunState]:
    """Return the state of each run by id, as seen from `host`.  `later`: other runs that began after them.

    A run is dead if its process on this host is gone, or if a later run took the run lock of one of its nodes.
    """
    states: dict[int, RunState] = {}
    taken: set[str] = set()
    for row in sorted({row.id: row for row in (*later, *rows)}.values(), key=lambda row: -row.id):
        nodes = set(row.nodes.split())
        states[row.id] = _state(row, host, bool(nodes & taken))
        taken |= nodes
    return {row.id: states[row.id] for row in rows}


def _state(row: RunRow, host: str, overtaken: bool) -> RunState:
    if row.ended is not None:
        return RunState.ENDED
    if row.ending is not None or overtaken:
        return RunState.DEAD
    if row.host != host or row.pid is None:
        return RunState.UNKNOWN
    since = began(row.pid)
    # The process id may have been reused.
    if since is None or since > posix(row.started) + SLACK:
        return RunState.DEAD
    return RunState.RUNNING
