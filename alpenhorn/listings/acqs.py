"""Acquisitions with number and size of their files: all, on a node, or in a group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from alpenhorn.index.bulk import chunks, marks
from alpenhorn.index.connection import Index
from alpenhorn.index.facts import whole
from alpenhorn.scan import patterns
from alpenhorn.scan.names import NamedRow


class AcqRow(NamedTuple):
    """An acquisition.  `bytes`: total length of the files whose length is known."""

    name: str
    files: int
    bytes: int


class _Files(NamedTuple):
    acq_id: int
    files: int
    bytes: int


class PlaceRow(NamedTuple):
    """The files of an acquisition on a node; `node` empty: in the group, each file counted once."""

    group: str
    node: str
    files: int
    bytes: int


# Acquisitions whose files are counted by one statement: the reader may want only the first ones.
AT_ONCE = 100
NAMES = "SELECT a.id, a.name FROM archiveacq a WHERE {named} ORDER BY a.name"
FILES = """
    SELECT acq_id, COUNT(*) AS files, SUM(size_b) AS bytes__sum FROM archivefile
    WHERE acq_id IN ({marks}) GROUP BY acq_id
"""
SOME = """
    SELECT a.name, COUNT(*) AS files, SUM(f.size_b) AS bytes__sum
    FROM archivefile f JOIN archiveacq a ON a.id = f.acq_id
    WHERE f.id IN (SELECT c.file_id FROM archivefilecopy c WHERE {place} AND c.has_file = 'Y')
    AND {named} GROUP BY a.id, a.name ORDER BY a.name
"""
TOTAL = "SELECT COUNT(*), SUM(size_b) FROM archivefile WHERE acq_id = ?"
BY_NODE = """
    SELECT g.name AS group__name, n.name AS node__name, COUNT(*) AS files, SUM(f.size_b) AS bytes__sum
    FROM archivefile f JOIN archivefilecopy c ON c.file_id = f.id JOIN storagenode n ON n.id = c.node_id
    JOIN storagegroup g ON g.id = n.group_id
    WHERE f.acq_id = ? AND c.has_file = 'Y' GROUP BY g.name, n.name ORDER BY g.name, n.name
"""
BY_GROUP = """
    SELECT p.name AS group__name, '' AS node__name, COUNT(*) AS files, SUM(p.size_b) AS bytes__sum FROM (
        SELECT DISTINCT g.name, f.id, f.size_b
        FROM archivefile f JOIN archivefilecopy c ON c.file_id = f.id JOIN storagenode n ON n.id = c.node_id
        JOIN storagegroup g ON g.id = n.group_id WHERE f.acq_id = ? AND c.has_file = 'Y'
    ) p GROUP BY p.name ORDER BY p.name
"""


def acqs(
    index: Index, *, nodes: Sequence[int] = (), groups: Sequence[int] = (), pattern: str = "*"
) -> Iterator[AcqRow]:
    """Yield all acquisitions, or those with files on any of some nodes or in any of some groups, counting only these
    files, each once.

    `nodes` or `groups`: ids; `pattern`: for the names, see `alpenhorn.scan.patterns`.
    """
    values: Sequence[int]
    named, bounds = patterns.condition("a.name", pattern)
    if nodes:
        sql, values = SOME.format(place=f"c.node_id IN ({marks(nodes)})", named=named), nodes
    elif groups:
        place = f"c.node_id IN (SELECT id FROM storagenode WHERE group_id IN ({marks(groups)}))"
        sql, values = SOME.format(place=place, named=named), groups
    else:
        yield from _every(index, pattern, named, bounds)
        return
    matches = patterns.matcher(pattern)
    for row in index.stream(AcqRow, sql, (*values, *bounds), bytes=whole):
        if row.name == pattern or matches(row.name):
            yield row


def _every(index: Index, pattern: str, named: str, bounds: tuple[str, ...]) -> Iterator[AcqRow]:
    matches = patterns.matcher(pattern)
    found = index.facts(NamedRow, NAMES.format(named=named), bounds)
    for some in chunks([row for row in found if row.name == pattern or matches(row.name)], AT_ONCE):
        ids = [row.id for row in some]
        files = {
            row.acq_id: row
            for row in index.facts(_Files, FILES.format(marks=marks(ids)), tuple(ids), bytes=whole)
        }
        for row in some:
            counted = files.get(row.id, _Files(row.id, 0, 0))
            yield AcqRow(row.name, counted.files, counted.bytes)


def total(index: Index, acq_id: int) -> tuple[int, int]:
    """Return number and total length of an acquisition's files."""
    files, bytes_ = index.execute(TOTAL, (acq_id,)).fetchone()
    return files, int(bytes_ or 0)


def comment(index: Index, acq_id: int) -> str | None:
    found: str | None = index.value("SELECT comment FROM archiveacq WHERE id = ?", (acq_id,))
    return found


def on_nodes(index: Index, acq_id: int) -> list[PlaceRow]:
    return index.facts(PlaceRow, BY_NODE, (acq_id,), bytes=whole)


def in_groups(index: Index, acq_id: int) -> list[PlaceRow]:
    return index.facts(PlaceRow, BY_GROUP, (acq_id,), bytes=whole)
