"""What comes of comparing a node with its disk: copies that are suspect from then on, and the end of distrust.

All of it under the condition that the node still has the host and root that were compared: otherwise it was another
disk.
"""

from __future__ import annotations

from collections.abc import Mapping

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.model import HasFile, NodeFact
from alpenhorn.record.copies import once_good
from alpenhorn.record.place import still
from alpenhorn.record.run import Run, events


def suspect(index: Index, run: Run, node: NodeFact, before: HasFile, why: Mapping[int, str]) -> int | None:
    """Count copies that have `before` as suspect, each for the reason given by its id; returns how many it was.

    Whether they are wanted stays as it is: a copy that was removed and is there again is for the rule of deletions,
    one that is missing for a check.  None, and nothing recorded, where the node is not what it was.
    """
    lock = "" if index.sqlite else " FOR UPDATE"

    def work() -> int | None:
        if not still(index, node):
            return None
        turned: list[tuple[int, int, str]] = []
        for marks, some in in_chunks(list(why)):
            rows = index.execute(
                "SELECT id, file_id FROM archivefilecopy"
                f" WHERE node_id = ? AND has_file = ? AND id IN ({marks}){lock}",
                (node.id, before, *some),
            ).fetchall()
            if before == HasFile.YES:
                once_good(index, node.id, [file_id for _, file_id in rows])
            turned += [
                (file_id, node.id, f"compared with the disk: {why[copy_id]}") for copy_id, file_id in rows
            ]
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
        if not still(index, node):
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
