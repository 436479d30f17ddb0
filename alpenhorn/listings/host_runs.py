"""The last runs of each host with active nodes, and whether the last one is old."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.listings.runs import COLUMNS, REAL, RunRow, run_rows

LAST = 11  # runs, for ten distances
IDLE = timedelta(days=1)
USUAL = 2  # times the usual distance

HOSTS = """
    SELECT h.name FROM storagehost h
    WHERE EXISTS (SELECT 1 FROM storagenode n WHERE n.host_id = h.id AND n.active = 1) ORDER BY h.name
"""
RUNS = f"SELECT {COLUMNS} FROM sync_run WHERE host = ? AND {REAL} ORDER BY id DESC LIMIT {LAST}"


class HostRuns(NamedTuple):
    """The last runs of a host with active nodes, newest first; at least one."""

    host: str
    runs: list[RunRow]

    @property
    def usual(self) -> timedelta | None:
        """The median of the times between the starts of these runs, None for a single run."""
        starts = [run.started for run in self.runs]
        if len(starts) < 2:
            return None
        seconds = [(later - earlier).total_seconds() for later, earlier in pairwise(starts)]
        return timedelta(seconds=median(seconds))

    def is_old(self, now: datetime) -> bool:
        """Return whether the last run began more than a day ago, and more than twice the usual time between runs."""
        return now - self.runs[0].started > max(IDLE, USUAL * (self.usual or timedelta()))


def load(index: Index) -> list[HostRuns]:
    """Return the last runs of the hosts with active nodes and runs, with one query for each host."""
    found = [HostRuns(host, run_rows(index, RUNS, (host,))) for host in index.values(HOSTS)]
    return [one for one in found if one.runs]
