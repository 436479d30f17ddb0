"""Record whether every copy on an archive node has bytes of its own.

Until that is known its copies do not count as archive copies: two of them could be one file with two names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.model.nodes import NodeFact

# All that have no default in the database.
COLUMNS = ("node_id", "generation", "separate", "looked", "lost")


class _NodeNow(NamedTuple):
    archive: bool
    host: str | None
    root: str | None


def forget(index: Index, node_ids: Sequence[int]) -> None:
    """Count no copy on these nodes as separate until a run has looked at it."""

    def work() -> None:
        for marks, some in in_chunks(node_ids):
            index.execute(
                f"UPDATE sync_medium SET separate = 0 WHERE separate <> 0 AND node_id IN ({marks})", some
            )

    index.retry(work)


def separate(index: Index, node: NodeFact) -> bool:
    """Record that each good copy was looked at and has bytes of its own; return whether that was recorded.

    Not when the node was edited meanwhile: another place has other files, and on a node that is not an archive node
    links may be made at any time.
    """
    lock = index.dialect.for_update

    def work() -> bool:
        sql = (
            "SELECT n.archive, h.name AS host__name, n.root FROM storagenode n"
            f" LEFT JOIN storagehost h ON h.id = n.host_id WHERE n.id = ?{lock}"
        )
        now = index.fact(_NodeNow, sql, (node.id,))
        if now is None or not now.archive or (now.host, now.root) != (node.host, node.root):
            return False
        index.execute(index.upsert("sync_medium", COLUMNS, COLUMNS[:1], ("separate",)), (node.id, 0, 1, 0, 0))
        return True

    return index.retry(work)
