"""Pins set and taken away."""

from __future__ import annotations

import datetime

from alpenhorn.index.connection import Index

COLUMNS = ("file_id", "node_id", "reason", "pinned", "until")


def pin(
    index: Index,
    file_id: int,
    node_id: int,
    reason: str | None,
    until: datetime.datetime | None,
    now: datetime.datetime,
) -> None:
    """Keep the file's copy on the node (0: on every node) from deletion; an earlier pin of the same is replaced.

    `now`: the index's own time.
    """

    def work() -> None:
        # A claim for deletion reads the pins with the copies locked, so that each of the two sees the other.
        lock = index.dialect.for_update
        if lock:
            index.execute(f"SELECT id FROM archivefilecopy WHERE file_id = ?{lock}", (file_id,))
        sql = index.upsert("sync_pin", COLUMNS, COLUMNS[:2], COLUMNS[2:])
        index.execute(sql, (file_id, node_id, reason, now, until))

    index.retry(work)


def unpin(index: Index, file_id: int, node_id: int) -> bool:
    """Take the pin away; False when there was none, or when it had run out."""

    def work() -> bool:
        now = index.now()
        index.execute(
            "DELETE FROM sync_pin WHERE file_id = ? AND node_id = ? AND until <= ?", (file_id, node_id, now)
        )
        cursor = index.execute("DELETE FROM sync_pin WHERE file_id = ? AND node_id = ?", (file_id, node_id))
        return int(cursor.rowcount) == 1

    return index.retry(work)
