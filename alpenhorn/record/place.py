"""Whether a node is still where the work was done whose outcome is to be recorded."""

from __future__ import annotations

from alpenhorn.index.connection import Index
from alpenhorn.model.nodes import NodeFact

PLACE = """
    SELECT h.name, n.root, m.medium, n.active
    FROM storagenode n LEFT JOIN storagehost h ON h.id = n.host_id LEFT JOIN sync_medium m ON m.node_id = n.id
    WHERE n.id = ?
"""


def still(index: Index, node: NodeFact, active: bool = False) -> bool:
    """Whether the node's row has the host, the root and the medium that it had when the job was made.

    To be called first in the transaction that records what came of the job: the rows that were read stay as they are
    until it ends.  A medium that was not known then is not compared, since the run itself makes it known.  The name
    is not compared: a node that is renamed stays where it is.  `active`: it must be active as well, for what is
    to hold longer than a moment.
    """
    lock = index.dialect.in_share_mode
    row = index.execute(PLACE + lock, (node.id,)).fetchone()
    if row is None or tuple(row[:2]) != (node.host, node.root):
        return False
    return (node.medium is None or row[2] == node.medium) and (bool(row[3]) or not active)
