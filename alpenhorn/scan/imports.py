"""Pending import requests, and what the index knows of paths found on a node, as facts."""

from __future__ import annotations

from collections.abc import Iterable

from alpenhorn.index.bulk import chunks, marks
from alpenhorn.index.connection import Index
from alpenhorn.index.times import known_moment
from alpenhorn.model.imports import ImportRequestFact, KnownFile
from alpenhorn.scan.attempts import attempt_fact
from alpenhorn.scan.values import fault

REQUESTS = """
    SELECT i.id, i.node_id, i.path, i.recurse, i.register, t.count, t.last, t.next, t.blame, t.error
    FROM archivefileimportrequest i
    LEFT JOIN sync_attempt t ON t.kind = 'import' AND t.subject_id = i.id
    WHERE i.node_id = ? AND i.completed = 0 ORDER BY i.id
"""
KNOWN = """
    SELECT f.id, f.name, f.size_b, f.md5sum, c.has_file
    FROM archivefile f LEFT JOIN archivefilecopy c ON c.file_id = f.id AND c.node_id = ?
    WHERE f.acq_id = ? AND f.name IN ({marks})
"""


def requests(index: Index, node_id: int) -> list[ImportRequestFact]:
    """The pending import requests of a node, oldest first."""
    return [
        ImportRequestFact(
            row[0],
            row[1],
            row[2],
            bool(row[3]),
            bool(row[4]),
            attempt_fact(row[5:]) if row[5] else None,
            fault(row),
        )
        for row in index.execute(REQUESTS, (node_id,))
    ]


def known(index: Index, node_id: int, names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], KnownFile]:
    """What the index has under those (acquisition, file name) pairs; those it does not have are left out."""
    by_acq: dict[str, list[str]] = {}
    for acq, name in names:
        by_acq.setdefault(acq, []).append(name)
    found = {}
    for acq, files in by_acq.items():
        row = index.execute("SELECT id, name FROM archiveacq WHERE name = ?", (acq,)).fetchone()
        if row is None or row[1] != acq:  # a collation that folds case finds another name
            continue
        for some in chunks(files):
            sql = KNOWN.format(marks=marks(some))
            for file_id, name, size_b, md5sum, has in index.execute(sql, (node_id, row[0], *some)):
                found[acq, name] = KnownFile(file_id, acq, name, size_b, md5sum, has)
    return found


def written_by(index: Index, run_id: int) -> tuple[int, str, str] | None:
    """What the index knows of a run: its id, its host, and when it started, as text; None: it knows of none."""
    row = index.execute("SELECT id, host, started FROM sync_run WHERE id = ?", (run_id,)).fetchone()
    return None if row is None else (row[0], row[1], known_moment(row[2]).isoformat(" "))
