"""Gives priorities to requests, and removes those of requests that are done or deleted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.index.selections import SelectionPart
from alpenhorn.record.index_values import remember
from alpenhorn.scan.priorities import CHANGED

COLUMNS = ("request_id", "group_id", "priority")

STALE = """
    DELETE FROM sync_priority WHERE group_id = ? AND NOT EXISTS (
        SELECT 1 FROM archivefilecopyrequest r
        WHERE r.id = sync_priority.request_id AND r.completed = 0 AND r.cancelled = 0
    )
"""


def give(index: Index, parts: Iterable[SelectionPart], priority: int) -> int:
    """Give the pending requests of a selection, `r`, a priority; return their number.  Call it inside a transaction.

    0 is the priority of requests without a row.  Runs in progress notice it before they plan more requests.
    """
    found = 0
    for part in parts:
        found += int(index.value(f"SELECT COUNT(*) {part.sql}", part.values))
        if priority:
            index.execute(
                index.upsert_from(
                    "sync_priority",
                    COLUMNS,
                    f"SELECT r.id, r.group_to_id, ? {part.sql}",
                    COLUMNS[:1],
                    COLUMNS[1:],
                ),
                (priority, *part.values),
            )
        else:
            index.execute(
                f"DELETE FROM sync_priority WHERE request_id IN (SELECT r.id {part.sql})", part.values
            )
    if found:
        remember(index, CHANGED, os.urandom(8).hex(), index.now().replace(microsecond=0))
    return found


def tidy(index: Index, group_ids: Iterable[int]) -> None:
    """Delete the priorities of requests into the groups that are no longer pending, also by other programs."""

    def work() -> None:
        for group_id in group_ids:
            index.execute(STALE, (group_id,))

    index.retry(work)


def forget(index: Index, request_ids: Sequence[int]) -> None:
    """Delete the priorities of requests that are deleted; call it inside a transaction.

    SQLite gives the id of a deleted request to a later one, which would get the priority.
    """
    for marks, some in in_chunks(request_ids):
        index.execute(f"DELETE FROM sync_priority WHERE request_id IN ({marks})", some)
