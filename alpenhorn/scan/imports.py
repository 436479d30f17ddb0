"""Pending import requests, and the rows for paths found on a node, as facts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from alpenhorn.index.bulk import chunks, marks
from alpenhorn.index.connection import Index
from alpenhorn.index.times import known_moment
from alpenhorn.model.imports import ImportRequestFact, KnownFile
from alpenhorn.outside import encodable
from alpenhorn.reasons import Why
from alpenhorn.scan.attempts import ATTEMPT, attempt_fact

REQUESTS = f"""
    SELECT i.id AS request_id__id, i.node_id, i.path, i.recurse, i.register, {ATTEMPT}
    FROM archivefileimportrequest i
    LEFT JOIN sync_attempt t ON t.kind = 'import' AND t.subject_id = i.id
    WHERE i.node_id = ? AND i.completed = 0 ORDER BY i.id
"""
KNOWN = """
    SELECT f.id, f.name, f.size_b, f.md5sum, c.has_file
    FROM archivefile f LEFT JOIN archivefilecopy c ON c.file_id = f.id AND c.node_id = ?
    WHERE f.acq_id = ? AND f.name IN ({marks})
"""


class _RequestRow(NamedTuple):
    request_id: int
    node_id: int
    path: str
    recurse: bool
    register: bool
    tries: int | None
    last: Any
    next: Any
    blame: str | None
    error: str | None
    fault: Why = ""


class RunOrigin(NamedTuple):
    """A run.  `started`: as text."""

    run_id: int
    host: str
    started: str


def requests(index: Index, node_id: int) -> list[ImportRequestFact]:
    """Return the pending import requests of a node, oldest first."""
    return [
        ImportRequestFact(
            row.request_id, row.node_id, row.path, row.recurse, row.register, attempt_fact(row), row.fault
        )
        for row in index.facts(_RequestRow, REQUESTS, (node_id,), recurse=bool, register=bool)
    ]


def nodes_with_requests(index: Index) -> list[int]:
    """Return the ids of the nodes with pending import requests, also of nodes that are not in the index."""
    return index.values(
        "SELECT DISTINCT node_id FROM archivefileimportrequest WHERE completed = 0 ORDER BY 1"
    )


def known(index: Index, node_id: int, names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], KnownFile]:
    """Return the files in the index by (acquisition, file name); unknown names are left out."""
    by_acq: dict[str, list[str]] = {}
    for acq, name in names:
        by_acq.setdefault(acq, []).append(name)
    found = {}
    for acq, files in by_acq.items():
        # A collation that ignores case may find another name.
        rows = index.execute("SELECT id, name FROM archiveacq WHERE name = ?", (acq,))
        acq_id = next((acq_id for acq_id, name in rows.fetchall() if name == acq), None)
        if acq_id is None:
            continue
        for some in chunks(files):
            sql = KNOWN.format(marks=marks(some))
            for file_id, name, size_b, md5sum, has in index.execute(sql, (node_id, acq_id, *some)).fetchall():
                found[acq, name] = KnownFile(file_id, acq, name, size_b, md5sum, has)
    return found


def existing_acqs(index: Index, names: Iterable[str]) -> frozenset[str]:
    """Return those of the names that acquisitions in the index have."""
    wanted = frozenset(name for name in names if encodable(name))
    found: set[str] = set()
    for some in chunks(sorted(wanted)):
        found.update(index.values(f"SELECT name FROM archiveacq WHERE name IN ({marks(some)})", some))
    # A collation that ignores case may find another name.
    return wanted & found


def written_by(index: Index, run_id: int) -> RunOrigin | None:
    """Return the origin of a run; None if it is not in the index."""
    sql = "SELECT id AS run_id__id, host, started FROM sync_run WHERE id = ?"
    return index.fact(RunOrigin, sql, (run_id,), started=lambda stored: known_moment(stored).isoformat(" "))
