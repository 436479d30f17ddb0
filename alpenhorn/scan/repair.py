"""Corrupt and missing copies, in pages, with the facts that decide whether they can be repaired."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from alpenhorn.index.connection import Index
from alpenhorn.model.repair import BadCopy, GoodCopy
from alpenhorn.scan.pulls import why_corrupt

# has_file and wants_file: corrupt and not released, or missing.
BAD = (("X", "Y"), ("X", "M"), ("N", "Y"))

STATE = "c.node_id = ? AND c.has_file = ? AND c.wants_file = ?"
RANGE = f"{STATE} AND c.id > ? AND c.id <= ?"
COPIES = f"""
    SELECT c.id AS copy_id__id, c.file_id, c.node_id, c.has_file, a.name AS acq__name, f.name, f.size_b, f.md5sum,
           v.file_id IS NOT NULL AS once_good
    FROM archivefilecopy c
    LEFT JOIN sync_verification v ON v.node_id = c.node_id AND v.file_id = c.file_id
    LEFT JOIN archivefile f ON f.id = c.file_id
    LEFT JOIN archiveacq a ON a.id = f.acq_id
    WHERE {STATE} AND c.id > ? ORDER BY c.id LIMIT ?
"""
GOOD = f"""
    SELECT c.id, d.node_id, d.wants_file, d.ready
    FROM archivefilecopy c JOIN archivefilecopy d ON d.file_id = c.file_id AND d.node_id <> c.node_id
    WHERE d.has_file = 'Y' AND {RANGE}
"""
# The + prevents SQLite from scanning all pending requests of the group for each file.
REQUESTED = f"""
    SELECT c.id, MIN(r.id)
    FROM archivefilecopy c JOIN storagenode n ON n.id = c.node_id
    JOIN archivefilecopyrequest r ON r.file_id = c.file_id AND r.group_to_id = n.group_id
    WHERE +r.completed = 0 AND +r.cancelled = 0 AND {RANGE} GROUP BY c.id
"""


def count(index: Index, node_id: int) -> int:
    """Return the number of copies that `pages` yields."""
    sql = "SELECT has_file, wants_file, COUNT(*) FROM archivefilecopy WHERE node_id = ? GROUP BY has_file, wants_file"
    return sum(copies for has, wants, copies in index.execute(sql, (node_id,)) if (has, wants) in BAD)


def pages(index: Index, node_id: int, limit: int) -> Iterator[list[BadCopy]]:
    """Yield pages of the wanted corrupt and missing copies on a node; each page is read on demand."""
    for has, wants in BAD:
        state = (node_id, has, wants)
        after = 0
        while rows := index.facts(BadCopy, COPIES, (*state, after, limit), once_good=bool):
            bounds = (*state, after, rows[-1].copy_id)
            good: defaultdict[int, list[GoodCopy]] = defaultdict(list)
            for copy_id, other_id, other_wants, ready in index.execute(GOOD, bounds):
                good[copy_id].append(GoodCopy(other_id, other_wants, bool(ready)))
            requested: dict[int, int] = dict(index.execute(REQUESTED, bounds).fetchall())
            never_good = [(row.file_id, node_id) for row in rows if has == "X" and not row.once_good]
            why = why_corrupt(index, never_good)
            yield [
                row._replace(
                    good=tuple(good.get(row.copy_id, ())),
                    requested=requested.get(row.copy_id, 0),
                    found=why.get((row.file_id, node_id), ""),
                )
                for row in rows
            ]
            after = rows[-1].copy_id
