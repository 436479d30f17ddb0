"""The names that nodes had before they were renamed."""

from __future__ import annotations

from alpenhorn.index.connection import Index


def had(index: Index, node_id: int, name: str) -> bool:
    """Whether the node had that name, and no node has it now: storage marked with it is then this node's."""
    row = index.execute(
        "SELECT 1 FROM sync_former_name f WHERE f.node_id = ? AND f.name = ?"
        " AND NOT EXISTS (SELECT 1 FROM storagenode n WHERE n.name = f.name)",
        (node_id, name),
    ).fetchone()
    return row is not None
