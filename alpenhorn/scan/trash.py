"""The trash of nodes as the index knows it, for runs; the disks are the evidence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.index.facts import whole
from alpenhorn.model.deletions import DeletionFact
from alpenhorn.model.events import NO_FILE
from alpenhorn.model.trash import TrashedFile

# Steps from each batch to the next in the index on them, instead of reading every row.
BATCHES = """
    WITH RECURSIVE b (name) AS (
        SELECT MIN(batch) FROM sync_trash WHERE node_id = ?
        UNION ALL
        SELECT (SELECT MIN(t.batch) FROM sync_trash t WHERE t.node_id = ? AND t.batch > b.name) FROM b
        WHERE b.name IS NOT NULL
    )
    SELECT name FROM b WHERE name IS NOT NULL
"""
# With DISTINCT or an order, SQLite would read all rows of the node.
ASKED_BATCHES = "SELECT batch FROM sync_trash WHERE node_id = ? AND asked IS NOT NULL"
IN_BATCH = """
    SELECT t.id AS row_id__id, t.file_id, t.batch, a.name AS acq__name, f.name, f.size_b, c.has_file,
           t.asked IS NOT NULL AS asked
    FROM sync_trash t JOIN archivefile f ON f.id = t.file_id JOIN archiveacq a ON a.id = f.acq_id
    LEFT JOIN archivefilecopy c ON c.file_id = t.file_id AND c.node_id = t.node_id
    WHERE t.node_id = ? AND t.batch = ?
"""

COPIES = """
    SELECT c.id AS copy_id__id, t.file_id, t.node_id, a.name AS acq__name, f.name, f.size_b,
           t.size_b AS space_b__size_b, c.has_file, c.wants_file
    FROM sync_trash t JOIN archivefile f ON f.id = t.file_id JOIN archiveacq a ON a.id = f.acq_id
    JOIN archivefilecopy c ON c.file_id = t.file_id AND c.node_id = t.node_id
    WHERE t.node_id = ? AND t.batch = ? ORDER BY t.file_id
"""


class AskedFile(NamedTuple):
    """A file that somebody wants back.  `has_file`: the state of its copy on the node, None without a row."""

    file: TrashedFile
    has_file: str | None


class _Row(NamedTuple):
    row_id: int
    file_id: int
    batch: str
    acq: str
    name: str
    size_b: int | None
    has_file: str | None
    asked: bool


def batches(index: Index, node_id: int) -> list[str]:
    """Return the batches in the trash of a node, oldest first."""
    return index.values(BATCHES, (node_id, node_id))


def total_b(index: Index, node_id: int) -> int:
    """Return the bytes that the files in the trash of a node take."""
    return whole(index.value("SELECT SUM(size_b) FROM sync_trash WHERE node_id = ?", (node_id,)))


def asked(index: Index, node_id: int) -> Iterator[list[AskedFile]]:
    """Yield the files that somebody wants back, by batch."""
    for batch in sorted(set(index.values(ASKED_BATCHES, (node_id,)))):
        rows = _in_batch(index, node_id, batch)
        yield [AskedFile(_file(row), row.has_file) for row in rows if row.asked]


def in_batch(index: Index, node_id: int, batch: str) -> list[TrashedFile]:
    """Return the files of a batch that the index knows."""
    return [_file(row) for row in _in_batch(index, node_id, batch)]


def _in_batch(index: Index, node_id: int, batch: str) -> list[_Row]:
    return index.facts(_Row, IN_BATCH, (node_id, batch), asked=bool)


def unknown(index: Index, node_id: int, batch: str) -> tuple[bool, int]:
    """Return whether a batch has files that the index does not know, and their bytes on the medium."""
    sql = "SELECT COUNT(*), SUM(size_b) FROM sync_trash WHERE node_id = ? AND batch = ? AND file_id = ?"
    rows, space_b = index.execute(sql, (node_id, batch, NO_FILE)).fetchone()
    return rows > 0, whole(space_b)


def copies(index: Index, node_id: int, batch: str) -> list[DeletionFact]:
    """Return the deleted copies whose files are in a batch, as `alpenhorn.scan.deletions.pages` does."""
    return index.facts(DeletionFact, COPIES, (node_id, batch))


def _file(row: _Row) -> TrashedFile:
    return TrashedFile(row.row_id, row.file_id, row.batch, f"{row.acq}/{row.name}", row.size_b)
