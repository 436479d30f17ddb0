"""Retired nodes, and the copies on them, in pages, with the number of good copies elsewhere."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.index.times import moment
from alpenhorn.model.retirement import CopyElsewhere, PendingRequest, Retirement, RetiringCopy, RetiringFile

RETIREMENTS = """
    SELECT node_id, began, releases, declared_lost, compared_at, event_id, stuck, nowhere, cancelled
    FROM sync_retirement
"""
# Released copies first: a copy that is released while the others are read would be read twice.
STATES = (
    *(("Y", "N"), ("M", "N"), ("X", "N")),
    *(("Y", "Y"), ("Y", "M"), ("M", "Y"), ("M", "M"), ("X", "Y"), ("X", "M")),
    ("N", "Y"),
)
# The + prevents SQLite from using the index on the states of a node, which would scan all copies on it for each file.
COPY = """
    SELECT c.id AS copy_id__id, c.file_id, c.has_file, c.wants_file, f.size_b,
           (SELECT COUNT(*) FROM archivefilecopy d WHERE d.file_id = c.file_id AND +d.node_id IN ({counting})
            AND +d.has_file = 'Y' AND d.wants_file <> 'N') AS good
    FROM archivefilecopy c LEFT JOIN archivefile f ON f.id = c.file_id
"""
COPIES = (
    f"{COPY} WHERE c.node_id = ? AND c.has_file = ? AND c.wants_file = ? AND c.id > ? ORDER BY c.id LIMIT ?"
)
COPIES_OF = f"{COPY} WHERE c.file_id IN ({{marks}}) AND +c.node_id = ? ORDER BY c.id"
ELSEWHERE = """
    SELECT file_id, node_id, has_file, wants_file FROM archivefilecopy
    WHERE file_id IN ({marks}) AND node_id <> ? AND has_file <> 'N' ORDER BY file_id, node_id
"""
REQUESTS = """
    SELECT file_id, group_to_id, node_from_id FROM archivefilecopyrequest
    WHERE file_id IN ({marks}) AND +completed = 0 AND +cancelled = 0 ORDER BY id
"""
TO = "SELECT group_id FROM sync_retirement_group WHERE node_id = ? ORDER BY id"


class ComparedRetirement(NamedTuple):
    """What is remembered of the last comparison of all copies on a retired node.

    `made_from`: a digest of all that it depended on beside the copies; `seconds`: how long it took.  `stuck`: the files
    that were not copied elsewhere, and whether they have no good copy anywhere; None: there were too many.
    """

    made_from: int
    seconds: float
    stuck: Mapping[int, bool] | None


def row_name(node_id: int) -> str:
    """Return the name of the row of sync_index with the ComparedRetirement of a node."""
    return f"retirement {node_id}"


def compared(index: Index, node_id: int) -> ComparedRetirement | None:
    """Return what is remembered of a comparison; None if it is nothing, or if the row is invalid."""
    value = index.value("SELECT value FROM sync_index WHERE name = ?", (row_name(node_id),))
    try:
        found: Any = json.loads(value or "{}")
        stuck = found["stuck"]
        return ComparedRetirement(
            int(found["made_from"]),
            float(found["seconds"]),
            None if stuck is None else {int(id): bool(nowhere) for id, nowhere in stuck.items()},
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def all_retirements(index: Index) -> dict[int, Retirement]:
    """Return the retirements by node id, without cancelled ones."""
    return {row.node_id: row for row in _rows(index, "WHERE cancelled <> 1", ())}


def of_node(index: Index, node_id: int) -> Retirement | None:
    """Return the retirement of a node, also a cancelled one; None if it is not retired."""
    return next(iter(_rows(index, "WHERE node_id = ?", (node_id,))), None)


def _rows(index: Index, where: str, values: tuple[int, ...]) -> list[Retirement]:
    return index.facts(
        Retirement,
        f"{RETIREMENTS} {where}",
        values,
        began=moment,
        compared_at=moment,
        releases=bool,
        declared_lost=bool,
        cancelled=bool,
    )


def groups(index: Index, node_id: int) -> tuple[int, ...]:
    """Return the ids of the groups into which the files of a retired node are copied, in the order of their use."""
    return tuple(index.values(TO, (node_id,)))


def count(index: Index, node_id: int) -> int:
    """Return the number of copies that `pages` yields."""
    sql = "SELECT has_file, wants_file, COUNT(*) FROM archivefilecopy WHERE node_id = ? GROUP BY has_file, wants_file"
    return sum(copies for has, wants, copies in index.execute(sql, (node_id,)) if (has, wants) in STATES)


def pages(index: Index, node_id: int, counting: Collection[int], limit: int) -> Iterator[list[RetiringCopy]]:
    """Yield pages of the copies on a node, and of those that are missing there; each page is read on demand.

    `counting`: ids of the nodes whose good copies are counted.  All copies of a page have the same state.
    """
    sql = COPIES.format(counting=", ".join(map(str, sorted(counting))) or "NULL")
    for has, wants in STATES:
        after = 0
        while page := index.facts(RetiringCopy, sql, (node_id, has, wants, after, limit)):
            after = page[-1].copy_id
            yield page


def pages_of(
    index: Index, node_id: int, counting: Collection[int], file_ids: Sequence[int]
) -> Iterator[list[RetiringCopy]]:
    """Yield the copies of files, as `pages` does."""
    for marks, some in in_chunks(file_ids):
        sql = COPIES_OF.format(counting=", ".join(map(str, sorted(counting))) or "NULL", marks=marks)
        rows = index.facts(RetiringCopy, sql, (*some, node_id))
        for state in STATES:
            if page := [row for row in rows if (row.has_file, row.wants_file) == state]:
                yield page


def files(index: Index, node_id: int, copies: Sequence[RetiringCopy]) -> list[RetiringFile]:
    """Return what the index has elsewhere of the files of copies on a node."""
    elsewhere: defaultdict[int, list[CopyElsewhere]] = defaultdict(list)
    requests: defaultdict[int, list[PendingRequest]] = defaultdict(list)
    for marks, some in in_chunks([copy.file_id for copy in copies]):
        for file_id, *copy in index.execute(ELSEWHERE.format(marks=marks), (*some, node_id)):
            elsewhere[file_id].append(CopyElsewhere(*copy))
        for file_id, *request in index.execute(REQUESTS.format(marks=marks), some):
            requests[file_id].append(PendingRequest(*request))
    return [
        RetiringFile(copy, tuple(elsewhere[copy.file_id]), tuple(requests[copy.file_id])) for copy in copies
    ]
