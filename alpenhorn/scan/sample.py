"""Other copies of a node on which copies were found lost: are these gone as well?"""

from __future__ import annotations

import random
from collections.abc import Collection

from alpenhorn.index.connection import Index
from alpenhorn.model.links import LookTotals
from alpenhorn.scan.manifest import COLUMNS, ManifestRow

# Copies on each side of the lost ones in the order in which they came to the node: these mostly lie beside them.  So
# many that those on one side are a third of all: where a directory is not mounted, the first copies below it that are
# read have the copies of another directory on their other side.
NEAR = 50
PLACES, EACH = 6, 5  # and some at random

WANTED = ("Y", "M")
FROM = f"""
    SELECT {COLUMNS} FROM archivefilecopy c
    LEFT JOIN archivefile f ON f.id = c.file_id LEFT JOIN archiveacq a ON a.id = f.acq_id
    WHERE c.node_id = ? AND c.has_file = 'Y' AND c.wants_file = ?
"""
AFTER = f"{FROM} AND c.id > ? ORDER BY c.id LIMIT ?"
BEFORE = f"{FROM} AND c.id < ? ORDER BY c.id DESC LIMIT ?"
# One by one, as in `alpenhorn.scan.checks`.
FIRST = "SELECT MIN(id) FROM archivefilecopy WHERE node_id = ? AND has_file = 'Y' AND wants_file = ?"
LAST = FIRST.replace("MIN", "MAX")


def sample(index: Index, node_id: int, lost: Collection[int]) -> list[ManifestRow]:
    """At most 230 good copies of a node, of each state that they can be wanted in; none of the copies `lost` (ids, at
    least one)."""
    found: dict[int, ManifestRow] = {}
    for wants in WANTED:
        key = (node_id, wants)
        first, last = index.value(FIRST, key), index.value(LAST, key)
        if first is None or last is None:
            continue
        near: list[ManifestRow] = []
        for one in {min(lost), max(lost)}:  # they may be the first and the last of the node
            near += index.facts(ManifestRow, AFTER, (*key, one, NEAR))
            near += index.facts(ManifestRow, BEFORE, (*key, one, NEAR))
        for _ in range(PLACES):
            start = random.randint(first, last)
            near += index.facts(ManifestRow, AFTER, (*key, start - 1, EACH))
        found.update((row.copy_id, row) for row in near if row.copy_id not in lost)
    return list(found.values())


def sums(index: Index, node_id: int) -> LookTotals:
    """What was looked at on a node since it was last seen whole."""
    return (
        index.fact(LookTotals, "SELECT looked, lost FROM sync_medium WHERE node_id = ?", (node_id,))
        or LookTotals()
    )
