"""Suspect copies as facts, a page at a time."""

from __future__ import annotations

from collections.abc import Iterator

from alpenhorn.index.connection import Index
from alpenhorn.model import CheckFact
from alpenhorn.scan.attempts import attempt_fact

SUSPECT = """
    SELECT c.id, c.file_id, c.node_id, a.name, f.name, f.size_b, f.md5sum,
           t.count, t.last, t.next, t.blame, t.error
    FROM archivefilecopy c
    LEFT JOIN archivefile f ON f.id = c.file_id
    LEFT JOIN archiveacq a ON a.id = f.acq_id
    LEFT JOIN sync_attempt t ON t.kind = 'check' AND t.subject_id = c.id
    WHERE c.node_id = ? AND c.has_file = 'M' AND c.wants_file = ? AND c.id > ? ORDER BY c.id LIMIT ?
"""


def pages(index: Index, node_id: int, limit: int) -> Iterator[list[CheckFact]]:
    """The suspect copies on a node that are not released; each page is read when it is asked for."""
    for wants in ("Y", "M"):
        after = 0
        while rows := index.execute(SUSPECT, (node_id, wants, after, limit)).fetchall():
            yield [CheckFact(*row[:7], *([attempt_fact(row[7:])] if row[7] else [])) for row in rows]
            after = rows[-1][0]
