"""Copies on their way to tape, as facts: those to collect, those in batches, and those that are on tape.

A copy is on tape only if its row says so for the MD5 sum that the file has now, and for the medium that the node has
now: the row is of an earlier file or disk otherwise.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from alpenhorn.index.bulk import CHUNK, in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.index.facts import whole
from alpenhorn.index.times import moment, posix
from alpenhorn.model.tape_batches import CollectedFile, CollectState, CollectTotal
from alpenhorn.reasons import recorded

MOST = 50_000  # copies that one run divides into batches
# The lookup_join prevents MariaDB from beginning with the acquisitions.
ROWS = """
    SELECT c.id AS copy_id__id, t.file_id, a.name AS acq__name, f.name, f.size_b, f.md5sum, t.state, t.batch, t.since,
           t.tries, t.next, t.error, t.code, c.has_file, c.wants_file
    FROM sync_tape t
    {lookup_join} archivefilecopy c ON c.file_id = t.file_id AND c.node_id = t.node_id
    {lookup_join} archivefile f ON f.id = t.file_id {lookup_join} archiveacq a ON a.id = f.acq_id
    WHERE t.node_id = ? AND t.state = ? ORDER BY t.since, t.file_id LIMIT ?
"""
# One query for each wants_file, to use the index on both states.  Names are read only of the rows of the subquery.
NEW = """
    SELECT c.id AS copy_id__id, c.file_id, a.name AS acq__name, f.name, f.size_b, f.md5sum
    FROM (SELECT c.id, c.file_id FROM archivefilecopy c
          LEFT JOIN sync_tape t ON t.node_id = c.node_id AND t.file_id = c.file_id
          WHERE c.node_id = ? AND c.has_file = 'Y' AND c.wants_file = ? AND c.id > ? AND t.file_id IS NULL
          ORDER BY c.id LIMIT ?) c
    JOIN archivefile f ON f.id = c.file_id JOIN archiveacq a ON a.id = f.acq_id ORDER BY c.id
"""
STATES = """
    SELECT t.file_id, t.node_id, t.state, t.batch, t.md5sum, t.medium, f.md5sum AS now__md5sum,
           m.medium AS seen__medium
    FROM sync_tape t JOIN archivefile f ON f.id = t.file_id LEFT JOIN sync_medium m ON m.node_id = t.node_id
    WHERE t.node_id IN ({nodes}) AND t.file_id IN ({marks})
"""
TOTALS = """
    SELECT t.node_id, COUNT(*) AS files, COUNT(CASE WHEN t.state = 'asked' THEN 1 END) AS in_batches,
           SUM(f.size_b) AS size_b__sum, MIN(t.since) AS since
    FROM sync_tape t JOIN archivefile f ON f.id = t.file_id
    WHERE t.state IN ('collecting', 'asked') GROUP BY t.node_id
"""
OF_FILE = """
    SELECT n.name AS node__name, t.state, t.batch, t.since, t.tries, NULLIF(t.error, '') AS error, t.code
    FROM sync_tape t JOIN storagenode n ON n.id = t.node_id
    WHERE t.node_id IN ({marks}) AND t.file_id = ? ORDER BY n.name
"""
CLASSES = "SELECT node_id, tape_class, needs_tape FROM sync_node WHERE node_id IN ({marks})"


class _Row(NamedTuple):
    """A copy.  The fields from `state` on are those of its row in sync_tape, if it has one."""

    copy_id: int
    file_id: int
    acq: str
    name: str
    size_b: int | None
    md5sum: str | None
    state: str = ""
    batch: str = ""
    since: Any = None
    tries: int = 0
    next: Any = None
    error: str = ""
    code: str | None = None
    has_file: str = "Y"
    wants_file: str = "Y"

    @property
    def file(self) -> CollectedFile:
        return CollectedFile(
            self.copy_id,
            self.file_id,
            f"{self.acq}/{self.name}",
            self.size_b or 0,
            (self.md5sum or "").lower(),
            posix(self.since),
            self.tries,
            posix(self.next),
            recorded(self.error, self.code) if self.error else "",
        )


class TapeRow(NamedTuple):
    """A row of sync_tape.  `now` and `seen`: MD5 sum of the file and medium of the node now."""

    file_id: int
    node_id: int
    state: str
    batch: str
    md5sum: str
    medium: str
    now: str | None
    seen: str | None

    @property
    def on_tape(self) -> bool:
        # Compared here, since the tables may have different collations.
        same = bool(self.md5sum) and self.now is not None and self.md5sum == self.now.lower()
        return same and bool(self.medium) and self.medium == self.seen and self.state == CollectState.ON_TAPE


class FileOnTape(NamedTuple):
    """Where a file is on its way to tape on a node.  `error`: why the last batch with it failed, with its `code`."""

    node: str
    state: str
    batch: str
    since: datetime.datetime | None
    tries: int
    error: str | None
    code: str | None


def collecting(index: Index, node_id: int) -> list[CollectedFile]:
    """Return the good copies that wait for a batch, those that have waited longest first."""
    return [
        row.file
        for row in _rows(index, node_id, CollectState.COLLECTING)
        if row.has_file == "Y" and row.wants_file != "N" and row.md5sum
    ]


def under_way(index: Index, node_id: int) -> dict[str, list[CollectedFile]]:
    """Return the files of the batches that have been begun, by batch, in any state of their copies."""
    found: dict[str, list[CollectedFile]] = {}
    for row in _rows(index, node_id, CollectState.ASKED):
        found.setdefault(row.batch, []).append(row.file)
    return found


def _rows(index: Index, node_id: int, state: CollectState) -> list[_Row]:
    sql = ROWS.format(lookup_join=index.dialect.lookup_join)
    return index.facts(_Row, sql, (node_id, str(state), MOST))


def to_collect(index: Index, node_id: int) -> Iterator[list[CollectedFile]]:
    """Yield the good copies that are not collected yet, in pages; each is read on demand."""
    for wants in ("Y", "M"):
        after = 0
        while rows := index.facts(_Row, NEW, (node_id, wants, after, CHUNK)):
            after = rows[-1].copy_id
            yield [row.file for row in rows]


def states(index: Index, node_ids: Collection[int], file_ids: Sequence[int]) -> list[TapeRow]:
    """Return the rows of files on nodes."""
    found: list[TapeRow] = []
    if node_ids:
        nodes = ", ".join(map(str, sorted(node_ids)))
        for marks, some in in_chunks(file_ids):
            found += index.facts(TapeRow, STATES.format(nodes=nodes, marks=marks), some)
    return found


def totals(index: Index) -> dict[int, CollectTotal]:
    """Return the copies that are not on tape yet, by node."""
    return {one.node_id: one for one in index.facts(CollectTotal, TOTALS, (), size_b=whole, since=moment)}


def of_file(index: Index, file_id: int) -> list[FileOnTape]:
    """Return where a file is on its way to tape, by the names of nodes."""
    found: list[FileOnTape] = []
    for marks, some in in_chunks(index.values("SELECT id FROM storagenode")):
        found += index.facts(FileOnTape, OF_FILE.format(marks=marks), (*some, file_id), since=moment)
    return found


def recorded_classes(index: Index, node_ids: Sequence[int]) -> dict[int, tuple[str | None, bool | None]]:
    """Return, by node, the storage class of its last run, and whether copies count only once they are on tape."""
    found: dict[int, tuple[str | None, bool | None]] = {}
    for marks, some in in_chunks(node_ids):
        for node_id, io_class, needs_tape in index.execute(CLASSES.format(marks=marks), some):
            found[node_id] = (io_class, None if needs_tape is None else bool(needs_tape))
    return found
