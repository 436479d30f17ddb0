"""Account of free space: what fits on a node beside what is planned or being written."""

from __future__ import annotations

import math
from collections.abc import Callable

from alpenhorn.model.nodes import GIB, NodeFact
from alpenhorn.reasons import Code


def below_min_avail_b(node: NodeFact, free_b: int | None) -> float:
    """Return the bytes that a node lacks to have min_avail_gb free; 0 if its free space is unknown."""
    if free_b is None:
        return 0.0
    # A limit of NaN must not delete anything, and every comparison with it is false.
    lack_b = node.min_avail_gb * GIB - free_b
    return lack_b if lack_b > 0 else 0.0


class _Room:
    """The account of one node.

    `floor_b`: bytes that must stay free; `total_b`: length of the files that the index has on the node; `limit_b`: the
    limit of `total_b`; `trash_b`: returns the bytes in its trash; `short_b`: bytes that requests lack.
    """

    def __init__(
        self,
        free_b: int | None,
        floor_b: float,
        total_b: int,
        limit_b: float | None,
        reserve: Callable[[int], int],
        reserved_b: int,
        trash_b: Callable[[], int] | None,
    ) -> None:
        self.free_b = free_b
        self.floor_b = floor_b
        self.total_b = total_b
        self.limit_b = limit_b
        self.reserve = reserve
        self.reserved_b = reserved_b
        self.coming_b = 0
        self.short_b = 0.0
        self._trash_b = trash_b
        self._known_trash_b: int | None = None

    @property
    def trash_b(self) -> int:
        """Bytes in the trash; they are added up when they are first needed."""
        if self._trash_b is None:
            return 0
        if self._known_trash_b is None:
            self._known_trash_b = self._trash_b()
        return self._known_trash_b


class Space:
    """Reservations on a run's nodes.

    `free_b` is the free space when the node was probed, so what was written since is subtracted here.  Unknown space is
    not used.

    Files in the trash of a node take space that is free once it is needed.  It must be freed before it is used, so a
    file that lacks it is refused, and the refusal noted (`refused`); `usable` counts it, and so does `obstacle` with
    `counts_trash`.
    """

    def __init__(self, counts_trash: bool = False) -> None:
        self._counts_trash = counts_trash
        self._rooms: dict[int, _Room] = {}
        self._lacking: dict[int, float] = {}

    def open(
        self,
        node: NodeFact,
        free_b: int | None,
        total_b: int,
        claimed_b: int,
        reserve: Callable[[int], int],
        trash_b: Callable[[], int] | None = None,
    ) -> None:
        """Begin the account of a node.

        `total_b`: length of all files that the index has there; `claimed_b`: bytes reserved by other runs; `reserve`:
        returns the bytes to reserve for a file of a length; `trash_b`: returns the bytes in its trash, or None.
        """
        limit = None if node.max_total_gb is None else node.max_total_gb * GIB
        self._rooms[node.id] = _Room(
            free_b, node.min_avail_gb * GIB, total_b, limit, reserve, claimed_b, trash_b
        )

    def obstacle(self, node_id: int, size_b: int) -> Code | None:
        """Return why a file of that length does not fit now, None if it does."""
        found, lacking_b = self._obstacle(self._rooms[node_id], size_b)
        if lacking_b and self._counts_trash and self.usable(node_id, size_b):
            return None
        if lacking_b:
            self._lacking[node_id] = lacking_b
        return found

    def usable(self, node_id: int, size_b: int) -> bool:
        """Return whether a file of that length fits, if need be once the trash was emptied."""
        room = self._rooms[node_id]
        found, lacking_b = self._obstacle(room, size_b)
        return found is None or 0 < lacking_b <= room.trash_b

    def decide(self) -> None:
        """Begin the decision about a file, for which `obstacle` is called."""
        self._lacking.clear()

    def refused(self) -> None:
        """Note that the file was refused; the first node with a trash should get room for it."""
        for node_id, lacking_b in self._lacking.items():
            room = self._rooms[node_id]
            if room.trash_b:
                room.short_b = min(room.short_b + lacking_b, room.trash_b)
                return

    def take_short(self, node_id: int) -> float:
        """Return the bytes that refused files lacked on a node since the last call, at most those in its trash."""
        room = self._rooms[node_id]
        short_b, room.short_b = room.short_b, 0.0
        return short_b

    def trash_b(self, node_id: int) -> int:
        """Return the bytes in the trash of a node."""
        return self._rooms[node_id].trash_b

    def _obstacle(self, room: _Room, size_b: int) -> tuple[Code | None, float]:
        """Return why a file does not fit, and the free bytes that it lacks."""
        if room.limit_b is not None and room.total_b + room.coming_b + size_b > room.limit_b:
            return Code.DESTINATION_ABOVE_MAX_TOTAL, 0.0
        # A storage class that reserves nothing takes every file; ask for one byte, since an empty file needs none.
        if room.reserve(1) == 0:
            return None, 0.0
        if room.free_b is None:
            return Code.DESTINATION_SPACE_UNKNOWN, 0.0
        # With a limit of NaN nothing must be pulled, and every comparison with it is false.
        left_b = room.free_b - room.reserved_b - room.reserve(size_b)
        if left_b >= room.floor_b:
            return None, 0.0
        lacking_b = room.floor_b - left_b if room.short_b == 0 else float(room.reserve(size_b))
        return Code.DESTINATION_BELOW_MIN_AVAIL if room.floor_b else Code.DESTINATION_FULL, lacking_b

    def left_b(self, node_id: int) -> int | None:
        """Return the bytes that still fit by the nearest limit, None if unknown."""
        return self._left_b(self._rooms[node_id], 0)

    def usable_b(self, node_id: int) -> int | None:
        """Return the same, with those in the trash."""
        room = self._rooms[node_id]
        return self._left_b(room, room.trash_b)

    def _left_b(self, room: _Room, trash_b: int) -> int | None:
        if room.free_b is None:
            return None
        left = room.free_b + trash_b - room.reserved_b - room.floor_b
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
