"""Records that a node was compared completely with its disk."""

from __future__ import annotations

from alpenhorn.index.connection import Index
from alpenhorn.model.nodes import NodeFact
from alpenhorn.record.place import node_unmoved


def record_comparison(index: Index, node: NodeFact) -> bool:
    """Record that the node was compared completely: its good copies count again.

    After the last such node, deletions are no longer suspended.  Records nothing and returns False if the node was
    moved in the meantime.
    """

    def work() -> bool:
        if not node_unmoved(index, node, active=True):
            return False
        index.execute(
            "UPDATE sync_medium SET distrust = NULL, looked = 0, lost = 0 WHERE node_id = ?", (node.id,)
        )
        left = index.execute(
            "SELECT COUNT(*) FROM sync_medium m JOIN storagenode n ON n.id = m.node_id"
            " WHERE m.distrust = 'reconcile'"
        ).fetchone()[0]
        if not left:
            index.execute("DELETE FROM sync_index WHERE name = 'restored'")
        return True

    return index.retry(work)
