"""A sample of the copies on a node with lost copies, to find out whether others are lost, too."""

from __future__ import annotations

import random
from collections.abc import Collection

from alpenhorn.index.connection import Index
from alpenhorn.model.links import LookTotals
from alpenhorn.scan.manifest import COLUMNS, ManifestRow

# Number of copies before and after the lost ones, in the order of their ids: these are mostly in the same directory.
# Each side is a third of the sample, since the neighbours on one side may be in another directory, which is mounted.
NEAR = 50
PLACES, EACH = 6, 5  # random places, and copies at each

WANTED = ("Y", "M")
FROM = f"""
    SELECT {COLUMNS} FROM archivefilecopy c
    LEFT JOIN archivefile f ON f.id = c.file_id LEFT JOIN archiveacq a ON a.id = f.acq_id
    WHERE c.node_id = ? AND c.has_file = 'Y' AND c.wants_file = ?
"""
AFTER = f"{FROM} AND c.id > ? ORDER BY c.id LIMIT ?"
BEFORE = f"{FROM} AND c.id < ? ORDER BY c.id DESC LIMIT ?"
# One query for each state, as in `alpenhorn.scan.checks`.
FIRST = "SELECT MIN(id) FROM archivefilecopy WHERE node_id = ? AND has_file = 'Y' AND wants_file = ?"
LAST = FIRST.replace("MIN", "MAX")


def sample(index: Index, node_id: int, lost: Collection[int]) -> list[ManifestRow]:
    """Return at most 230 good copies of a node, for each value of wants_file; without the copies `lost` (ids, at least
    one)."""
    found: dict[int, ManifestRow] = {}
    for wants in WANTED:
        key = (node_id, wants)
        first, last = index.value(FIRST, key), index.value(LAST, key)
        if first is None or last is None:
            continue
        near: list[ManifestRow] = []
        for one in {min(lost), max(lost)}:  # may be the first and the last copy of the node
            near += index.facts(ManifestRow, AFTER, (*key, one, NEAR))
            near += index.facts(ManifestRow, BEFORE, (*key, one, NEAR))
        for _ in range(PLACES):
            start = random.randint(first, last)
            near += index.facts(ManifestRow, AFTER, (*key, start - 1, EACH))
        found.update((row.copy_id, row) for row in near if row.copy_id not in lost)
    return list(found.values())


def sums(index: Index, node_id: int) -> LookTotals:
    """Return the numbers of copies looked at, and lost, on a node since it was last found complete."""
    return (
        index.fact(LookTotals, "SELECT looked, lost FROM sync_medium WHERE node_id = ?", (node_id,))
        or LookTotals()
    )
