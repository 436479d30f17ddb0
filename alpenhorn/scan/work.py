"""Quick checks whether there may be work of a kind.

Runs call them before importing the code for the work, since most runs have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from alpenhorn.index.bulk import chunks, marks
from alpenhorn.index.connection import Index
from alpenhorn.model.nodes import NodeFact

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


# In the form that both engines answer from the index.
UNDELETED = "SELECT 1 FROM sync_trash WHERE node_id IN ({marks}) AND asked IS NOT NULL LIMIT 1"


class Place(NamedTuple):
    """The nodes, and ids of groups, to search for work.

    `tape`: whether any of the nodes has tape behind it.  `trashed`: whether there is anything in the trash of any;
    `keeps_trash`: whether deleted files are moved there.
    """

    nodes: Sequence[NodeFact]
    groups: Sequence[int]
    tape: bool
    trashed: bool = False
    keeps_trash: bool = False

    @property
    def node_ids(self) -> list[int]:
        return [node.id for node in self.nodes]


def import_requests(index: Index, node_ids: Sequence[int]) -> bool:
    """Return whether there are pending requests to import from the nodes, or to initialise them."""
    return _any(index, IMPORTS, node_ids)


def imports(index: Index, place: Place) -> bool:
    return any(node.auto_import for node in place.nodes) or import_requests(index, place.node_ids)


def tape(index: Index, place: Place) -> bool:
    return place.tape


def deletions(index: Index, place: Place) -> bool:
    # A node may lack free space, so that removable copies have to be deleted.
    to_make_room = any(node.min_avail_gb and not node.archive for node in place.nodes)
    return to_make_room or _any(index, RELEASED, place.node_ids)


def checks(index: Index, place: Place) -> bool:
    # Copies may have been restored from tape for a check.
    turns = any(node.auto_verify > 0 for node in place.nodes)
    return place.tape or turns or _any(index, SUSPECT, place.node_ids)


def pulls(index: Index, place: Place) -> bool:
    return _any(index, REQUESTS, place.groups)


def trash(index: Index, place: Place) -> bool:
    return place.trashed or (place.keeps_trash and _any(index, UNDELETED, place.node_ids))


def any_policy(index: Index) -> bool:
    return index.value("SELECT 1 FROM sync_policy LIMIT 1") is not None


def _any(index: Index, sql: str, ids: Sequence[int]) -> bool:
    for some in chunks(ids):
        values: tuple[Any, ...] = tuple(some)
        if index.execute(sql.format(marks=marks(some)), values).fetchone() is not None:
            return True
    return False
