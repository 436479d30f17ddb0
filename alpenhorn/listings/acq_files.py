"""The files of one acquisition, in the order of their names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from alpenhorn.index.bulk import at_most
from alpenhorn.index.connection import Index
from alpenhorn.listings.files import GROUP_RANK
from alpenhorn.listings.states import RANKS, changed, group_word, word


class AcqFile(NamedTuple):
    """A file.  `state`: of its copy on a node, or of its best copy in a group; empty if neither was requested."""

    name: str
    size_b: int | None
    md5sum: str | None
    state: str = ""


class _OnNode(NamedTuple):
    name: str
    size_b: int | None
    md5sum: str | None
    has_file: str
    wants_file: str
    changed: int | None


class _InGroup(NamedTuple):
    name: str
    size_b: int | None
    md5sum: str | None
    best_rank: int | None


FILES = """
    SELECT f.name, f.size_b, f.md5sum{details} FROM archivefile f{join} WHERE f.acq_id = ? ORDER BY f.name
"""
ON_NODE = " JOIN archivefilecopy c ON c.file_id = f.id AND c.node_id = ?"
REMOVED = RANKS.index("N") + 1


def files(index: Index, acq_id: int, *, limit: int | None = None) -> Iterator[AcqFile]:
    """Yield all files, or the first ones."""
    yield from index.stream(AcqFile, FILES.format(details="", join="") + at_most(limit), (acq_id,))


def on_node(index: Index, acq_id: int, node_id: int, removed: bool = False) -> Iterator[AcqFile]:
    """Yield the files with a present, suspect or missing copy on the node; with `removed`, also with a removed one."""
    sql = FILES.format(details=f", c.has_file, c.wants_file, {changed('c')} AS changed", join=ON_NODE)
    for file in index.stream(_OnNode, sql, (node_id, acq_id)):
        if removed or file.has_file != "N" or file.wants_file == "Y":
            state = word(file.has_file, file.wants_file, bool(file.changed))
            yield AcqFile(file.name, file.size_b, file.md5sum, state)


def in_group(index: Index, acq_id: int, group_id: int, removed: bool = False) -> Iterator[AcqFile]:
    """Yield the files in a group, as `on_node` does, with the state of the best copy."""
    for file in index.stream(_InGroup, FILES.format(details=GROUP_RANK, join=""), (group_id, acq_id)):
        if file.best_rank is not None and (removed or file.best_rank != REMOVED):
            yield AcqFile(file.name, file.size_b, file.md5sum, group_word(file.best_rank))
