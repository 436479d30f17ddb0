"""What comes of comparing a node with its disk: copies that are suspect from then on, and the end of distrust.

All of it under the condition that the node still has the host and root that were compared: otherwise it was another
disk.
"""

from __future__ import annotations

from collections.abc import Mapping

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.model import HasFile, NodeFact
from alpenhorn.record.run import Run, events


def suspect(index: Index, run: Run, node: NodeFact, before: HasFile, why: Mapping[int, str]) -> int | None:
    """Count copies that have `before` as suspect, each for the reason given by its id; returns how many it was.

    Whether they are wanted stays as it is: a copy that was removed and is there again is for the rule of deletions,
    one that is missing for a check.  None, and nothing recorded, where the node is not what it was.
    """
    lock = "" if index.sqlite else " FOR UPDATE"

    def work() -> int | None:
        if not same_node(index, node):
            return None
        turned: list[tuple[int, int, str]] = []
        for marks, some in in_chunks(list(why)):
            rows = index.execute(
                "SELECT id, file_id FROM archivefilecopy"
                f" WHERE node_id = ? AND has_file = ? AND id IN ({marks}){lock}",
                (node.id, before, *some),
            ).fetchall()
            turned += [(file_id, node.id, why[copy_id]) for copy_id, file_id in rows]
            index.execute(
                "UPDATE archivefilecopy SET has_file = 'M', last_update = ?"
                f" WHERE node_id = ? AND has_file = ? AND id IN ({marks})",
                (run.now(), node.id, before, *some),
            )
        events(index, run, "suspect", turned)
        return len(turned)

    return index.retry(work)


def believed(index: Index, node: NodeFact) -> bool:
    """The node was compared as a whole: its good copies count again, and with the last such node deletions go on.

    False, and nothing recorded, where the node is not what it was.
    """

    def work() -> bool:
        if not same_node(index, node):
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


def same_node(index: Index, node: NodeFact) -> bool:
    """Whether a node is active on the host and at the root where it was; it stays so until the transaction ends."""
    lock = "" if index.sqlite else " FOR UPDATE"
    row = index.execute(
        "SELECT n.active, h.name, n.root FROM storagenode n LEFT JOIN storagehost h ON h.id = n.host_id"
        f" WHERE n.id = ?{lock}",
        (node.id,),
    ).fetchone()
    return row is not None and bool(row[0]) and tuple(row[1:]) == (node.host, node.root)
