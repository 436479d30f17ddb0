"""How many files, of how many bytes, are on a node and in which state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from alpenhorn.index.bulk import chunks, marks
from alpenhorn.index.connection import Index
from alpenhorn.listings.states import word
from alpenhorn.listings.storage import NodeRow
from alpenhorn.model.nodes import GIB


class FileTally(NamedTuple):
    """`bytes` counts the files whose length is known."""

    files: int = 0
    bytes: int = 0

    def plus(self, other: FileTally) -> FileTally:
        return FileTally(self.files + other.files, self.bytes + other.bytes)


class NodeStats(NamedTuple):
    """`good`: the copies with has_file Y; `states`: all copies by the word for their state."""

    good: FileTally
    states: dict[str, FileTally]

    def files(self, state: str) -> int:
        return self.states.get(state, FileTally()).files


COPIES = """
    SELECT c.node_id, c.has_file, c.wants_file, COUNT(*), SUM(f.size_b)
    FROM archivefilecopy c JOIN archivefile f ON f.id = c.file_id
    WHERE c.node_id IN ({marks}) GROUP BY c.node_id, c.has_file, c.wants_file
"""


def of_nodes(index: Index, node_ids: Sequence[int]) -> dict[int, NodeStats]:
    """By node id; one pass over the copies of all nodes, whose cost is that of counting them."""
    found = {node_id: NodeStats(FileTally(), {}) for node_id in node_ids}
    for some in chunks(node_ids):
        for node_id, has, wants, files, bytes_ in index.execute(
            COPIES.format(marks=marks(some)), tuple(some)
        ):
            tally = FileTally(files, int(bytes_ or 0))
            before = found[node_id]
            state = word(has, wants)
            states = {**before.states, state: before.states.get(state, FileTally()).plus(tally)}
            found[node_id] = NodeStats(before.good.plus(tally) if has == "Y" else before.good, states)
    return found


def fullness(node: NodeRow, good_bytes: int | None) -> float | None:
    """The fraction of a node that is used: of its max_total_gb where it has one, else of the space that its
    files and what was last seen free make up together; None when neither is known."""
    if good_bytes is None:
        return None
    if node.max_total_gb:
        return good_bytes / (node.max_total_gb * GIB)
    if node.avail_gb is None:
        return None
    total = good_bytes + node.avail_gb * GIB
    return good_bytes / total if total else None
