"""The edges of replication by rule, and the copies that they concern: autosync requests a node's copies into a
group, autoclean releases those that the group has.

As conditions that count and act in the database, so that a million copies take a handful of statements.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.index.selections import SelectionPart, Total, limited, total
from alpenhorn.scan.files_to_request import RequestSelection, new_requests


class Action(StrEnum):
    """What an edge does; also the name of its column."""

    AUTOSYNC = "autosync"
    AUTOCLEAN = "autoclean"


class Edge(NamedTuple):
    """From a node into a group that the node is not in."""

    node_id: int
    node: str
    group_id: int
    group: str
    autosync: bool
    autoclean: bool


class MissedAction(NamedTuple):
    """What an edge should have done and has not: the copies of `parts`."""

    edge: Edge
    action: Action
    parts: list[SelectionPart]
    total: Total


# The joins leave out edges whose node or group is gone, the first condition those into a node's own group.
EDGES = """
    SELECT t.node_from_id AS node_id__node_from_id, n.name AS node__name, t.group_to_id AS group_id__group_to_id,
           g.name AS group__name, t.autosync, t.autoclean
    FROM storagetransferaction t JOIN storagenode n ON n.id = t.node_from_id
    JOIN storagegroup g ON g.id = t.group_to_id
    WHERE n.group_id <> t.group_to_id AND (t.autosync <> 0 OR t.autoclean <> 0) {and_where}
    ORDER BY n.name, g.name
"""
# A copy in the group that is wanted gone itself is no reason to let another one go.  With a list of files
# {own} is a +, which keeps SQLite from going through all copies on the node for each part of the list.
HELD_BY_GROUP = """
    FROM archivefilecopy c JOIN archivefile f ON f.id = c.file_id
    WHERE {own}c.node_id = ? {has} AND c.wants_file <> 'N'
      AND EXISTS (SELECT 1 FROM archivefilecopy d
                  WHERE d.file_id = c.file_id AND d.has_file = 'Y' AND d.wants_file <> 'N'
                    AND d.node_id IN (SELECT id FROM storagenode WHERE group_id = ?))
"""


def edges(index: Index) -> list[Edge]:
    """All edges that do something."""
    return _edges(index, "", ())


def edges_at(index: Index, node_id: int, group_id: int) -> list[Edge]:
    """Those from the node and those into the group."""
    return _edges(index, "AND (t.node_from_id = ? OR t.group_to_id = ?)", (node_id, group_id))


def _edges(index: Index, and_where: str, values: tuple[int, ...]) -> list[Edge]:
    return index.facts(Edge, EDGES.format(and_where=and_where), values, autosync=bool, autoclean=bool)


def unrequested(node_id: int, group_id: int, files: Sequence[int] | None = None) -> list[SelectionPart]:
    """For autosync: the wanted good copies on the node that the group has not, and that nobody requested there.

    `files`: only those.
    """
    parts = new_requests(RequestSelection(node_id, group_id, files=files))
    return [SelectionPart(f"{part.sql} AND c.wants_file <> 'N'", part.values) for part in parts]


def unreleased(node_id: int, group_id: int) -> list[SelectionPart]:
    """For autoclean: the good copies on the node that nobody released and that the group has and keeps."""
    return [SelectionPart(HELD_BY_GROUP.format(own="", has="AND c.has_file = 'Y'"), (node_id, group_id))]


def held_by_group(node_id: int, group_id: int, files: Sequence[int]) -> list[SelectionPart]:
    """The same, in whatever state the node's copy is, of those files."""
    base = SelectionPart(HELD_BY_GROUP.format(own="+", has=""), (node_id, group_id))
    return limited(base, (), files, "c.file_id")


def owed(index: Index) -> list[MissedAction]:
    """What all edges should have done and have not; requests before releases, since a released copy is not
    requested."""
    found = edges(index)
    wanted = [
        *(
            (edge, Action.AUTOSYNC, unrequested(edge.node_id, edge.group_id))
            for edge in found
            if edge.autosync
        ),
        *(
            (edge, Action.AUTOCLEAN, unreleased(edge.node_id, edge.group_id))
            for edge in found
            if edge.autoclean
        ),
    ]
    counted = [MissedAction(edge, action, parts, total(index, parts)) for edge, action, parts in wanted]
    return [one for one in counted if one.total.files]
