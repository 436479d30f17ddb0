"""Copies that belong in a node's manifest, and changes since it was written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.model.events import FAILED

# One query for each wants_file, to use the index on both states.
WANTS = ("Y", "M", "N")
COLUMNS = "c.id AS copy_id__id, c.file_id, a.name AS acq__name, f.name, f.size_b, f.md5sum"
PAGE = f"""
    SELECT {COLUMNS} FROM archivefilecopy c
    LEFT JOIN archivefile f ON f.id = c.file_id LEFT JOIN archiveacq a ON a.id = f.acq_id
    WHERE c.node_id = ? AND c.has_file = 'Y' AND c.wants_file = ? AND c.id > ? ORDER BY c.id LIMIT ?
"""
FILES = """
    SELECT COALESCE(c.id, 0) AS copy_id__id, f.id AS file_id__id, a.name AS acq__name, f.name, f.size_b, f.md5sum,
           c.has_file
    FROM archivefile f
    LEFT JOIN archiveacq a ON a.id = f.acq_id
    LEFT JOIN archivefilecopy c ON c.file_id = f.id AND c.node_id = ?
    WHERE f.id IN ({marks})
"""


class ManifestRow(NamedTuple):
    """A copy.  All fields except `copy_id` and `file_id` are None if the file's row was removed."""

    copy_id: int
    file_id: int
    acq: str | None
    name: str | None
    size_b: int | None
    md5sum: str | None


class _ManifestFileRow(NamedTuple):
    copy_id: int
    file_id: int
    acq: str | None
    name: str | None
    size_b: int | None
    md5sum: str | None
    has_file: str | None


class KeptManifest(NamedTuple):
    """The recorded state of a manifest: its last event, and its number of copies.

    `latest`: the last event in the index; `touched`: whether a later event than the manifest's is about the node.
    """

    event_id: int
    files: int
    latest: int
    touched: bool


class _KeptRow(NamedTuple):
    node_id: int
    event_id: int
    files: int
    latest: int


def good(index: Index, node_id: int, limit: int) -> Iterator[list[ManifestRow]]:
    """Yield pages of the good copies on a node; each page is read on demand."""
    for wants in WANTS:
        after = 0
        while rows := index.facts(ManifestRow, PAGE, (node_id, wants, after, limit)):
            yield rows
            after = rows[-1].copy_id
            if len(rows) < limit:
                break


def count(index: Index, node_id: int) -> int:
    """Return the number of good copies on a node."""
    sql = "SELECT COUNT(*) FROM archivefilecopy WHERE node_id = ? AND has_file = 'Y'"
    return int(index.value(sql, (node_id,)))


def latest_event(index: Index) -> int:
    """Return the id of the newest event; 0 without events."""
    return int(index.value("SELECT COALESCE(MAX(id), 0) FROM sync_event"))


def has_good(index: Index, node_id: int) -> bool:
    """Return whether a node has a good copy."""
    sql = "SELECT 1 FROM archivefilecopy WHERE node_id = ? AND has_file = 'Y' LIMIT 1"
    return index.value(sql, (node_id,)) is not None


def kept(index: Index, node_ids: Sequence[int]) -> dict[int, KeptManifest]:
    """Return the recorded states of manifests by node id, for the nodes that have one, even an old one."""
    found: dict[int, KeptManifest] = {}
    for marks, some in in_chunks(node_ids):
        rows = index.facts(
            _KeptRow,
            "SELECT s.node_id, s.event_id, s.files, (SELECT COALESCE(MAX(id), 0) FROM sync_event) AS latest__id"
            f" FROM sync_node s WHERE s.host IS NOT NULL AND s.node_id IN ({marks})",
            some,
        )
        for row in rows:
            later = row.latest > row.event_id and _any_after(index, row.node_id, row.event_id)
            found[row.node_id] = KeptManifest(row.event_id, row.files, row.latest, later)
    return found


def _any_after(index: Index, node_id: int, event_id: int) -> bool:
    # A statement for each node: MariaDB reads all events if their least id is that of another row.
    sql = f"SELECT 1 FROM {events_of(index)} AND e.id > ? LIMIT 1"
    return index.value(sql, (node_id, event_id)) is not None


def events_of(index: Index) -> str:
    """Return SQL text from FROM on for the events of a node (a value), to be limited by id.

    Failed attempts, which changed no copy, are left out.  The index on the node is not used, since it is in the order
    of times, which depends on the clocks of hosts.
    """
    dialect = index.dialect
    own = f"{dialect.unindexed('e.node_id')} = ?"
    return f"sync_event e{dialect.by_primary_key} WHERE {own} AND e.what <> '{FAILED}'"


def touched(index: Index, node_id: int, after: int, until: int, limit: int) -> list[int]:
    """Return at most `limit` files with events on the node after one event and up to another."""
    return index.values(
        f"SELECT DISTINCT e.file_id FROM {events_of(index)} AND e.id > ? AND e.id <= ? LIMIT ?",
        (node_id, after, until, limit),
    )


def added(index: Index, node_id: int, after: int, limit: int) -> list[int]:
    """Return at most `limit` files that were pulled to the node, or imported there, after an event."""
    return index.values(
        f"SELECT DISTINCT e.file_id FROM {events_of(index)} AND e.id > ? AND e.what IN ('pulled', 'imported')"
        " LIMIT ?",
        (node_id, after, limit),
    )


def files(index: Index, node_id: int, file_ids: Sequence[int]) -> list[tuple[ManifestRow, str | None]]:
    """Return the files that are in the index, each with has_file of its copy on the node (None: no copy)."""
    found: list[tuple[ManifestRow, str | None]] = []
    for marks, some in in_chunks(file_ids):
        for row in index.facts(_ManifestFileRow, FILES.format(marks=marks), (node_id, *some)):
            found.append(
                (
                    ManifestRow(row.copy_id, row.file_id, row.acq, row.name, row.size_b, row.md5sum),
                    row.has_file,
                )
            )
    return found
