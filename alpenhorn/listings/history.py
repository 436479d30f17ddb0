"""The log of what happened to copies, and the runs.

The log may have 10^9 rows: it is read from its newest end, through an index for each way in, and no further than
asked for.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from alpenhorn.errors import NotFound
from alpenhorn.index.connection import Index
from alpenhorn.index.times import known_moment
from alpenhorn.listings.runs import COLUMNS, RunRow, run_rows
from alpenhorn.reasons import Reason, recorded


class EventRow(NamedTuple):
    """`path` and `node` None: the row that they stand in is gone; `run_id` None: not by a run."""

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
    """How much there is to be removed."""

    events: int
    runs: int


# The newest first, in the order of the index that leads to them; what concerns it is joined to those rows only.
EVENTS = """
    SELECT e.at, e.run_id, r.host, e.file_id, a.name AS acq__name, f.name, e.node_id, n.name AS node__name, e.what,
           e.why, e.code
    FROM (SELECT * FROM sync_event WHERE {condition} ORDER BY {order} LIMIT ?) e
    LEFT JOIN archivefile f ON f.id = e.file_id
    LEFT JOIN archiveacq a ON a.id = f.acq_id
    LEFT JOIN storagenode n ON n.id = e.node_id
    LEFT JOIN sync_run r ON r.id = e.run_id
    ORDER BY {order_after}
"""
RUNS = f"""
    SELECT {COLUMNS} FROM sync_run
    WHERE {{condition}} ORDER BY id DESC LIMIT ?
"""
# A run that holds no end may still be going, and the last run of a host is what `status` shows of it.
OLD_RUNS = """
    ended IS NOT NULL AND ended < ?
    AND id NOT IN (SELECT last FROM (SELECT MAX(id) AS last FROM sync_run GROUP BY host) l)
"""


def events(
    index: Index,
    limit: int,
    file_id: int | None = None,
    node_id: int | None = None,
    run_id: int | None = None,
    since: datetime | None = None,
) -> list[EventRow]:
    """The newest `limit` events that fit all that is given, newest last.

    Those of a file or of a run are in the order in which they were recorded; those of a node, which may be many
    more, in the order of their times, which hosts whose clocks differ may give otherwise.
    """
    by_id = file_id is not None or run_id is not None
    # A + before a column keeps SQLite from taking its index, behind which there may be far more rows.
    own = "+" if by_id else ""
    given = (
        ("file_id = ?", file_id),
        ("run_id = ?" if file_id is None else "+run_id = ?", run_id),
        (f"{own}node_id = ?", node_id),
        (f"{own}at >= ?", since),
    )
    conditions = [(text, value) for text, value in given if value is not None]
    sql = EVENTS.format(
        condition=" AND ".join(text for text, _ in conditions) or "1 = 1",
        order="id DESC" if by_id else "at DESC, id DESC",
        order_after="e.id" if by_id else "e.at, e.id",
    )
    values = [value for _, value in conditions]
    rows = index.facts(_EventColumns, sql, (*values, limit), at=known_moment)
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
        for row in rows
    ]


def runs(index: Index, limit: int, since: datetime | None = None) -> list[RunRow]:
    """The last `limit` runs, those that began at `since` or later, newest last."""
    condition, values = ("1 = 1", ()) if since is None else ("started >= ?", (since,))
    return run_rows(index, RUNS.format(condition=condition), (*values, limit))[::-1]


def run(index: Index, run_id: int) -> RunRow:
    """Raises NotFound."""
    found = run_rows(index, RUNS.format(condition="id = ?"), (run_id, 1))
    if not found:
        raise NotFound(f"no run has the number {run_id}; see: alpenhorn history")
    return found[0]


def old(index: Index, before: datetime) -> Old:
    """What there is from before that time and may be removed."""
    return Old(
        index.value("SELECT COUNT(*) FROM sync_event WHERE at < ?", (before,)),
        index.value(f"SELECT COUNT(*) FROM sync_run WHERE {OLD_RUNS}", (before,)),
    )


def old_events(index: Index, before: datetime, limit: int) -> list[int]:
    """The ids of some of those events, the oldest."""
    return index.values("SELECT id FROM sync_event WHERE at < ? ORDER BY at LIMIT ?", (before, limit))


def old_runs(index: Index, before: datetime) -> list[int]:
    return index.values(f"SELECT id FROM sync_run WHERE {OLD_RUNS}", (before,))
