"""Changes of rules, and execution of missed actions."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import NamedTuple

from alpenhorn.edits import clean as edit_clean
from alpenhorn.edits import requests as edit_requests
from alpenhorn.errors import NotFound, Refused
from alpenhorn.index.connection import Index
from alpenhorn.index.selections import Progress, counted
from alpenhorn.scan.copies_to_release import ReleaseSelection
from alpenhorn.scan.rules import Action, MissedAction


class _Node(NamedTuple):
    name: str
    group_id: int


def set_flag(index: Index, node_id: int, group_id: int, action: Action, on: bool) -> bool:
    """Set or clear one action of the rule from a node to a group; return whether it changed.

    The other action is kept.  The row is kept even if both are cleared, since another program may have created it.
    Raises Refused for a rule to the node's own group, NotFound if the node or group was removed.
    """

    def work() -> bool:
        node = index.fact(_Node, "SELECT name, group_id FROM storagenode WHERE id = ?", (node_id,))
        group = index.value("SELECT name FROM storagegroup WHERE id = ?", (group_id,))
        if node is None or group is None:
            raise NotFound(
                f"the {'group' if node else 'node'} was removed in the meantime; nothing was changed"
            )
        if on and node.group_id == group_id:
            raise Refused(
                f"node {node.name} is in group {group}: a rule from a node to its own group has no effect; nothing was"
                " changed; name another group"
            )
        lock = index.dialect.for_update
        before = index.value(
            f"SELECT {action} FROM storagetransferaction WHERE node_from_id = ? AND group_to_id = ?{lock}",
            (node_id, group_id),
        )
        if bool(before) == on:
            return False
        flags = {flag: int(flag is action and on) for flag in Action}
        columns = ("node_from_id", "group_to_id", *flags)
        index.execute(
            index.upsert("storagetransferaction", columns, columns[:2], (action,)),
            (node_id, group_id, *flags.values()),
        )
        return True

    return index.retry(work)


def make_up(
    index: Index,
    missed: Sequence[MissedAction],
    now: datetime.datetime,
    progress: Progress = lambda done, of: None,
) -> dict[Action, int]:
    """Carry out missed actions in transactions of a bounded length; return the numbers of requests and releases."""
    done = dict.fromkeys(Action, 0)
    at, of = 0, sum(one.total.files for one in missed)
    for one in missed:
        for piece in counted(index, one.parts, "c.id", lambda part, parts: None).pieces:
            progress(min(at, of), of)
            at += piece.files
            if one.action is Action.AUTOSYNC:
                created = edit_requests.create(index, piece.parts, one.rule.node_id, one.rule.group_id, now)
                done[Action.AUTOSYNC] += created
            else:
                done[Action.AUTOCLEAN] += edit_clean.release(
                    index, piece.parts, ReleaseSelection(one.rule.node_id, at_once=True), now
                )
    return done
