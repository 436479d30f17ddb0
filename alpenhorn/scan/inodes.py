"""The free inodes of nodes that have few, as runs have noted them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from alpenhorn.index.connection import Index
from alpenhorn.index.times import moment

if TYPE_CHECKING:
    from alpenhorn.scan.listing_storage import NodeRow  # of commands; runs do without

FEW = 100_000  # more are never noted
_NAME = "inodes "
_SAME_RUN = timedelta(minutes=10)


def row_name(node_id: int) -> str:
    return f"{_NAME}{node_id}"


def load(index: Index, nodes: list[NodeRow]) -> dict[int, int]:
    """By node id; those that the last run to look at a node did not find few any more are left out."""
    noted = {
        name: (value, moment(at))
        for name, value, at in index.execute(
            "SELECT name, value, at FROM sync_index WHERE name LIKE 'inodes %'"
        )
    }
    found = {}
    for node in nodes:
        value, at = noted.get(row_name(node.id), ("", None))
        checked = node.avail_gb_last_checked
        if at is not None and checked is not None and value.isdigit() and at >= checked - _SAME_RUN:
            found[node.id] = int(value)
    return found
