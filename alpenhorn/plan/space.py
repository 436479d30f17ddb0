"""Account of free space: what fits on a node beside what is planned or being written."""

from __future__ import annotations

import math
from collections.abc import Callable

from alpenhorn.model.nodes import GIB, NodeFact
from alpenhorn.reasons import Code


class _Room:
    """The account of one node.

    `floor_b`: bytes that must stay free; `total_b`: length of the files that the index has on the node; `limit_b`: the
    limit of `total_b`.
    """

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
    """Reservations on a run's nodes.

    `free_b` is the free space when the node was probed, so what was written since is subtracted here.  Unknown space is
    not used.
    """

    def __init__(self) -> None:
        self._rooms: dict[int, _Room] = {}

    def open(
        self, node: NodeFact, free_b: int | None, total_b: int, claimed_b: int, reserve: Callable[[int], int]
    ) -> None:
        """Begin the account of a node.

        `total_b`: length of all files that the index has there; `claimed_b`: bytes reserved by other runs; `reserve`:
        returns the bytes to reserve for a file of a length.
        """
        limit = None if node.max_total_gb is None else node.max_total_gb * GIB
        self._rooms[node.id] = _Room(free_b, node.min_avail_gb * GIB, total_b, limit, reserve, claimed_b)

    def obstacle(self, node_id: int, size_b: int) -> Code | None:
        """Return why a file of that length does not fit, None if it does."""
        room = self._rooms[node_id]
        if room.limit_b is not None and room.total_b + room.coming_b + size_b > room.limit_b:
            return Code.DESTINATION_ABOVE_MAX_TOTAL
        # A storage class that reserves nothing takes every file; ask for one byte, since an empty file needs none.
        if room.reserve(1) == 0:
            return None
        if room.free_b is None:
            return Code.DESTINATION_SPACE_UNKNOWN
        # With a limit of NaN nothing must be pulled, and every comparison with it is false.
        if room.free_b - room.reserved_b - room.reserve(size_b) >= room.floor_b:
            return None
        return Code.DESTINATION_BELOW_MIN_AVAIL if room.floor_b else Code.DESTINATION_FULL

    def left_b(self, node_id: int) -> int | None:
        """Return the bytes that still fit by the nearest limit, None if unknown."""
        room = self._rooms[node_id]
        if room.free_b is None:
            return None
        left = room.free_b - room.reserved_b - room.floor_b
        if room.limit_b is not None:
            left = min(left, room.limit_b - room.total_b - room.coming_b)
        return int(left) if math.isfinite(left) else None

    def reserve(self, node_id: int, size_b: int) -> int:
        """Reserve room for a file; return the bytes reserved."""
        room = self._rooms[node_id]
        need = room.reserve(size_b)
        room.reserved_b += need
        room.coming_b += size_b
        return need

    def settle(self, node_id: int, size_b: int, used_b: int | None) -> None:
        """Release the reservation of a file.  `used_b`: the space it took, None if it was not written."""
        room = self._rooms[node_id]
        room.reserved_b -= room.reserve(size_b)
        room.coming_b -= size_b
        if used_b is not None:
            room.total_b += size_b
            if room.free_b is not None:
                room.free_b -= used_b
