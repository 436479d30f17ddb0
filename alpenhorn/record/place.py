"""Check that a node was not moved between a job and the recording of its results."""

from __future__ import annotations

from typing import NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.model.nodes import NodeFact, remote_in

PLACE = """
    SELECT h.name AS host__name, n.root, n.io_config, m.medium, n.active
    FROM storagenode n LEFT JOIN storagehost h ON h.id = n.host_id LEFT JOIN sync_medium m ON m.node_id = n.id
    WHERE n.id = ?
"""


class _Place(NamedTuple):
    host: str | None
    root: str | None
    io_config: str | None
    medium: str | None
    active: bool


def node_unmoved(index: Index, node: NodeFact, active: bool = False) -> bool:
    """Return whether the node's row has the same host, root, remote and medium as when the job was made.

    Call it first in the transaction that records the results: the rows are locked until that ends.  A medium that was
    unknown then is not compared, since the run itself records it.  The name is not compared: renaming does not move a
    node.  `active`: the node must also be active, for records that later runs rely on.
    """
    lock = index.dialect.in_share_mode
    place = index.fact(_Place, PLACE + lock, (node.id,))
    if place is None or (place.host, place.root, remote_in(place.io_config)) != node.place:
        return False
    return (node.medium is None or place.medium == node.medium) and (bool(place.active) or not active)
