"""Copies to check, as facts in pages: suspect copies, and good copies that are due for verification.

No query reads all copies of a node, of which there may be 10^7: suspect copies have an index, verified ones have an
index by time, and those never verified, which no index can find, are searched in a window.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any, NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.model.checks import CheckFact
from alpenhorn.reasons import Why
from alpenhorn.scan.attempts import ATTEMPT, attempt_fact

WINDOW = 20_000
WANTED = ("Y", "M")

COLUMNS = f"""
    c.id AS copy_id__id, c.file_id, c.node_id, a.name AS acq__name, f.name, f.size_b, f.md5sum,
    c.has_file, c.wants_file, c.ready, {ATTEMPT}
"""
JOINS = """
    LEFT JOIN archivefile f ON f.id = c.file_id
    LEFT JOIN archiveacq a ON a.id = f.acq_id
    LEFT JOIN sync_attempt t ON t.kind = 'check' AND t.subject_id = c.id
"""
# Not copies that are being deleted: otherwise pages of these would be read again and again during deletions.
SUSPECT = f"""
    SELECT {COLUMNS} FROM archivefilecopy c {JOINS}
    WHERE c.node_id = ? AND c.has_file = 'M' AND c.wants_file = ? AND c.id > ? AND c.ready = COALESCE(?, c.ready)
      AND NOT EXISTS (SELECT 1 FROM sync_claim k
                      WHERE k.kind = 'delete' AND k.file_id = c.file_id AND k.target_id = c.node_id)
    ORDER BY c.id LIMIT ?
"""
# One query for each state: with both states in one query, SQLite would scan all copies in between.
FIRST = "SELECT MIN(id) FROM archivefilecopy WHERE node_id = ? AND has_file = 'Y' AND wants_file = ?"
LAST = FIRST.replace("MIN", "MAX")
STRETCH = """
    SELECT COUNT(*), MAX(id) FROM (
        SELECT id FROM archivefilecopy
        WHERE node_id = ? AND has_file = 'Y' AND wants_file = ? AND id >= ? AND id < ? ORDER BY id LIMIT ?
    ) w
"""
UNVERIFIED = f"""
    SELECT {COLUMNS} FROM archivefilecopy c
    LEFT JOIN sync_verification v ON v.node_id = c.node_id AND v.file_id = c.file_id {JOINS}
    WHERE c.node_id = ? AND c.has_file = 'Y' AND c.wants_file = ? AND c.id >= ? AND c.id <= ?
      AND v.node_id IS NULL ORDER BY c.id LIMIT ?
"""
# Paged by (time, file), since a thousand copies may have the same time.
VERIFIED = f"""
    SELECT v.verified, v.file_id AS verified_file__file_id, {COLUMNS} FROM (
        SELECT node_id, file_id, verified FROM sync_verification
        WHERE node_id = ? AND verified < ? AND verified >= ? AND (verified > ? OR file_id > ?)
        ORDER BY verified, file_id LIMIT ?
    ) v
    LEFT JOIN archivefilecopy c ON c.node_id = v.node_id AND c.file_id = v.file_id
          AND c.has_file = 'Y' AND c.wants_file IN ('Y', 'M') {JOINS}
    ORDER BY v.verified, v.file_id
"""
BEGINNING, END = datetime.datetime(1000, 1, 1), datetime.datetime(9999, 12, 31)  # MariaDB's range


class CheckRow(NamedTuple):
    """A copy.  `verified` and `verified_file`: the row of sync_verification by which it was found, if by one.

    If that has no matching copy, all other fields are None.
    """

    copy_id: int
    file_id: int
    node_id: int
    acq: str | None
    name: str | None
    size_b: int | None
    md5sum: str | None
    has_file: str
    wants_file: str
    ready: bool
    tries: int | None
    last: Any
    next: Any
    blame: str | None
    error: str | None
    verified: Any = None
    verified_file: int = 0
    fault: Why = ""


class Verified(NamedTuple):
    """A page of copies, those verified longest ago first.

    `stale`: files that need no verification on the node, since their copies are removed, not good, or released.
    """

    facts: list[CheckFact]
    stale: list[int]


def pages(
    index: Index, node_id: int, limit: int, first: int | None = None, ready: bool | None = None
) -> Iterator[list[CheckFact]]:
    """Yield pages of the suspect copies on a node, released ones last; each page is read on demand.

    `first`: length of the first page, if different; each one is at most twice as long as the one before it.
    `ready`: only copies that are ready, or are not; None: all.
    """
    most = limit if first is None else first
    for wants in (*WANTED, "N"):
        after = 0
        while rows := index.facts(CheckRow, SUSPECT, (node_id, wants, after, ready, most)):
            yield [check_fact(row) for row in rows]
            after = rows[-1].copy_id
            most = min(2 * most, limit)


def unverified(
    index: Index, node_id: int, place: float, limit: int, window: int = WINDOW
) -> Iterator[list[CheckFact]]:
    """Yield good copies that were never verified, in pages of at most `limit`.

    No index finds them, since they have no row in sync_verification.  The search is limited to `window` copies.  It
    starts at a fraction (0 ≤ `place` < 1) of the node's copy ids, which should be random, and continues with the first
    copy after the last.  So a run searches small nodes completely, and large nodes take many runs.
    """
    for wants in WANTED:
        for first, last in _window(index, node_id, wants, place, window):
            start = first
            while rows := index.facts(CheckRow, UNVERIFIED, (node_id, wants, start, last, limit)):
                yield [check_fact(row) for row in rows]
                start = rows[-1].copy_id + 1


def _window(index: Index, node_id: int, wants: str, place: float, most: int) -> Iterator[tuple[int, int]]:
    """Yield the first and last id of the one or two ranges of good copies in the window."""
    first, last = index.value(FIRST, (node_id, wants)), index.value(LAST, (node_id, wants))
    if first is None or last is None:
        return
    start = first + int(place * (last - first + 1))
    copies, end = index.execute(STRETCH, (node_id, wants, start, last + 1, most)).fetchone()
    if copies:
        yield start, end
    if copies < most:
        copies, end = index.execute(STRETCH, (node_id, wants, first, start, most - copies)).fetchone()
        if copies:
            yield first, end


def longest_ago(
    index: Index, node_id: int, before: datetime.datetime, limit: int, since: datetime.datetime = BEGINNING
) -> Iterator[Verified]:
    """Yield good copies that were verified between `since` and `before` (naive UTC), in pages of `limit` rows."""
    at: Any = since
    file_id = 0
    while rows := index.facts(CheckRow, VERIFIED, (node_id, before, at, at, file_id, limit)):
        yield Verified(
            [check_fact(row) for row in rows if row.copy_id is not None],
            [row.verified_file for row in rows if row.copy_id is None],
        )
        at, file_id = rows[-1].verified, rows[-1].verified_file


def check_fact(row: CheckRow) -> CheckFact:
    return CheckFact(
        row.copy_id,
        row.file_id,
        row.node_id,
        row.acq,
        row.name,
        row.size_b,
        row.md5sum,
        attempt_fact(row),
        row.has_file,
        row.wants_file,
        bool(row.ready),
        row.fault,
    )
