"""How far the retirements of nodes are."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.listings.stats import FileTally
from alpenhorn.listings.storage import NodeRow
from alpenhorn.scan import retirements as scan

LEFT = """
    SELECT c.node_id, COUNT(*), SUM(f.size_b) FROM archivefilecopy c LEFT JOIN archivefile f ON f.id = c.file_id
    WHERE c.node_id IN ({marks}) AND c.has_file IN ('Y', 'M', 'X') GROUP BY c.node_id
"""
MISSING = """
    SELECT node_id, COUNT(*) FROM archivefilecopy
    WHERE node_id IN ({marks}) AND has_file = 'N' AND wants_file = 'Y' GROUP BY node_id
"""


class RetirementStatus(NamedTuple):
    """The retirement of a node.

    `left`: copies that are, or may be, on it; `missing`: those that are not there, and are wanted.  `waiting`: files
    requested from it.  `stuck`: files that could not be requested elsewhere when the copies were last compared, at
    `compared_at`; `nowhere`: of these, the files without a good copy on any node.
    """

    node: NodeRow
    began: datetime | None
    releases: bool
    declared_lost: bool
    left: FileTally
    missing: int
    waiting: int
    stuck: int
    nowhere: int
    compared_at: datetime | None

    @property
    def served(self) -> bool:
        """Whether a run works on it."""
        return self.declared_lost or (self.node.active and self.node.host is not None)

    @property
    def done(self) -> bool:
        return not (self.left.files or self.missing)


def load(index: Index, nodes: list[NodeRow], outgoing: dict[str, tuple[int, int]]) -> list[RetirementStatus]:
    """Return the retirements.  `outgoing`: files and bytes requested from each node, by its name."""
    retired = {node.id: node for node in nodes if node.retired}
    if not retired:
        return []
    left, missing = {}, {}
    for marks, some in in_chunks(list(retired)):
        for node_id, copies, bytes_ in index.execute(LEFT.format(marks=marks), some):
            left[node_id] = FileTally(copies, int(bytes_ or 0))
        missing.update(index.execute(MISSING.format(marks=marks), some).fetchall())
    return [
        RetirementStatus(
            retired[node_id],
            one.began,
            one.releases,
            one.declared_lost,
            left.get(node_id, FileTally()),
            missing.get(node_id, 0),
            outgoing.get(retired[node_id].name, (0, 0))[0],
            one.stuck,
            one.nowhere,
            one.compared_at,
        )
        for node_id, one in scan.all_retirements(index).items()
        if node_id in retired
    ]
