"""The files of one acquisition, in the order of their names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.listings.files import GROUP_RANK
from alpenhorn.listings.states import RANKS, group_word, word
from alpenhorn.scan.values import stream


class AcqFile(NamedTuple):
    """`state`: the word for the copy on a node, or for the best one in a group; empty when none was asked for."""

    name: str
    size_b: int | None
    md5sum: str | None
    state: str = ""


FILES = """
    SELECT f.name, f.size_b, f.md5sum{details} FROM archivefile f{join} WHERE f.acq_id = ? ORDER BY f.name
"""
ON_NODE = " JOIN archivefilecopy c ON c.file_id = f.id AND c.node_id = ?"
REMOVED = RANKS.index("N") + 1


def files(index: Index, acq_id: int) -> Iterator[AcqFile]:
    for row in stream(index, FILES.format(details="", join=""), (acq_id,)):
        yield AcqFile(*row)


def on_node(index: Index, acq_id: int, node_id: int, removed: bool = False) -> Iterator[AcqFile]:
    """Those that are on the node, may be, or are missing there; with `removed` also those that were removed."""
    sql = FILES.format(details=", c.has_file, c.wants_file", join=ON_NODE)
    for name, size_b, md5sum, has, wants in stream(index, sql, (node_id, acq_id)):
        if removed or has != "N" or wants == "Y":
            yield AcqFile(name, size_b, md5sum, word(has, wants))


def in_group(index: Index, acq_id: int, group_id: int, removed: bool = False) -> Iterator[AcqFile]:
    """The same of a group, by the best of its copies."""
    for name, size_b, md5sum, rank in stream(
        index, FILES.format(details=GROUP_RANK, join=""), (group_id, acq_id)
    ):
        if rank is not None and (removed or rank != REMOVED):
            yield AcqFile(name, size_b, md5sum, group_word(rank))
