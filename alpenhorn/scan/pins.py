"""Pins: files whose copies must not be deleted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from alpenhorn.index.bulk import in_chunks
from alpenhorn.index.connection import Index
from alpenhorn.index.times import known_moment, moment

EVERY_NODE = 0  # node id of a pin for all nodes
IN_FORCE = "(p.until IS NULL OR p.until > ?)"  # value: the time of the index's server


class PinRow(NamedTuple):
    """A pin.  `node` None: on every node.  `until` None: for good.  Times are naive UTC."""

    node: str | None
    reason: str | None
    pinned: datetime
    until: datetime | None


def pinned(
    index: Index, node_id: int, file_ids: Sequence[int], now: datetime | None = None
) -> dict[int, str]:
    """Return the files whose copy on the node is pinned now, each with a description of the pin.

    `now`: the time of the index's server, if known.
    """
    now = index.now() if now is None else now
    found: dict[int, str] = {}
    for marks, some in in_chunks(file_ids):
        # The pin that lasts longest comes last, and replaces the others.
        rows = index.execute(
            f"SELECT p.file_id, p.reason, p.until FROM sync_pin p WHERE p.file_id IN ({marks})"
            f" AND p.node_id IN ({EVERY_NODE}, ?) AND {IN_FORCE} ORDER BY p.until IS NULL, p.until",
            (*some, node_id, now),
        )
        for file_id, reason, until in rows:
            found[file_id] = words(reason, moment(until))
    return found


def words(reason: str | None, until: datetime | None) -> str:
    """Describe a pin, such as `pinned until 2026-11-22 11:20:03 UTC: wanted for the flux paper`."""
    lasts = "" if until is None else f" until {until.isoformat(' ', 'seconds')} UTC"
    return f"pinned{lasts}" + (f": {reason}" if reason else "")


def of_file(index: Index, file_id: int) -> list[PinRow]:
    """Return the current pins of a file, the one for every node first."""
    rows = index.execute(
        "SELECT n.name, p.node_id, p.reason, p.pinned, p.until FROM sync_pin p"
        f" LEFT JOIN storagenode n ON n.id = p.node_id WHERE p.file_id = ? AND {IN_FORCE}"
        " ORDER BY p.node_id <> 0, n.name",
        (file_id, index.now()),
    )
    return [
        PinRow(
            None if node_id == EVERY_NODE else name or "(gone)",
            reason,
            known_moment(pinned_at),
            moment(until),
        )
        for name, node_id, reason, pinned_at, until in rows
    ]
