"""The history of copies, and the runs.

The history may have 10^9 rows: it is read from the newest event back, with an index for each kind of query, and only as
far as requested.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from alpenhorn.errors import DONE, NotFound
from alpenhorn.index.bulk import marks
from alpenhorn.index.connection import Index
from alpenhorn.index.times import known_moment, posix
from alpenhorn.listings.runs import COLUMNS, RunRow, run_rows
from alpenhorn.model.conditions import Condition
from alpenhorn.reasons import Reason, recorded
from alpenhorn.scan import patterns
from alpenhorn.scan.conditions import of_host


class EventRow(NamedTuple):
    """An event.  `path` and `node` None: the row of the file or node was removed by another program; `run_id` None: not
    by a run."""

    at: datetime
    run_id: int | None
    host: str | None
    file_id: int
    path: str | None
    node_id: int
    node: str | None
    what: str
    why: Reason


class _EventColumns(NamedTuple):
    id: int
    at: datetime
    run_id: int | None
    host: str | None
    file_id: int
    acq: str | None
    name: str | None
    node_id: int
    node: str | None
    what: str
    why: str
    code: str | None


class Old(NamedTuple):
    """Numbers of old events and runs."""

    events: int
    runs: int


# The newest first, in the order of the index; other tables are joined to these rows only.
EVENTS = """
    SELECT e.id, e.at, e.run_id, r.host, e.file_id, a.name AS acq__name, f.name, e.node_id,
           COALESCE(n.name, w.name) AS node__name,
           e.what, e.why, e.code
    FROM (SELECT * FROM sync_event WHERE {condition} ORDER BY {order} LIMIT ?) e
    LEFT JOIN archivefile f ON f.id = e.file_id
    LEFT JOIN archiveacq a ON a.id = f.acq_id
    LEFT JOIN storagenode n ON n.id = e.node_id
    LEFT JOIN sync_deleted_node w ON w.id = -e.node_id
    LEFT JOIN sync_run r ON r.id = e.run_id
    ORDER BY {order_after}
"""
RUNS = f"""
    SELECT {COLUMNS} FROM sync_run
    WHERE {{condition}} ORDER BY id DESC LIMIT ?
"""
# Not runs without an end, which may be in progress, nor the last run of a host, which `status` shows.
OLD_RUNS = """
    ended IS NOT NULL AND ended < ?
    AND id NOT IN (SELECT last FROM (SELECT MAX(id) AS last FROM sync_run GROUP BY host) l)
"""
# Not the newest event, whose number SQLite would use again for the next: a manifest that includes the former would seem
# to include the latter.  Nor events about a node that its manifest does not include yet: without them it would seem up
# to date.
# Nor the events that tell which copies their owners changed: runs and listings need them.
OLD_EVENTS = """
    FROM sync_event e
    WHERE e.at < ? AND e.what <> 'changed' AND e.id < (SELECT last FROM (SELECT MAX(id) AS last FROM sync_event) l)
      AND NOT EXISTS (SELECT 1 FROM sync_node s
                      WHERE s.node_id = e.node_id AND s.host IS NOT NULL AND s.event_id < e.id)
"""


def events(
    index: Index,
    limit: int,
    file_id: int | None = None,
    nodes: Sequence[int] = (),
    run_id: int | None = None,
    since: datetime | None = None,
) -> list[EventRow]:
    """Return the newest `limit` events that match all arguments, newest last.  `nodes`: ids, none for all.

    Events of a file or a run are in the order in which they were recorded.  Events of nodes, which may be many more,
    are in the order of their times, which may differ from that if hosts' clocks differ.
    """
    by_id = file_id is not None or run_id is not None
    # A + before a column prevents SQLite from using its index, which may match far more rows.
    own = "+" if by_id else ""
    given = (
        ("file_id = ?", file_id),
        ("run_id = ?" if file_id is None else "+run_id = ?", run_id),
        (f"{own}at >= ?", since),
    )
    conditions = [text for text, value in given if value is not None]
    values = [value for _, value in given if value is not None]
    # Each node has a query of its own, because the index has the events of one node only in the order of their times.
    parts: list[Sequence[int]] = [nodes] if by_id or not nodes else [(node_id,) for node_id in nodes]
    found: list[_EventColumns] = []
    for part in parts:
        of_nodes = (f"{own}node_id IN ({marks(part)})",) if part else ()
        sql = EVENTS.format(
            condition=" AND ".join((*conditions, *of_nodes)) or "1 = 1",
            order="id DESC" if by_id else "at DESC, id DESC",
            order_after="e.id" if by_id else "e.at, e.id",
        )
        found += index.facts(_EventColumns, sql, (*values, *part, limit), at=known_moment)
    if len(parts) > 1:
        found.sort(key=lambda row: (row.at, row.id))
    return [
        EventRow(
            row.at,
            row.run_id,
            row.host,
            row.file_id,
            None if row.acq is None or row.name is None else f"{row.acq}/{row.name}",
            row.node_id,
            row.node,
            row.what,
            recorded(row.why, row.code),
        )
        for row in found[-limit:]
    ]


def deleted_nodes(index: Index, pattern: str) -> list[int]:
    """Return the ids that events have about nodes that were deleted, whose names match a pattern."""
    where, values = patterns.condition("name", pattern)
    rows = index.execute(
        f"SELECT id, name FROM sync_deleted_node WHERE {where} ORDER BY id", values
    ).fetchall()
    return [-id for id, name in rows if patterns.matches(pattern, name)]


def runs(index: Index, limit: int, since: datetime | None = None) -> list[RunRow]:
    """Return the last `limit` runs that began at `since` or later, newest last."""
    condition, values = ("1 = 1", ()) if since is None else ("started >= ?", (since,))
    return run_rows(index, RUNS.format(condition=condition), (*values, limit))[::-1]


def run(index: Index, run_id: int) -> RunRow:
    """Return a run.  Raises NotFound."""
    found = run_rows(index, RUNS.format(condition="id = ?"), (run_id, 1))
    if not found:
        raise NotFound(f"no run with the number {run_id}; see: alpenhorn history")
    return found[0]


def lasting(index: Index, run: RunRow) -> list[Condition]:
    """Return the conditions of a run's host that began before the run and still exist; none if it succeeded.

    Their failures are events of earlier runs.
    """
    if run.exit_status in (None, DONE):
        return []
    began = posix(run.started)
    return [one for one in of_host(index, run.host) if one.began < began]


def last_run(index: Index) -> int:
    """Return the number of the newest run of any host.  Raises NotFound if none is recorded."""
    found = index.value("SELECT MAX(id) FROM sync_run")
    if found is None:
        raise NotFound("no run is recorded yet; to start one: alpenhorn sync")
    return int(found)


def old(index: Index, before: datetime) -> Old:
    """Count the events and runs before a time that may be removed."""
    return Old(
        index.value(f"SELECT COUNT(*) {OLD_EVENTS}", (before,)),
        index.value(f"SELECT COUNT(*) FROM sync_run WHERE {OLD_RUNS}", (before,)),
    )


def old_events(index: Index, before: datetime, limit: int) -> list[int]:
    """Return the ids of the oldest `limit` events before a time that may be removed."""
    return index.values(f"SELECT e.id {OLD_EVENTS} ORDER BY e.at LIMIT ?", (before, limit))


def old_runs(index: Index, before: datetime) -> list[int]:
    return index.values(f"SELECT id FROM sync_run WHERE {OLD_RUNS}", (before,))
