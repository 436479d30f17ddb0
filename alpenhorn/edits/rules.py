"""The edges of replication by rule: set, cleared, and made up for."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import NamedTuple

from alpenhorn.edits import clean as edit_clean
from alpenhorn.edits import requests as edit_requests
from alpenhorn.errors import NotFound, Refused
from alpenhorn.index.connection import Index
from alpenhorn.scan.copies_to_release import ReleaseSelection
from alpenhorn.scan.rules import Action, MissedAction


class _Node(NamedTuple):
    name: str
    group_id: int


def set_flag(index: Index, node_id: int, group_id: int, action: Action, on: bool) -> bool:
    """Set or clear one flag of the edge from a node into a group; return whether it was otherwise.

    The other flag stays as it is.  A row stays when neither flag is left, since another program may have made
    it.  Raises Refused for an edge into the node's own group, NotFound when node or group is gone.
    """

    def work() -> bool:
        node = index.fact(_Node, "SELECT name, group_id FROM storagenode WHERE id = ?", (node_id,))
        group = index.value("SELECT name FROM storagegroup WHERE id = ?", (group_id,))
        if node is None or group is None:
            raise NotFound(f"the {'group' if node else 'node'} was removed meanwhile; nothing was changed")
        if on and node.group_id == group_id:
            raise Refused(
                f"node {node.name} is itself in group {group}, and the rules ignore an edge from a node to its own"
                " group; nothing was changed; name another group"
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


def make_up(index: Index, owed: Sequence[MissedAction], now: datetime.datetime) -> dict[Action, int]:
    """File the requests and release the copies that edges owe, each edge in a transaction; return how many."""
    done = dict.fromkeys(Action, 0)
    for one in owed:
        if one.action is Action.AUTOSYNC:
            created = edit_requests.create(index, one.parts, one.edge.node_id, one.edge.group_id, now)
            done[Action.AUTOSYNC] += created
        else:
            done[Action.AUTOCLEAN] += edit_clean.release(
                index, one.parts, ReleaseSelection(one.edge.node_id, at_once=True), now
            )
    return done
