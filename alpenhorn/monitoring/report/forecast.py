"""When a node will be full, from its room and its growth."""

from __future__ import annotations

from datetime import datetime, timedelta

from alpenhorn.listings.storage import NodeRow
from alpenhorn.model.nodes import GIB

LEAST = timedelta(days=1)  # the shortest time from which growth is computed
FARTHEST = timedelta(days=3650)


def room(node: NodeRow, good_bytes: int) -> float | None:
    """Return the bytes that the node still takes; None if unknown.

    These are what is left of its max_total_gb, and its free space last seen without its min_avail_gb, whichever is
    less.
    """
    limits = []
    if node.max_total_gb:
        limits.append(node.max_total_gb * GIB - good_bytes)
    if node.avail_gb is not None:
        limits.append((node.avail_gb - max(node.min_avail_gb, 0)) * GIB)
    return max(0.0, min(limits)) if limits else None


def per_day(grown_b: int, measured: timedelta) -> float | None:
    """Return the growth in bytes a day; None if `measured` is too short to say."""
    return None if measured < LEAST else grown_b / (measured / timedelta(days=1))


def full_on(room_b: float | None, growth: float | None, now: datetime) -> datetime | None:
    """Return when the room is used up; None if that is unknown, or later than `FARTHEST`, or never.

    `growth`: in bytes a day.
    """
    if room_b is None:
        return None
    if room_b == 0:
        return now
    if growth is None or growth <= 0 or room_b / growth > FARTHEST.days:
        return None
    return now + timedelta(days=room_b / growth)
