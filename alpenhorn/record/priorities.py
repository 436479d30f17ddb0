"""Removes the priorities of requests that are done or deleted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from alpenhorn.index.bulk import in_chunks
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


def forget(index: Index, request_ids: Sequence[int]) -> None:
    """Delete the priorities of requests that are deleted; call it inside a transaction.

    SQLite gives the id of a deleted request to a later one, which would get the priority.
    """
    for marks, some in in_chunks(request_ids):
        index.execute(f"DELETE FROM sync_priority WHERE request_id IN ({marks})", some)
