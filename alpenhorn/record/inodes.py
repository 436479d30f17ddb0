"""Records free inodes of nodes that have few, in `sync_index`, for commands and other hosts."""

from __future__ import annotations

from collections.abc import Mapping

from alpenhorn.index.connection import Index
from alpenhorn.record.run import Run
from alpenhorn.scan.inodes import FEW, row_name

COLUMNS = ("name", "value", "at")


def note(index: Index, run: Run, free: Mapping[int, int | None]) -> None:
    """Record the free inodes, by node id, of nodes that have few; write nothing for others."""
    now = run.now()
    few = [
        (row_name(node_id), str(left), now)
        for node_id, left in free.items()
        if left is not None and left < FEW
    ]
    if few:
        sql = index.upsert("sync_index", COLUMNS, COLUMNS[:1], COLUMNS[1:])
        index.retry(lambda: index.executemany(sql, few))
