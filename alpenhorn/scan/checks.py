"""Copies to be read as facts, a page at a time: suspect ones, and good ones whose turn has come.

Nothing here looks at all copies of a node, of which there may be 10^7: suspect ones have an index, those that
were verified have one by time, and those that never were, which no index can hold, are looked for in a window.
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
# Not those that are just being deleted: a page of nothing else would be read for each page that is deleted.
SUSPECT = f"""
    SELECT {COLUMNS} FROM archivefilecopy c {JOINS}
    WHERE c.node_id = ? AND c.has_file = 'M' AND c.wants_file = ? AND c.id > ? AND c.ready = COALESCE(?, c.ready)
      AND NOT EXISTS (SELECT 1 FROM sync_claim k
                      WHERE k.kind = 'delete' AND k.file_id = c.file_id AND k.target_id = c.node_id)
    ORDER BY c.id LIMIT ?
"""
# One by one: asked for both, SQLite would go through all the copies between.
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
# In steps of equal times, since the index is by time and each time may have a thousand copies.
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
BEGINNING, END = datetime.datetime(1000, 1, 1), datetime.datetime(9999, 12, 31)  # what MariaDB knows


class CheckRow(NamedTuple):
    """COLUMNS.  `verified` and `verified_file`: the row of sync_verification by which it was found, if by one; then the
    rest is None when there is no such copy."""

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
    """A page of copies, those verified longest ago first; `stale` are the files of the node that are to be
    verified no more, because their copies are gone, not good, or released."""

    facts: list[CheckFact]
    stale: list[int]


def pages(
    index: Index, node_id: int, limit: int, first: int | None = None, ready: bool | None = None
) -> Iterator[list[CheckFact]]:
    """The suspect copies on a node, released ones last; each page is read when it is asked for.

    `first`: the length of the first page, where that is to be another one.  `ready`: only those that are, or are not.
    """
    most = limit if first is None else first
    for wants in (*WANTED, "N"):
        after = 0
        while rows := index.facts(CheckRow, SUSPECT, (node_id, wants, after, ready, most)):
            yield [check_fact(row) for row in rows]
            after = rows[-1].copy_id
            most = limit


def unverified(
    index: Index, node_id: int, place: float, limit: int, window: int = WINDOW
) -> Iterator[list[CheckFact]]:
    """Good copies of which no verification is known, in pages of at most `limit`.

    Their absence from a table is what tells them, so that only going through the copies finds them.  They are
    looked for among the `window` copies that follow a place, which is given as a fraction (0 ≤ `place` < 1) of
    the node's copy ids and should be a random one, and on from the first copy when the end is reached: a small
    node is seen whole in every run, a large one in the course of many, and a run never pays for more.
    """
    for wants in WANTED:
        for first, last in _window(index, node_id, wants, place, window):
            start = first
            while rows := index.facts(CheckRow, UNVERIFIED, (node_id, wants, start, last, limit)):
                yield [check_fact(row) for row in rows]
                start = rows[-1].copy_id + 1


def _window(index: Index, node_id: int, wants: str, place: float, most: int) -> Iterator[tuple[int, int]]:
    """The first and last id of the one or two stretches of good copies that make up the window."""
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
    """Good copies that were verified before `before`, and not before `since` (naive UTC), in pages made of `limit`
    rows."""
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
