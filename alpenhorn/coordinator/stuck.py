"""Nodes that another run has held for so long that somebody should look at it."""

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
from alpenhorn.reasons import Code
from alpenhorn.scan import media
from alpenhorn.workers.lock_holder import LockHolder

_HOLDER = re.compile(r"pid (\d+) on (\S+) since (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)")


class Holder(NamedTuple):
    """`since`: naive UTC."""

    who: str
    since: datetime.datetime


def tell(
    index: Index, config: Config, busy: Mapping[str, LockHolder], now: datetime.datetime, report: Report
) -> bool:
    """Report the runs that have held nodes of this host, `busy` by name, for longer than `stuck_after`; tells whether
    there is one."""
    limit = datetime.timedelta(seconds=config.sync.stuck_after)
    nodes: dict[Holder, list[str]] = {}
    for name, lock in busy.items():
        held = _holder(lock)
        if held is not None and now - held.since > limit:
            nodes.setdefault(_known(index, lock, held), []).append(name)
    for holder, names in nodes.items():
        text = ", ".join(sorted(names))
        age = span((now - holder.since).total_seconds())
        report.warnings.lasting(Code.STUCK(nodes=text, age=age, holder=holder.who), subject=text)
    return bool(nodes)


def _holder(lock: LockHolder) -> Holder | None:
    """As the lock's file has it; None where there is none any more."""
    match = _HOLDER.search(lock.holder())
    if match:
        return Holder(f"process {match[1]} on host {match[2]}", datetime.datetime.fromisoformat(match[3]))
    if lock.changed is None:
        return None
    since = datetime.datetime.fromtimestamp(int(lock.changed), datetime.UTC).replace(tzinfo=None)
    return Holder("it left no name", since)


def _known(index: Index, lock: LockHolder, held: Holder) -> Holder:
    """As the index has the run that left its number there; it is the holder unless its row has an end."""
    noted = noted_run(lock.noted(), media.load(index).identity)
    if noted is None:
        return held
    try:
        run = history.run(index, noted[0])
    except NotFound:
        return held
    if run.ended is not None or run.pid is None:
        return held
    return Holder(f"run {run.id}, process {run.pid} on host {run.host}", run.started)
