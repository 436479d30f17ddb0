"""Copies that may be on tape only, as facts: restores, copies to restore, copies that may leave the disk, and copies to
compare with the tape."""

from __future__ import annotations

import datetime
import heapq
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.index.times import moment, posix
from alpenhorn.model.checks import CheckFact
from alpenhorn.model.tape import Purpose, RestoreCandidate, RestoreFact, RestoreState, TapeFile
from alpenhorn.scan.checks import COLUMNS, JOINS, CheckRow, check_fact

PAGE = 500

FILE = "c.id AS copy_id__id, c.file_id, a.name AS acq__name, f.name, f.size_b, c.ready"
# Otherwise MariaDB begins with the acquisitions, reads all copies for each page, and sorts them.
NAMES = "{lookup_join} archivefile f ON f.id = c.file_id {lookup_join} archiveacq a ON a.id = f.acq_id"
# The + prevents SQLite from scanning all pending requests from the node for each file.
REQUESTED = """
    EXISTS (SELECT 1 FROM archivefilecopyrequest r WHERE r.file_id = {file_id} AND +r.node_from_id = {node_id}
            AND +r.completed = 0 AND +r.cancelled = 0)
"""
ROWS = f"""
    SELECT {FILE}, s.file_id AS asked_file__file_id, s.purpose, s.state, s.tries, s.next, c.has_file,
           {REQUESTED.format(file_id="s.file_id", node_id="s.node_id")} AS requested
    FROM sync_restore s
    LEFT JOIN archivefilecopy c ON c.file_id = s.file_id AND c.node_id = s.node_id
    LEFT JOIN archivefile f ON f.id = c.file_id LEFT JOIN archiveacq a ON a.id = f.acq_id
    WHERE s.node_id = ?
"""
# Without requests whose group has the file already; these will be cancelled.
SOURCES = f"""
    SELECT r.id AS place__id, COALESCE(s.tries, 0) AS tries, {FILE}
    FROM archivefilecopyrequest r
    JOIN archivefilecopy c ON c.file_id = r.file_id AND c.node_id = r.node_from_id {NAMES}
    LEFT JOIN sync_restore s ON s.node_id = r.node_from_id AND s.file_id = r.file_id
    WHERE r.node_from_id = ? AND r.completed = 0 AND r.cancelled = 0 AND r.id > ?
      AND c.has_file = 'Y' AND c.ready = 0
      AND (s.file_id IS NULL OR (s.state = 'failed' AND (s.next <= ? OR s.next > ?)))
      AND NOT EXISTS (SELECT 1 FROM archivefilecopy d JOIN storagenode n ON n.id = d.node_id
                      WHERE d.file_id = r.file_id AND n.group_id = r.group_to_id AND d.has_file = 'Y')
    ORDER BY r.id LIMIT ?
"""
SUSPECT = f"""
    SELECT c.id AS place__id, COALESCE(s.tries, 0) AS tries, {FILE}
    FROM archivefilecopy c {NAMES}
    LEFT JOIN sync_restore s ON s.node_id = c.node_id AND s.file_id = c.file_id
    WHERE c.node_id = ? AND c.has_file = 'M' AND c.wants_file = ? AND c.ready = 0 AND c.id > ?
      AND (s.file_id IS NULL OR (s.state = 'failed' AND (s.next <= ? OR s.next > ?)))
    ORDER BY c.id LIMIT ?
"""
# A completed pull is a use of its source, which the copy's own row does not record.
DISPENSABLE = f"""
    SELECT copy_id__id, file_id, acq__name, name, size_b, ready FROM (
        SELECT {FILE}, c.last_update,
            (SELECT MAX(r.transfer_completed) FROM archivefilecopyrequest r
             WHERE r.file_id = c.file_id AND +r.node_from_id = c.node_id AND +r.completed = 1) AS pulled
        FROM archivefilecopy c {NAMES}
        WHERE c.node_id = ? AND c.has_file = 'Y' AND c.ready = 1
          AND NOT {REQUESTED.format(file_id="c.file_id", node_id="c.node_id")}
    ) d ORDER BY CASE WHEN pulled > last_update THEN pulled ELSE last_update END, copy_id__id LIMIT ?
"""
# The longest wait after a failure; a later time was set by a wrong clock.
NO_WAIT = datetime.timedelta(days=2)
MOST = 50_000  # maximum number of copies that may leave the disk in one run
# One query for each wants_file, to use the index on both states.
FROM_ID = f"""
    SELECT {FILE} FROM archivefilecopy c {NAMES}
    WHERE c.node_id = ? AND c.has_file = 'Y' AND c.wants_file = ? AND c.id > ? ORDER BY c.id LIMIT ?
"""
BACK = f"""
    SELECT {COLUMNS} FROM sync_restore s
    JOIN archivefilecopy c ON c.file_id = s.file_id AND c.node_id = s.node_id {JOINS}
    WHERE s.node_id = ? AND s.state = 'back' ORDER BY c.id
"""
PROGRESS = "SELECT state, tries, asked, next, error FROM sync_restore WHERE node_id = ? AND file_id = ?"


class _RestoreRow(NamedTuple):
    """A restore.  The fields about the copy and its file are None if there is no copy."""

    copy_id: int | None
    file_id: int | None
    acq: str | None
    name: str | None
    size_b: int | None
    ready: bool
    asked_file: int
    purpose: str
    state: str
    tries: int
    next: float
    has_file: str | None
    requested: bool

    @property
    def fact(self) -> RestoreFact:
        return RestoreFact(
            TapeFile(
                self.copy_id or 0, self.asked_file, f"{self.acq}/{self.name}", self.size_b or 0, self.ready
            ),
            Purpose(self.purpose),
            RestoreState(self.state),
            self.tries,
            self.next,
            self.requested,
            self.acq is not None and self.has_file in ("Y", "M", "X"),
        )


class _TapeRow(NamedTuple):
    """A copy.  `place`: where the next page starts; `tries`: number of restore requests."""

    copy_id: int
    file_id: int
    acq: str
    name: str
    size_b: int | None
    ready: bool
    place: int = 0
    tries: int = 0

    @property
    def file(self) -> TapeFile:
        return TapeFile(
            self.copy_id, self.file_id, f"{self.acq}/{self.name}", self.size_b or 0, bool(self.ready)
        )


def asked_back(index: Index, node_id: int) -> list[RestoreFact]:
    """Return all restores of a node."""
    rows = index.facts(_RestoreRow, ROWS, (node_id,), ready=bool, next=posix, requested=bool)
    return [row.fact for row in rows]


def wanted(index: Index, node_id: int, now: datetime.datetime) -> Iterator[RestoreCandidate]:
    """Yield copies that are on tape only and needed on disk, without those that wait after a failure.

    First the sources of pending requests in their order, each once, then suspect copies.
    """
    seen: set[int] = set()
    for one in _pages(index, SOURCES, (node_id,), now, Purpose.PULL):
        if one.file.file_id not in seen:
            seen.add(one.file.file_id)
            yield one
    for wants in ("Y", "M"):
        yield from _pages(index, SUSPECT, (node_id, wants), now, Purpose.CHECK)


def _sql(index: Index, sql: str) -> str:
    return sql.format(lookup_join=index.dialect.lookup_join)


def _pages(
    index: Index, sql: str, values: tuple[Any, ...], now: datetime.datetime, purpose: Purpose
) -> Iterator[RestoreCandidate]:
    after = 0
    while rows := index.facts(_TapeRow, _sql(index, sql), (*values, after, now, now + NO_WAIT, PAGE)):
        for row in rows:
            yield RestoreCandidate(row.file, purpose, row.tries)
        after = rows[-1].place


def dispensable(index: Index, node_id: int) -> list[TapeFile]:
    """Return good copies on disk that are not the source of a pending request, those used longest ago first.

    This sorts all of them, so it is only called for nodes that lack headroom.
    """
    return [row.file for row in index.facts(_TapeRow, _sql(index, DISPENSABLE), (node_id, MOST))]


def turns(index: Index, node_id: int, count: int) -> list[TapeFile]:
    """Return the `count` good copies of a node after the last one compared, continuing with the first."""
    after = index.value("SELECT compared FROM sync_node WHERE node_id = ?", (node_id,)) or 0
    found = _from(index, node_id, after, count)
    if after and len(found) < count:
        found += [file for file in _from(index, node_id, 0, count - len(found)) if file.copy_id <= after]
    return found


def _from(index: Index, node_id: int, after: int, count: int) -> list[TapeFile]:
    kinds = [
        index.facts(_TapeRow, _sql(index, FROM_ID), (node_id, wants, after, count))
        for wants in ("Y", "M", "N")
    ]
    return [row.file for row in islice(heapq.merge(*kinds, key=lambda row: row.copy_id), count)]


def back(index: Index, node_id: int) -> list[CheckFact]:
    """Return the copies that were restored from tape for a check."""
    return [check_fact(row) for row in index.facts(CheckRow, BACK, (node_id,))]


def progress(index: Index, node_id: int, file_id: int) -> str:
    """Describe the progress of a copy's restore; "" if there is none."""
    row = index.execute(PROGRESS, (node_id, file_id)).fetchone()
    if row is None:
        return ""
    state, tries, asked, next_, error = row
    times = f" ({tries} times)" if tries > 1 else ""
    if state == RestoreState.FAILED:
        return f"restore from tape failed{times}: {error}; next attempt after {moment(next_)} UTC"
    return f"restore from tape requested at {moment(asked)} UTC{times}"
