"""The end of distrust, once a node was compared with its disk as a whole."""

from __future__ import annotations

from alpenhorn.index.connection import Index
from alpenhorn.model.nodes import NodeFact
from alpenhorn.record.place import still


def believed(index: Index, node: NodeFact) -> bool:
    """The node was compared as a whole: its good copies count again, and with the last such node deletions go on.

    False, and nothing recorded, where the node is not what it was.
    """

    def work() -> bool:
        if not still(index, node, active=True):
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
