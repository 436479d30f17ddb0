"""Files in the trash that `node undelete` and `file undelete` select, as SQL conditions.

Of a file that was deleted several times, only the last one is brought back; none is if the node has a copy again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from alpenhorn.index.selections import SelectionPart, limited

TRASHED = """
FROM sync_trash t JOIN archivefile f ON f.id = t.file_id
WHERE t.node_id = ? AND NOT EXISTS (
    SELECT 1 FROM archivefilecopy c WHERE c.file_id = t.file_id AND c.node_id = t.node_id AND c.has_file <> 'N'
) AND NOT EXISTS (
    SELECT 1 FROM sync_trash l WHERE l.file_id = t.file_id AND l.node_id = t.node_id AND l.batch > t.batch
)"""
ASKED = "FROM sync_trash t JOIN archivefile f ON f.id = t.file_id WHERE t.node_id = ? AND t.asked IS NOT NULL"


class UndeleteSelection(NamedTuple):
    """A selection, by ids of rows.  `files` None: all; `since`: deleted since then, naive UTC."""

    node: int
    acqs: tuple[int, ...] = ()
    files: Sequence[int] | None = None
    since: datetime | None = None


def to_undelete(selection: UndeleteSelection) -> list[SelectionPart]:
    """Select the files to bring back that nobody has asked for yet."""
    return _since(SelectionPart(f"{TRASHED} AND t.asked IS NULL", (selection.node,)), selection)


def to_cancel(selection: UndeleteSelection) -> list[SelectionPart]:
    """Select the files that somebody asked for."""
    return _since(SelectionPart(ASKED, (selection.node,)), selection)


def _since(base: SelectionPart, selection: UndeleteSelection) -> list[SelectionPart]:
    if selection.since is not None:
        base = SelectionPart(f"{base.sql} AND t.trashed >= ?", (*base.values, selection.since))
    return limited(base, selection.acqs, selection.files, "t.file_id")
