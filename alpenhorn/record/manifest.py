"""What is kept in mind of nodes' manifests, and copies that are not what they were.

Whoever vouches for a node writes its manifest's token down: a run that has compared it, or whose own it was all the
time.  Nobody does any more once the node was out of sight, and a later run on it compares it.
"""

from __future__ import annotations

from collections.abc import Sequence

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.model.copies import HasFile
from alpenhorn.model.manifests import ChangedFile
from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import headed
from alpenhorn.record.place import still
from alpenhorn.record.run import Run
from alpenhorn.record.suspect import suspect as turn_suspect

COLUMNS = ("node_id", "compared", "manifest", "host", "root", "event_id", "files")


def distrust(index: Index, node_ids: Sequence[int]) -> None:
    """Nobody vouches for these nodes any more."""

    def work() -> None:
        for marks, some in in_chunks(node_ids):
            index.execute(
                f"UPDATE sync_node SET manifest = NULL WHERE manifest IS NOT NULL AND node_id IN ({marks})",
                some,
            )

    index.retry(work)


def vouch(index: Index, node: NodeFact, token: str, event_id: int, files: int) -> bool:
    """The manifest with that token, "" for none, tells of `files` copies, up to an event; -1: it is to be written anew.

    Not when the node was moved or taken off meanwhile, which is returned: by whoever did it, it was out of sight.
    """

    def work() -> bool:
        if not still(index, node, active=True):
            return False
        index.execute(
            index.upsert("sync_node", COLUMNS, COLUMNS[:1], COLUMNS[2:]),
            (node.id, 0, token, node.host, node.root, event_id, files),
        )
        return True

    return index.retry(work)


def seen(index: Index, node_id: int, event_id: int) -> None:
    """Nothing of the node is among the events up to this one, so that nobody need look there again."""
    index.retry(
        lambda: index.execute("UPDATE sync_node SET event_id = ? WHERE node_id = ?", (event_id, node_id))
    )


def suspect(index: Index, run: Run, node: NodeFact, changed: Sequence[ChangedFile]) -> None:
    """Count copies that are not what they were as good no more, until they were read.

    Those that are good, that is: of any other nobody relies on what was seen.  What follows is a check's to say.
    """
    why = {one.file.copy_id: headed(f"node {node.name} came back changed", one.why) for one in changed}
    turn_suspect(index, run, node, HasFile.YES, why)
