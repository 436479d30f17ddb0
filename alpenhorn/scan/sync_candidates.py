"""Which files `node sync` and `group sync` are about: as a condition that counts, lists and requests them
in the database, so that a million of them take a handful of statements and no memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from alpenhorn.index.bulk import chunks, marks
from alpenhorn.index.connection import Index
from alpenhorn.scan.values import stream


class Selection(NamedTuple):
    """Ids of rows.  `node` or `group` None: any (for a cancellation).  `targets`: groups whose files are
    left out.  `files` None: no list of files was given."""

    node: int | None
    group: int | None
    acqs: tuple[int, ...] = ()
    targets: tuple[int, ...] = ()
    files: Sequence[int] | None = None


class Part(NamedTuple):
    """A piece of a selection, small enough for one statement: SQL text from FROM on, where `f` is
    archivefile and `r` (of a cancellation) archivefilecopyrequest, and its values."""

    sql: str
    values: tuple[Any, ...]


class Total(NamedTuple):
    """`unsized`: how many of the files have no known length."""

    files: int
    bytes: int
    unsized: int


# A column with a + before it is an expression, for which SQLite uses no index: it would go through all
# pending requests of the group for each file, and with a list of files ({own} is + then) through all copies
# on the node, or all pending requests, for each part of the list.
NEW = """
    FROM archivefilecopy c JOIN archivefile f ON f.id = c.file_id
    WHERE {own}c.node_id = ? AND {own}c.has_file = 'Y'
      AND NOT EXISTS (SELECT 1 FROM archivefilecopy d WHERE d.file_id = c.file_id AND d.has_file = 'Y'
                      AND d.node_id IN (SELECT id FROM storagenode WHERE group_id IN ({groups})))
      AND NOT EXISTS (SELECT 1 FROM archivefilecopyrequest q
                      WHERE q.file_id = c.file_id AND q.group_to_id = ?
                      AND +q.completed = 0 AND +q.cancelled = 0)
"""
PENDING = """
    FROM archivefilecopyrequest r LEFT JOIN archivefile f ON f.id = r.file_id
    WHERE {own}r.completed = 0 AND r.cancelled = 0
"""


def new_requests(selection: Selection) -> list[Part]:
    """The files that are Y on the node and neither Y nor already requested in the group."""
    assert selection.node is not None and selection.group is not None
    groups = (selection.group, *selection.targets)
    sql = NEW.format(own=_own(selection), groups=marks(groups))
    base = Part(sql, (selection.node, *groups, selection.group))
    return limited(base, selection.acqs, selection.files, "c.file_id")


def pending_requests(selection: Selection) -> list[Part]:
    """The pending requests from the node into the group, whichever of the two is given."""
    own = _own(selection)
    base = Part(PENDING.format(own=own), ())
    for column, value in (("r.node_from_id", selection.node), ("r.group_to_id", selection.group)):
        if value is not None:
            base = Part(f"{base.sql} AND {own}{column} = ?", (*base.values, value))
    return limited(base, selection.acqs, selection.files, "r.file_id")


def _own(selection: Selection) -> str:
    return "" if selection.files is None else "+"


def limited(base: Part, acqs: Sequence[int], files: Sequence[int] | None, file_id: str) -> list[Part]:
    """`base` for the files of those acquisitions (none: any) and of that list (None: any), which the
    expression `file_id` is compared with."""
    if acqs:
        base = Part(f"{base.sql} AND f.acq_id IN ({marks(acqs)})", (*base.values, *acqs))
    if files is None:
        return [base]
    return [
        Part(f"{base.sql} AND {file_id} IN ({marks(some)})", (*base.values, *some)) for some in chunks(files)
    ]


def total(index: Index, parts: Sequence[Part]) -> Total:
    files, bytes_, unsized = 0, 0, 0
    for part in parts:
        row = index.execute(
            f"SELECT COUNT(*), SUM(f.size_b), COUNT(f.size_b) {part.sql}", part.values
        ).fetchone()
        files += row[0]
        bytes_ += int(row[1] or 0)
        unsized += row[0] - row[2]
    return Total(files, bytes_, unsized)


def acqs(index: Index, parts: Sequence[Part]) -> list[tuple[str, int]]:
    """(name, number of files) of the acquisitions concerned."""
    counts: dict[str, int] = {}
    for part in parts:
        grouped = f"SELECT f.acq_id AS id, COUNT(*) AS files {part.sql} GROUP BY f.acq_id"
        sql = f"SELECT a.name, s.files FROM ({grouped}) s JOIN archiveacq a ON a.id = s.id"
        for name, files in index.execute(sql, part.values):
            counts[name] = counts.get(name, 0) + files
    return sorted(counts.items())


def paths(index: Index, parts: Sequence[Part]) -> Iterator[str]:
    for part in parts:
        sql = (
            "SELECT a.name, p.name FROM (SELECT f.id AS id "
            + part.sql
            + ") s JOIN archivefile p ON p.id = s.id"
            " JOIN archiveacq a ON a.id = p.acq_id ORDER BY a.name, p.name"
        )
        for acq, name in stream(index, sql, part.values):
            yield f"{acq}/{name}"
