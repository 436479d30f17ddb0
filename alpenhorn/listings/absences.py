"""Nodes whose disks may be away for some days (`--absent-ok`), and since when they are."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from alpenhorn.index.connection import Index
from alpenhorn.index.times import moment
from alpenhorn.reasons import Code

# Why a node whose disk is elsewhere cannot be used; another disk may be mounted in its place.
ABSENT = frozenset({Code.ROOT_ABSENT, Code.ROOT_NOT_MARKED, Code.ROOT_NOT_MOUNTED, Code.ROOT_OF_OTHER_NODE})

AWAY = """
    SELECT s.node_id, s.absent_ok, n.active, m.seen, m.wrong, m.code
    FROM sync_node s JOIN storagenode n ON n.id = s.node_id JOIN sync_medium m ON m.node_id = s.node_id
    WHERE s.absent_ok > 0
"""


class Absence(NamedTuple):
    """A node that may be away for `days`, and is away since `since`, when a run last found it right."""

    days: int
    since: datetime

    def is_over(self, now: datetime) -> bool:
        """Return whether the node should have come back."""
        return now - self.since > timedelta(days=self.days)


class _Row(NamedTuple):
    node_id: int
    absent_ok: int
    active: bool
    seen: datetime | None
    wrong: datetime | None
    code: str | None


def load(index: Index) -> dict[int, Absence]:
    """Return the nodes that are away and may be, by id: inactive, or active and not found at their roots.

    The table sync_node has a row for each node at most, and is read completely.
    """
    found = {}
    for row in index.facts(_Row, AWAY, active=bool, seen=moment, wrong=moment):
        since = row.seen or row.wrong
        if since is not None and (not row.active or (row.wrong is not None and row.code in ABSENT)):
            found[row.node_id] = Absence(row.absent_ok, since)
    return found
