"""Files by the nodes that have their good copies, counted in pages, for the number of files with too few copies.

The database groups the files of a page, so that few rows are read however many files there are.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.index.facts import whole

LAST = "SELECT MAX(id) FROM (SELECT id FROM archivefile WHERE id > ? ORDER BY id LIMIT ?) p"
# A file whose copies were all removed or released has been given up.  Copies are read in the order of the unique index
# of file and node.
FILES = """
    SELECT f.acq_id, {ages} AS age__count, p.nodes, COUNT(*) AS files__count, SUM(f.size_b) AS bytes__sum
    FROM (
        SELECT c.file_id, GROUP_CONCAT(CASE WHEN c.has_file = 'Y' AND c.wants_file <> 'N'
                                             AND c.node_id IN ({keeping}) THEN c.node_id END) AS nodes,
               MAX(CASE WHEN c.wants_file = 'Y' OR (c.wants_file = 'M' AND c.has_file <> 'N') THEN 1 ELSE 0 END) AS kept
        FROM archivefilecopy c WHERE c.file_id > ? AND c.file_id <= ? GROUP BY c.file_id
    ) p JOIN archivefile f ON f.id = p.file_id
    WHERE p.kept = 1 AND (f.registered <= ? OR f.registered > ?) GROUP BY f.acq_id, age__count, p.nodes
"""
TIME = "%Y-%m-%d %H:%M:%S"


class FilesAlike(NamedTuple):
    """Files of an acquisition that have good copies on the same nodes.

    `age`: the number of given ages that they have all reached; `nodes`: ids, without those whose copies do not count.
    """

    acq_id: int | None
    age: int
    nodes: frozenset[int]
    files: int
    bytes: int


class _Row(NamedTuple):
    acq_id: int | None
    age: int
    nodes: str | None
    files: int
    bytes: int


def page_end(index: Index, after: int, length: int) -> int | None:
    """Return the last file of a page of `length` files after a file; None if there are no more."""
    found = index.value(LAST, (after, length))
    return None if found is None else int(found)


def page(
    index: Index, after: int, to: int, keeping: Sequence[int], ages: Sequence[int], now: datetime.datetime
) -> list[FilesAlike]:
    """Return the files after `after` up to `to` that are, or should be, kept.

    `keeping`: ids of the nodes whose copies count.  `ages`: seconds since a file was registered, in ascending order;
    files that have not reached the first are left out.  Those registered in the future, by a wrong clock, have reached
    all.
    """
    dates = [(now - datetime.timedelta(seconds=age)).strftime(TIME) for age in ages]
    future = (now + datetime.timedelta(days=1)).strftime(TIME)
    reached = " ".join(f"WHEN f.registered > ? THEN {number}" for number in range(1, len(dates)))
    by_age = f"CASE WHEN f.registered > ? THEN {len(dates)} {reached} ELSE {len(dates)} END"
    sql = FILES.format(ages=by_age, keeping=", ".join(map(str, keeping)) or "NULL")
    rows = index.facts(_Row, sql, (future, *dates[1:], after, to, dates[0], future), bytes=whole)
    return [
        FilesAlike(
            row.acq_id,
            row.age,
            frozenset(int(id) for id in (row.nodes or "").split(",") if id.isdigit()),
            row.files,
            max(0, row.bytes),
        )
        for row in rows
    ]
