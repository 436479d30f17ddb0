"""What still fits on a node: free space less everything that is planned or being written there."""

from __future__ import annotations

import math
from collections.abc import Callable

from alpenhorn.model.nodes import GIB, NodeFact
from alpenhorn.reasons import Code


class _Room:
    """`floor_b`: free bytes that must be left; `total_b`: length of the files that the index has on the node;
    `limit_b`: of `total_b`."""

    def __init__(
        self,
        free_b: int | None,
        floor_b: float,
        total_b: int,
        limit_b: float | None,
        reserve: Callable[[int], int],
        reserved_b: int,
    ) -> None:
        self.free_b = free_b
        self.floor_b = floor_b
        self.total_b = total_b
        self.limit_b = limit_b
        self.reserve = reserve
        self.reserved_b = reserved_b
        self.coming_b = 0


class Space:
    """Reservations for a run's nodes.

    `free_b` is what was free when the node was probed, so what was written since is subtracted here.  Free
    space that is not known is not free.
    """

    def __init__(self) -> None:
        self._rooms: dict[int, _Room] = {}

    def open(
        self, node: NodeFact, free_b: int | None, total_b: int, claimed_b: int, reserve: Callable[[int], int]
    ) -> None:
        """Begin to keep account of a node.

        `total_b`: length of all files that the index has there; `claimed_b`: what other runs have reserved
        there; `reserve`: from a file's length to the bytes to set aside for it.
        """
        limit = None if node.max_total_gb is None else node.max_total_gb * GIB
        self._rooms[node.id] = _Room(free_b, node.min_avail_gb * GIB, total_b, limit, reserve, claimed_b)

    def obstacle(self, node_id: int, size_b: int) -> Code | None:
        """Why a file of that length does not fit; None when it does."""
        room = self._rooms[node_id]
        if room.limit_b is not None and room.total_b + room.coming_b + size_b > room.limit_b:
            return Code.DESTINATION_ABOVE_MAX_TOTAL
        # A storage class that sets nothing aside takes everything; an empty file does not tell.
        if room.reserve(1) == 0:
            return None
        if room.free_b is None:
            return Code.DESTINATION_SPACE_UNKNOWN
        # Not the other way round: no number is less than a limit that is none (NaN).
        if room.free_b - room.reserved_b - room.reserve(size_b) >= room.floor_b:
            return None
        return Code.DESTINATION_BELOW_MIN_AVAIL if room.floor_b else Code.DESTINATION_FULL

    def left_b(self, node_id: int) -> int | None:
        """Bytes that may still come, by whichever of the limits is the nearer; None when that is not known."""
        room = self._rooms[node_id]
        if room.free_b is None:
            return None
        left = room.free_b - room.reserved_b - room.floor_b
        if room.limit_b is not None:
            left = min(left, room.limit_b - room.total_b - room.coming_b)
        return int(left) if math.isfinite(left) else None

    def reserve(self, node_id: int, size_b: int) -> int:
        """Set room aside for a file; returns the bytes reserved."""
        room = self._rooms[node_id]
        need = room.reserve(size_b)
        room.reserved_b += need
        room.coming_b += size_b
        return need

    def settle(self, node_id: int, size_b: int, used_b: int | None) -> None:
        """A reserved file has come (`used_b`: the space it took) or will not come now (None)."""
        room = self._rooms[node_id]
        room.reserved_b -= room.reserve(size_b)
        room.coming_b -= size_b
        if used_b is not None:
            room.total_b += size_b
            if room.free_b is not None:
                room.free_b -= used_b
