"""Records the state of nodes' manifests, and copies that have changed.

A run that has compared a node with its manifest, or has had the node to itself since, records the manifest's token.
The token is deleted when the node goes out of sight, so that a later run compares the node again.
"""

from __future__ import annotations

from collections.abc import Sequence

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.model.copies import HasFile
from alpenhorn.model.manifests import ChangedFile
from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import headed
from alpenhorn.record.place import node_unmoved
from alpenhorn.record.run import Run
from alpenhorn.record.suspect import suspect as turn_suspect

COLUMNS = ("node_id", "compared", "manifest", "host", "root", "event_id", "files")


def distrust(index: Index, node_ids: Sequence[int]) -> None:
    """Delete the tokens of nodes' manifests, so that the nodes are compared again."""

    def work() -> None:
        for marks, some in in_chunks(node_ids):
            index.execute(
                f"UPDATE sync_node SET manifest = NULL WHERE manifest IS NOT NULL AND node_id IN ({marks})",
                some,
            )

    index.retry(work)


def record_token(index: Index, node: NodeFact, token: str, event_id: int, files: int) -> bool:
    """Record the token ("": none) of a node's manifest, its last event (-1: to be rewritten), and its number of files.

    Record nothing and return False if the node was moved or deactivated in the meantime: it was out of sight then.
    """

    def work() -> bool:
        if not node_unmoved(index, node, active=True):
            return False
        index.execute(
            index.upsert("sync_node", COLUMNS, COLUMNS[:1], COLUMNS[2:]),
            (node.id, 0, token, node.host, node.recorded_place, event_id, files),
        )
        return True

    return index.retry(work)


def seen(index: Index, node_id: int, event_id: int) -> None:
    """Record that no event up to this one is about the node, so that the events are not searched again."""
    index.retry(
        lambda: index.execute("UPDATE sync_node SET event_id = ? WHERE node_id = ?", (event_id, node_id))
    )


def suspect(index: Index, run: Run, node: NodeFact, changed: Sequence[ChangedFile]) -> None:
    """Make good copies suspect that differ from the manifest, until a check has read them."""
    why = {one.file.copy_id: headed(f"node {node.name} came back changed", one.why) for one in changed}
    turn_suspect(index, run, node, HasFile.YES, why)
