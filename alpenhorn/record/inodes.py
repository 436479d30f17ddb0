"""Records free inodes of nodes that have few, in `sync_index`, for commands and other hosts."""

from __future__ import annotations

from collections.abc import Mapping

from alpenhorn.index.connection import Index
from alpenhorn.record.index_values import remember
from alpenhorn.record.run import Run
from alpenhorn.scan.inodes import FEW, row_name


def note(index: Index, run: Run, free: Mapping[int, int | None]) -> None:
    """Record the free inodes, by node id, of nodes that have few; write nothing for others."""
    now = run.now()
    few = {node_id: left for node_id, left in free.items() if left is not None and left < FEW}

    def work() -> None:
        for node_id, left in few.items():
            remember(index, row_name(node_id), str(left), now)

    if few:
        index.retry(work)
