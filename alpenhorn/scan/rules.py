"""Rules, and the copies that they apply to, as SQL conditions: a million copies take a few statements.

Autosync requests a node's copies into a group; autoclean releases a node's copies that the group has.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.index.selections import SelectionPart, Total, limited, total
from alpenhorn.scan.files_to_request import RequestSelection, new_requests


class Action(StrEnum):
    """The action of a rule; also the name of its column."""

    AUTOSYNC = "autosync"
    AUTOCLEAN = "autoclean"


class Rule(NamedTuple):
    """A rule: from a node to a group that the node is not in."""

    node_id: int
    node: str
    group_id: int
    group: str
    autosync: bool
    autoclean: bool


class MissedAction(NamedTuple):
    """An action that a rule should have carried out on the copies of `parts`, and has not."""

    rule: Rule
    action: Action
    parts: list[SelectionPart]
    total: Total


# The joins leave out rules whose node or group was removed; the first condition, rules to a node's own group.
RULES = """
    SELECT t.node_from_id AS node_id__node_from_id, n.name AS node__name, t.group_to_id AS group_id__group_to_id,
           g.name AS group__name, t.autosync, t.autoclean
    FROM storagetransferaction t JOIN storagenode n ON n.id = t.node_from_id
    JOIN storagegroup g ON g.id = t.group_to_id
    WHERE n.group_id <> t.group_to_id AND (t.autosync <> 0 OR t.autoclean <> 0) {and_where}
    ORDER BY n.name, g.name
"""
# A released copy in the group is no reason to release another one.  With a list of files {own} is a +, which prevents
# SQLite from scanning all copies on the node for each part of the list.
HELD_BY_GROUP = """
    FROM archivefilecopy c JOIN archivefile f ON f.id = c.file_id
    WHERE {own}c.node_id = ? {has} AND c.wants_file <> 'N'
      AND EXISTS (SELECT 1 FROM archivefilecopy d
                  WHERE d.file_id = c.file_id AND d.has_file = 'Y' AND d.wants_file <> 'N'
                    AND d.node_id IN (SELECT id FROM storagenode WHERE group_id = ?))
"""


def rules(index: Index) -> list[Rule]:
    """Return all rules with an action."""
    return _rules(index, "", ())


def rules_at(index: Index, node_id: int, group_id: int) -> list[Rule]:
    """Return the rules from the node, and the rules to the group."""
    return _rules(index, "AND (t.node_from_id = ? OR t.group_to_id = ?)", (node_id, group_id))


def _rules(index: Index, and_where: str, values: tuple[int, ...]) -> list[Rule]:
    return index.facts(Rule, RULES.format(and_where=and_where), values, autosync=bool, autoclean=bool)


def unrequested(node_id: int, group_id: int, files: Sequence[int] | None = None) -> list[SelectionPart]:
    """Select, for autosync, the wanted good copies on the node that the group lacks and that are not requested there.

    `files`: only these.
    """
    parts = new_requests(RequestSelection(node_id, group_id, files=files, any_source=True))
    return [SelectionPart(f"{part.sql} AND c.wants_file <> 'N'", part.values) for part in parts]


def unreleased(node_id: int, group_id: int) -> list[SelectionPart]:
    """Select, for autoclean, the good copies on the node that are not released, and that the group has and keeps."""
    return [SelectionPart(HELD_BY_GROUP.format(own="", has="AND c.has_file = 'Y'"), (node_id, group_id))]


def held_by_group(node_id: int, group_id: int, files: Sequence[int]) -> list[SelectionPart]:
    """Select, for autoclean, the copies of files as `unreleased` does, but with the node's copy in any state."""
    base = SelectionPart(HELD_BY_GROUP.format(own="+", has=""), (node_id, group_id))
    return limited(base, (), files, "c.file_id")


def missed_actions(index: Index) -> list[MissedAction]:
    """Return the missed actions of all rules; requests first, since released copies are not requested."""
    found = rules(index)
    wanted = [
        *(
            (rule, Action.AUTOSYNC, unrequested(rule.node_id, rule.group_id))
            for rule in found
            if rule.autosync
        ),
        *(
            (rule, Action.AUTOCLEAN, unreleased(rule.node_id, rule.group_id))
            for rule in found
            if rule.autoclean
        ),
    ]
    counted = [MissedAction(rule, action, parts, total(index, parts)) for rule, action, parts in wanted]
    return [one for one in counted if one.total.files]
