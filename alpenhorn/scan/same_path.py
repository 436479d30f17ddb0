"""Files whose path is that of another row of the index as well.

Names of acquisitions may hold slashes, as those of files do, so file `b/c` of acquisition `a` and file `c` of
acquisition `a/b` lie at one path: two rows, of one file on the disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from alpenhorn.index.bulk import chunks, marks
from alpenhorn.index.connection import Index

ACQS = "SELECT id, name FROM archiveacq WHERE name IN ({marks})"
THERE = """
    SELECT f.name, c.node_id FROM archivefile f JOIN archivefilecopy c ON c.file_id = f.id AND c.node_id = ?
    WHERE f.acq_id = ? AND f.name IN ({marks}) AND +c.has_file <> 'N'
"""
IN_GROUP = """
    SELECT f.name, c.node_id FROM archivefile f JOIN archivefilecopy c ON c.file_id = f.id
    JOIN storagenode n ON n.id = c.node_id AND n.group_id = ?
    WHERE f.acq_id = ? AND f.name IN ({marks}) AND +c.has_file <> 'N'
"""


class _Other(NamedTuple):
    """A copy at the path of another file."""

    name: str
    node_id: int


def sharing(
    index: Index, node_id: int, files: Iterable[tuple[int, str | None, str | None]]
) -> dict[int, str]:
    """Of `files` (id, acquisition, name): file id to the acquisition of another file that is, or may be, on the node
    at the same path."""
    return {file_id: acq for file_id, acq, _ in _others(index, THERE, node_id, files)}


def sharing_in_group(
    index: Index, group_id: int, files: Iterable[tuple[int, str | None, str | None]]
) -> dict[int, list[tuple[int, str]]]:
    """As `sharing`, on any node of a group: file id to (node id, acquisition)."""
    found: dict[int, list[tuple[int, str]]] = {}
    for file_id, acq, other in _others(index, IN_GROUP, group_id, files):
        found.setdefault(file_id, []).append((other.node_id, acq))
    return found


def _others(
    index: Index, there: str, place: int, files: Iterable[tuple[int, str | None, str | None]]
) -> Iterator[tuple[int, str, _Other]]:
    """(file id, acquisition of the other one, its copy) for each file that lies at the path of one of `files`."""
    inside: dict[str, list[tuple[int, str, str]]] = {}  # directory: the files in it
    for file_id, acq, name in files:
        if acq is not None and name is not None:
            inside.setdefault(f"{acq}/{name}".rpartition("/")[0], []).append((file_id, acq, name))
    below: dict[str, list[str]] = {}  # what may be an acquisition's name: the directories below it
    for directory in inside:
        elements = directory.split("/")
        for number in range(1, len(elements) + 1):
            below.setdefault("/".join(elements[:number]), []).append(directory)
    for some in chunks(list(below)):
        for acq_id, acq in index.execute(ACQS.format(marks=marks(some)), some).fetchall():
            names = {
                f"{own}/{name}"[len(acq) + 1 :]: file_id
                for directory in below.get(acq, ())
                for file_id, own, name in inside[directory]
                if own != acq
            }
            for those in chunks(list(names)):
                sql = there.format(marks=marks(those))
                for other in index.facts(_Other, sql, (place, acq_id, *those)):
                    if other.name in names:
                        yield names[other.name], acq, other
