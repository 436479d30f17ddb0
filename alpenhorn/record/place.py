"""Whether a node is still where the work was done whose outcome is to be recorded."""

from __future__ import annotations

from typing import NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.model.nodes import NodeFact

PLACE = """
    SELECT h.name AS host__name, n.root, m.medium, n.active
    FROM storagenode n LEFT JOIN storagehost h ON h.id = n.host_id LEFT JOIN sync_medium m ON m.node_id = n.id
    WHERE n.id = ?
"""


class _Place(NamedTuple):
    host: str | None
    root: str | None
    medium: str | None
    active: bool


def still(index: Index, node: NodeFact, active: bool = False) -> bool:
    """Whether the node's row has the host, the root and the medium that it had when the job was made.

    To be called first in the transaction that records what came of the job: the rows that were read stay as they are
    until it ends.  A medium that was not known then is not compared, since the run itself makes it known.  The name
    is not compared: a node that is renamed stays where it is.  `active`: it must be active as well, for what is
    to hold longer than a moment.
    """
    lock = index.dialect.in_share_mode
    place = index.fact(_Place, PLACE + lock, (node.id,))
    if place is None or (place.host, place.root) != (node.host, node.root):
        return False
    return (node.medium is None or place.medium == node.medium) and (bool(place.active) or not active)
