"""The trash of nodes, for commands."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.index.facts import whole
from alpenhorn.index.times import moment


class TrashedCopy(NamedTuple):
    """A deleted file that is still in the trash of a node.

    `host`: that of the node, whose runs bring it back; `deleted`: by the server's clock; `asked`: when somebody asked
    for its return; `has_file`: the state of the node's copy, None without a row.
    """

    node_id: int
    node: str
    host: str | None
    active: bool
    deleted: datetime | None
    asked: datetime | None
    has_file: str | None


class TrashTotal(NamedTuple):
    """What is in the trash of a node.  `asked`: number of files that are to be brought back; `oldest`: the first
    deletion.
    """

    files: int
    size_b: int
    asked: int
    oldest: datetime | None


OF_FILE = """
    SELECT t.node_id, n.name AS node__name, h.name AS host__name, n.active, t.trashed AS deleted__trashed, t.asked,
           c.has_file
    FROM sync_trash t JOIN storagenode n ON n.id = t.node_id LEFT JOIN storagehost h ON h.id = n.host_id
    LEFT JOIN archivefilecopy c ON c.file_id = t.file_id AND c.node_id = t.node_id
    WHERE t.file_id = ? ORDER BY n.name, t.batch DESC
"""
TOTAL = """
    SELECT COUNT(*) AS files, SUM(size_b) AS size_b__sum, COUNT(asked) AS asked, MIN(trashed) AS oldest__trashed
    FROM sync_trash WHERE node_id = ?
"""


def of_file(index: Index, file_id: int, node_id: int | None = None) -> list[TrashedCopy]:
    """Return where a file is in the trash, the last deletion on each node first; or on one node only."""
    rows = index.facts(TrashedCopy, OF_FILE, (file_id,), active=bool, deleted=moment, asked=moment)
    return [row for row in rows if node_id is None or row.node_id == node_id]


def of_node(index: Index, node_id: int) -> TrashTotal | None:
    """Return what is in the trash of a node, None for nothing."""
    found = index.fact(TrashTotal, TOTAL, (node_id,), size_b=whole, oldest=moment)
    return found if found is not None and found.files else None
