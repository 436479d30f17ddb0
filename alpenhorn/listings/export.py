"""The files of an acquisition, with their good copies on some nodes, for an export."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from alpenhorn.index.bulk import marks
from alpenhorn.index.connection import Index
from alpenhorn.scan.digests import known_sha256

FILES = "SELECT id AS file_id__id, name, size_b, md5sum FROM archivefile WHERE acq_id = ? ORDER BY name"
# The + prevents SQLite from reading all good copies of the nodes.
COPIES = """
    SELECT c.file_id, c.node_id FROM archivefile f JOIN archivefilecopy c ON c.file_id = f.id
    WHERE f.acq_id = ? AND +c.has_file = 'Y' AND +c.node_id IN ({marks}) ORDER BY c.file_id, c.node_id
"""


class ExportRow(NamedTuple):
    """A file.  `nodes`: ids of the nodes with a good copy, in the given order; `sha256`: "" if it is not known."""

    file_id: int
    name: str
    size_b: int | None
    md5sum: str | None
    sha256: str = ""
    nodes: tuple[int, ...] = ()


def files(index: Index, acq_id: int, node_ids: Sequence[int]) -> list[ExportRow]:
    """Return all files of an acquisition.  `node_ids`: the nodes whose copies may be used, the best one first."""
    rows = index.facts(ExportRow, FILES, (acq_id,))
    rank = {node_id: number for number, node_id in enumerate(node_ids)}
    copies: defaultdict[int, list[int]] = defaultdict(list)
    for file_id, node_id in index.execute(COPIES.format(marks=marks(node_ids)), (acq_id, *node_ids)):
        copies[file_id].append(node_id)
    known = known_sha256(index, [row.file_id for row in rows])
    return [
        row._replace(
            sha256=known.get(row.file_id, ""), nodes=tuple(sorted(copies[row.file_id], key=rank.__getitem__))
        )
        for row in rows
    ]
