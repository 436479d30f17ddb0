"""The names that nodes had before they were renamed."""

from __future__ import annotations

from collections.abc import Sequence

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index


def former_names(index: Index, node_ids: Sequence[int]) -> set[tuple[int, str]]:
    """(node id, name) of the names that these nodes had and no node has now: storage marked with one is that
    node's."""
    found: set[tuple[int, str]] = set()
    for marks, some in in_chunks(node_ids):
        rows = index.execute(
            f"SELECT f.node_id, f.name FROM sync_former_name f WHERE f.node_id IN ({marks})"
            " AND NOT EXISTS (SELECT 1 FROM storagenode n WHERE n.name = f.name)",
            some,
        )
        found.update((node_id, name) for node_id, name in rows)
    return found
