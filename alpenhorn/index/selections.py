"""Selections: rows that commands count, show and change in the database.

A million rows take a few statements and no memory.  This module counts selections and divides them into transactions;
`alpenhorn.scan` decides what is selected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from alpenhorn.index.bulk import chunks, marks
from alpenhorn.index.connection import Index


class SelectionPart(NamedTuple):
    """A part of a selection that fits in one statement: SQL text from FROM on, and its values.

    `f` is archivefile; `r`, when requests are cancelled, is archivefilecopyrequest.
    """

    sql: str
    values: tuple[Any, ...]


class Total(NamedTuple):
    """The size of a selection.  `unsized`: number of files without a recorded length."""

    files: int
    bytes: int
    unsized: int


class Piece(NamedTuple):
    """The rows that one transaction changes; `files`: their number when they were counted."""

    parts: tuple[SelectionPart, ...]
    files: int


class CountedSelection(NamedTuple):
    total: Total
    pieces: list[Piece]


# Rows in one transaction, which take half a second on SQLite and one or two on MariaDB.  One transaction over a million
# rows would be no faster than ten, would block runs for 20 s or, on a slower server, until they give up, and would be
# rolled back entirely if interrupted.
PIECE = 100_000
STEP = 20_000  # ids that are counted together

Progress = Callable[[int, int], None]  # number of parts done, number of all parts


def limited(
    base: SelectionPart, acqs: Sequence[int], files: Sequence[int] | None, file_id: str
) -> list[SelectionPart]:
    """Restrict `base` to the files of acquisitions (if any are given) and to a list of files (None: all files).

    `file_id`: the expression that is compared with the list.
    """
    if acqs:
        base = SelectionPart(f"{base.sql} AND f.acq_id IN ({marks(acqs)})", (*base.values, *acqs))
    if files is None:
        return [base]
    return [
        SelectionPart(f"{base.sql} AND {file_id} IN ({marks(piece)})", (*base.values, *piece))
        for piece in chunks(files)
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


def counted(index: Index, parts: Sequence[SelectionPart], row: str, progress: Progress) -> CountedSelection:
    """Count the rows and divide them into pieces; rows that are added later may be in none of them.

    `row`: an expression such as `c.id` for the id of the rows to change, or of the rows to derive new ones from.
    """
    return _by_id(index, parts[0], row) if len(parts) == 1 else _by_parts(index, parts, progress)


def _by_id(index: Index, part: SelectionPart, row: str) -> CountedSelection:
    """Count with one query, and divide into ranges of ids."""
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


def _by_parts(index: Index, parts: Sequence[SelectionPart], progress: Progress) -> CountedSelection:
    pieces: list[Piece] = []
    found = Total(0, 0, 0)
    for number, part in enumerate(parts):
        progress(number, len(parts))
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
    """Return (name, number of files) of the acquisitions in a selection."""
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
        # Not fetchall: there may be millions of rows.
        for acq, name in index.execute(sql, part.values):
            yield f"{acq}/{name}"
