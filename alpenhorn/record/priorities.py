"""Removes the priorities of requests that are done."""

from __future__ import annotations

from collections.abc import Iterable

from alpenhorn.index.connection import Index

STALE = """
    DELETE FROM sync_priority WHERE group_id = ? AND NOT EXISTS (
        SELECT 1 FROM archivefilecopyrequest r
        WHERE r.id = sync_priority.request_id AND r.completed = 0 AND r.cancelled = 0
    )
"""


def tidy(index: Index, group_ids: Iterable[int]) -> None:
    """Delete the priorities of requests into the groups that are no longer pending, also by other programs."""

    def work() -> None:
        for group_id in group_ids:
            index.execute(STALE, (group_id,))

    index.retry(work)
