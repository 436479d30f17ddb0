"""Files with their copies and pending requests, for the comparison with policies, in pages."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import NamedTuple

from alpenhorn.index.bulk import in_chunks, marks
from alpenhorn.index.connection import Index
from alpenhorn.index.times import moment
from alpenhorn.model.policies import PolicyCopy, PolicyFile

# Without the lookup_join, MariaDB may begin with the acquisitions and sort all files for each page.
FILES = """
    SELECT f.id AS file_id__id, a.name AS acq__name, f.name, f.size_b, f.md5sum, f.registered
    FROM archivefile f {lookup_join} archiveacq a ON a.id = f.acq_id
"""
PAGE = f"{FILES} WHERE f.id > ? AND f.id <= ?{{and_acq}} ORDER BY f.id LIMIT ?"
NAMED = f"{FILES} WHERE f.id IN ({{marks}}) ORDER BY f.id"
COPIES = """
    SELECT file_id, node_id, has_file, wants_file, ready FROM archivefilecopy
    WHERE file_id IN ({marks}) ORDER BY file_id, node_id
"""
CLAIMS = """
    SELECT file_id, target_id AS node_id__target_id FROM sync_claim WHERE kind = 'delete' AND file_id IN ({marks})
"""
# The + prevents SQLite from scanning all pending requests.
REQUESTS = """
    SELECT file_id, group_to_id AS group_to__group_to_id FROM archivefilecopyrequest
    WHERE file_id IN ({marks}) AND +completed = 0 AND +cancelled = 0 ORDER BY file_id, id
"""
# Requests and failures do not change what a file lacks.
EVENTS = "SELECT id, file_id, what FROM sync_event WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"
EVENTS_AT = "SELECT id, file_id, what FROM sync_event WHERE at > ? AND at <= ? ORDER BY at LIMIT ?"
# Events get their numbers before they are committed: one with a lower number may appear after one with a higher number.
OVERLAP = 1000
LAST_ID = 2**62  # of no file
NO_NEWS = frozenset(("requested", "failed"))


class ComparedFile(NamedTuple):
    """A file without its copies.  `registered`: None if that is not a date."""

    file_id: int
    acq: str
    name: str
    size_b: int | None
    md5sum: str | None
    registered: datetime.datetime | None


class _CopyRow(NamedTuple):
    file_id: int
    node_id: int
    has_file: str
    wants_file: str
    ready: bool


class _ClaimRow(NamedTuple):
    file_id: int
    node_id: int


class _RequestRow(NamedTuple):
    file_id: int
    group_to: int


class _EventRow(NamedTuple):
    id: int
    file_id: int
    what: str


class News(NamedTuple):
    """Files with new events, and the last of these events."""

    file_ids: list[int]
    last: int


def page(index: Index, after: int, to: int, limit: int, acqs: Sequence[int] = ()) -> list[ComparedFile]:
    """Return the next files by id, after `after` up to `to`.  `acqs`: only those of these acquisitions, if any."""
    sql = PAGE.format(
        lookup_join=index.dialect.lookup_join,
        and_acq=f" AND f.acq_id IN ({marks(acqs)})" if acqs else "",
    )
    return index.facts(ComparedFile, sql, (after, to, *acqs, limit), registered=moment)


def named(index: Index, file_ids: Sequence[int]) -> list[ComparedFile]:
    join, rows = index.dialect.lookup_join, []
    for some_marks, some in in_chunks(file_ids):
        sql = NAMED.format(lookup_join=join, marks=some_marks)
        rows += index.facts(ComparedFile, sql, some, registered=moment)
    return rows


def news(index: Index, after: int, to: int, limit: int) -> News:
    """Return the files with events after `after` up to `to`, at most `limit` events."""
    return _news(index.facts(_EventRow, EVENTS, (after, to, limit)), to, limit)


def grown(index: Index, after: datetime.datetime, to: datetime.datetime, limit: int) -> list[int]:
    """Return the files with events in a time in the past, at most `limit` events."""
    return _news(index.facts(_EventRow, EVENTS_AT, (after, to, limit)), 0, limit).file_ids


def _news(rows: Sequence[_EventRow], to: int, limit: int) -> News:
    ids = dict.fromkeys(row.file_id for row in rows if row.file_id and row.what not in NO_NEWS)
    return News(sorted(ids), rows[-1].id if len(rows) == limit else to)


def whole(index: Index, files: Sequence[ComparedFile], now: datetime.datetime) -> list[PolicyFile]:
    """Read the copies and requests of files."""
    copies: dict[int, list[_CopyRow]] = {}
    leaving: set[tuple[int, int]] = set()
    coming: dict[int, list[int]] = {}
    for some_marks, some in in_chunks([file.file_id for file in files]):
        for copy in index.facts(_CopyRow, COPIES.format(marks=some_marks), some, ready=bool):
            copies.setdefault(copy.file_id, []).append(copy)
        leaving.update(
            (claim.file_id, claim.node_id)
            for claim in index.facts(_ClaimRow, CLAIMS.format(marks=some_marks), some)
        )
        for request in index.facts(_RequestRow, REQUESTS.format(marks=some_marks), some):
            coming.setdefault(request.file_id, []).append(request.group_to)
    return [
        PolicyFile(
            file.file_id,
            file.acq,
            file.name,
            file.size_b or 0,
            file.size_b is not None and file.md5sum is not None,
            (now - file.registered).total_seconds() if file.registered is not None else 0.0,
            tuple(
                PolicyCopy(
                    copy.node_id,
                    copy.has_file,
                    copy.wants_file,
                    copy.ready,
                    (copy.file_id, copy.node_id) in leaving,
                )
                for copy in copies.get(file.file_id, ())
            ),
            tuple(coming.get(file.file_id, ())),
        )
        for file in files
    ]
