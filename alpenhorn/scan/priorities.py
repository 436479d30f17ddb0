"""Priorities of pending requests.

A request without a row in `sync_priority` has priority 0.  The requests of a group are read level by level, that is, by
priority, the most urgent first, and in the order of their ids within a level.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from alpenhorn.index.connection import Index

CHANGED = "priorities"  # the name of the value that is new after each change of a priority


class PriorityLevel(NamedTuple):
    """The pending requests of a group with a priority; `mixed`: it may have requests with other ones, too."""

    priority: int = 0
    mixed: bool = False


PLAIN = PriorityLevel()


def last_change(index: Index) -> str | None:
    """Return a word that is new after each change of a priority; None: no request has ever had one."""
    found: str | None = index.value("SELECT value FROM sync_index WHERE name = ?", (CHANGED,))
    return found


def turns(index: Index, group_ids: Iterable[int], changed: str | None) -> list[tuple[int, PriorityLevel]]:
    """Return (group id, level) in the order in which a run plans requests into groups.

    `changed`: as `last_change` returns it.
    """
    if changed is None:
        return [(group_id, PLAIN) for group_id in sorted(group_ids)]
    found = [(group_id, level) for group_id in group_ids for level in _levels(index, group_id)]
    return sorted(found, key=lambda turn: (-turn[1].priority, turn[0]))


def _levels(index: Index, group_id: int) -> list[PriorityLevel]:
    known = index.values("SELECT DISTINCT priority FROM sync_priority WHERE group_id = ?", (group_id,))
    return [PriorityLevel(priority, True) for priority in {*known, 0}] if known else [PLAIN]
