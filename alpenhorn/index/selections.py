"""Selections of rows that commands count, show and change in the database, so that a million of them take a handful of
statements and no memory: what they consist of, and how they are counted and cut into transactions.

What is selected is decided in `alpenhorn.scan`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from alpenhorn.index.bulk import chunks, marks
from alpenhorn.index.connection import Index


class SelectionPart(NamedTuple):
    """A piece of a selection, small enough for one statement: SQL text from FROM on, where `f` is
    archivefile and `r` (of a cancellation) archivefilecopyrequest, and its values."""

    sql: str
    values: tuple[Any, ...]


class Total(NamedTuple):
    """`unsized`: how many of the files have no known length."""

    files: int
    bytes: int
    unsized: int


class Piece(NamedTuple):
    """What is changed in one transaction: the rows of its parts, `files` of them when they were counted."""

    parts: tuple[SelectionPart, ...]
    files: int


class CountedSelection(NamedTuple):
    total: Total
    pieces: list[Piece]


# Of as many rows as these is a transaction made: half a second on SQLite, one or two on MariaDB.  One over a million
# takes no less time than ten over a part of it, and keeps runs waiting for its locks for 20 s, which on a slower
# server is more than they are patient; and whatever ends it undoes all of it.
PIECE = 100_000
STEP = 20_000  # ids that are counted together

Tell = Callable[[int, int], None]  # how many of how many have been gone through


def limited(
    base: SelectionPart, acqs: Sequence[int], files: Sequence[int] | None, file_id: str
) -> list[SelectionPart]:
    """`base` for the files of those acquisitions (none: any) and of that list (None: any), which the
    expression `file_id` is compared with."""
    if acqs:
        base = SelectionPart(f"{base.sql} AND f.acq_id IN ({marks(acqs)})", (*base.values, *acqs))
    if files is None:
        return [base]
    return [
        SelectionPart(f"{base.sql} AND {file_id} IN ({marks(some)})", (*base.values, *some))
        for some in chunks(files)
    ]


def total(index: Index, parts: Iterable[SelectionPart]) -> Total:
    files, bytes_, unsized = 0, 0, 0
    for part in parts:
        sql = f"SELECT COUNT(*), SUM(f.size_b), COUNT(f.size_b) {part.sql}"
        of_part, length, sized = index.execute(sql, part.values).fetchone()
        files += of_part
        bytes_ += int(length or 0)
        unsized += of_part - sized
    return Total(files, bytes_, unsized)


def counted(index: Index, parts: Sequence[SelectionPart], row: str, tell: Tell) -> CountedSelection:
    """Count, and cut up what was found into pieces; what is added meanwhile may be in none of them.

    `row`: the id of the rows that are to be changed, or of those that they are made from, as `c.id`.
    """
    return _by_id(index, parts[0], row) if len(parts) == 1 else _by_parts(index, parts, tell)


def _by_id(index: Index, part: SelectionPart, row: str) -> CountedSelection:
    """One reading gives the counts and the pieces, each of which is a stretch of ids."""
    sql = (
        f"SELECT {row} - {row} % {STEP} AS step, COUNT(*), SUM(f.size_b), COUNT(f.size_b) {part.sql}"
        " GROUP BY step ORDER BY step"
    )
    stretches: list[tuple[int, int, int]] = []  # first id, end, files
    found = Total(0, 0, 0)
    for step, files, bytes_, sized in index.execute(sql, part.values):
        found = _sum(found, Total(files, int(bytes_ or 0), files - sized))
        if stretches and stretches[-1][2] + files <= PIECE:
            first, _, before = stretches.pop()
            stretches.append((first, step + STEP, before + files))
        else:
            stretches.append((step, step + STEP, files))
    return CountedSelection(
        found,
        [
            Piece(
                (SelectionPart(f"{part.sql} AND {row} >= ? AND {row} < ?", (*part.values, first, end)),),
                files,
            )
            for first, end, files in stretches
        ],
    )


def _by_parts(index: Index, parts: Sequence[SelectionPart], tell: Tell) -> CountedSelection:
    pieces: list[Piece] = []
    found = Total(0, 0, 0)
    for number, part in enumerate(parts):
        tell(number, len(parts))
        one = total(index, [part])
        found = _sum(found, one)
        if pieces and pieces[-1].files + one.files <= PIECE:
            before = pieces.pop()
            pieces.append(Piece((*before.parts, part), before.files + one.files))
        elif one.files:
            pieces.append(Piece((part,), one.files))
    return CountedSelection(found, pieces)


def _sum(one: Total, other: Total) -> Total:
    return Total(one.files + other.files, one.bytes + other.bytes, one.unsized + other.unsized)


def acqs(index: Index, parts: Sequence[SelectionPart]) -> list[tuple[str, int]]:
    """(name, number of files) of the acquisitions concerned."""
    counts: dict[str, int] = {}
    for part in parts:
        grouped = f"SELECT f.acq_id AS acq_id, COUNT(*) AS files {part.sql} GROUP BY f.acq_id"
        sql = f"SELECT a.name, s.files FROM ({grouped}) s JOIN archiveacq a ON a.id = s.acq_id"
        for name, files in index.execute(sql, part.values):
            counts[name] = counts.get(name, 0) + files
    return sorted(counts.items())


def paths(index: Index, parts: Sequence[SelectionPart]) -> Iterator[str]:
    for part in parts:
        sql = (
            "SELECT a.name, p.name FROM (SELECT f.id AS id "
            + part.sql
            + ") s JOIN archivefile p ON p.id = s.id"
            " JOIN archiveacq a ON a.id = p.acq_id ORDER BY a.name, p.name"
        )
        # Row by row as they come: there may be millions.
        for acq, name in index.execute(sql, part.values):
            yield f"{acq}/{name}"
