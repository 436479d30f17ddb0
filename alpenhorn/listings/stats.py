"""Numbers and sizes of files on nodes, by state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.listings.states import word
from alpenhorn.listings.storage import NodeRow
from alpenhorn.model.nodes import GIB
from alpenhorn.scan import tallies


class FileTally(NamedTuple):
    """A number of files.  `bytes`: total length of those whose length is known."""

    files: int = 0
    bytes: int = 0

    def plus(self, other: FileTally) -> FileTally:
        return FileTally(self.files + other.files, self.bytes + other.bytes)


class NodeStats(NamedTuple):
    """`good`: copies with has_file Y; `states`: all copies by state."""

    good: FileTally
    states: dict[str, FileTally]

    def files(self, state: str) -> int:
        return self.states.get(state, FileTally()).files


def of_nodes(index: Index, node_ids: Sequence[int]) -> dict[int, NodeStats]:
    """Return the numbers by node id."""
    good = dict.fromkeys(node_ids, FileTally())
    states: dict[int, dict[str, FileTally]] = {node_id: {} for node_id in node_ids}
    for one in tallies.of_nodes(index, node_ids):
        tally, state, of_node = (
            FileTally(one.files, one.bytes),
            word(one.has_file, one.wants_file),
            states[one.node_id],
        )
        of_node[state] = of_node.get(state, FileTally()).plus(tally)
        if one.has_file == "Y":
            good[one.node_id] = good[one.node_id].plus(tally)
    return {node_id: NodeStats(good[node_id], states[node_id]) for node_id in node_ids}


def fullness(node: NodeRow, good_bytes: int | None) -> float | None:
    """Return the used fraction of a node: of its max_total_gb if set, else of its files plus the free space last seen.

    None if neither is known.
    """
    if good_bytes is None:
        return None
    if node.max_total_gb:
        return good_bytes / (node.max_total_gb * GIB)
    if node.avail_gb is None:
        return None
    total = good_bytes + node.avail_gb * GIB
    return good_bytes / total if total else None
