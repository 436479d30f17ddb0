"""Whether there is any work of a kind, asked before what does it is even imported: most runs find none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from alpenhorn.index.bulk import chunks, marks
from alpenhorn.index.connection import Index
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.tasks import Kind

IMPORTS = "SELECT 1 FROM archivefileimportrequest WHERE node_id IN ({marks}) AND completed = 0 LIMIT 1"
SUSPECT = "SELECT 1 FROM archivefilecopy WHERE node_id IN ({marks}) AND has_file = 'M' LIMIT 1"
RELEASED = """
    SELECT 1 FROM archivefilecopy
    WHERE node_id IN ({marks}) AND has_file IN ('Y', 'M', 'X') AND wants_file = 'N' LIMIT 1
"""
REQUESTS = """
    SELECT 1 FROM archivefilecopyrequest
    WHERE group_to_id IN ({marks}) AND completed = 0 AND cancelled = 0 LIMIT 1
"""


def kinds(index: Index, nodes: Sequence[NodeFact], groups: Iterable[int]) -> set[Kind]:
    """The kinds of work that there may be on those nodes and into those groups."""
    ids = [node.id for node in nodes]
    found = set()
    if any(node.auto_import for node in nodes) or _any(index, IMPORTS, ids):
        found.add(Kind.IMPORT)
    if any(node.auto_verify > 0 for node in nodes) or _any(index, SUSPECT, ids):
        found.add(Kind.CHECK)
    # A node may lack room that is to be made.
    if any(node.min_avail_gb and not node.archive for node in nodes) or _any(index, RELEASED, ids):
        found.add(Kind.DELETE)
    if _any(index, REQUESTS, list(groups)):
        found.add(Kind.PULL)
    return found


def _any(index: Index, sql: str, ids: Sequence[int]) -> bool:
    for some in chunks(ids):
        values: tuple[Any, ...] = tuple(some)
        if index.execute(sql.format(marks=marks(some)), values).fetchone() is not None:
            return True
    return False
