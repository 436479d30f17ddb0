"""Runs that have held nodes for too long."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import NamedTuple

from alpenhorn.config import Config
from alpenhorn.coordinator.media import noted_run
from alpenhorn.coordinator.report import Report
from alpenhorn.errors import NotFound
from alpenhorn.index.connection import Index
from alpenhorn.listings import history
from alpenhorn.plan.conditions import span
from alpenhorn.reasons import Code, Reason
from alpenhorn.scan import media
from alpenhorn.workers.lock_holder import LockHolder

_HOLDER = re.compile(r"pid (\d+) on (\S+) since (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)")


class Holder(NamedTuple):
    """The run that holds a lock.  `since`: naive UTC; `pid`: None if unknown."""

    who: str
    since: datetime.datetime
    pid: int | None = None

    def is_stuck(self, now: datetime.datetime, stuck_after: float) -> bool:
        """Return whether the lock is held for more than `stuck_after` seconds."""
        return now - self.since > datetime.timedelta(seconds=stuck_after)

    def stuck(self, nodes: str, now: datetime.datetime) -> Reason:
        return Code.STUCK(nodes=nodes, age=span((now - self.since).total_seconds()), holder=self.who)


def report_stuck(
    index: Index, config: Config, busy: Mapping[str, LockHolder], now: datetime.datetime, report: Report
) -> bool:
    """Report the runs that have held nodes of this host for longer than `stuck_after`; return whether there is one.

    `busy`: the locks of nodes held by other runs, by node name.
    """
    nodes: dict[Holder, list[str]] = {}
    for name, lock in busy.items():
        held = holder(lock.holder(), lock.changed)
        if held is not None and held.is_stuck(now, config.sync.stuck_after):
            nodes.setdefault(_known(index, lock, held), []).append(name)
    for run, names in nodes.items():
        text = ", ".join(sorted(names))
        report.warnings.lasting(run.stuck(text, now), subject=text)
    return bool(nodes)


def holder(named: str, changed: float | None) -> Holder | None:
    """Return the holder named in a lock file.

    `changed`: when the file was written, in POSIX seconds; None if the file no longer exists.
    """
    match = _HOLDER.search(named)
    if match:
        since = datetime.datetime.fromisoformat(match[3])
        return Holder(f"process {match[1]} on host {match[2]}", since, int(match[1]))
    if changed is None:
        return None
    since = datetime.datetime.fromtimestamp(int(changed), datetime.UTC).replace(tzinfo=None)
    return Holder("unknown process", since)


def _known(index: Index, lock: LockHolder, held: Holder) -> Holder:
    """Return the holder with the data of its run in the index, if the lock names a run that has not ended."""
    noted = noted_run(lock.noted(), media.identity(index))
    if noted is None:
        return held
    try:
        run = history.run(index, noted[0])
    except NotFound:
        return held
    if run.ended is not None or run.pid is None:
        return held
    return Holder(f"run {run.id}, process {run.pid} on host {run.host}", run.started, run.pid)
