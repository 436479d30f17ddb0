"""The room on nodes, as a group queries it, with given answers."""

from __future__ import annotations


class Room:
    """Bytes left on each node; None: unknown, and everything fits."""

    def __init__(self, **left_b: int | None) -> None:
        self.left = {int(node.removeprefix("node")): bytes_ for node, bytes_ in left_b.items()}

    def obstacle(self, node_id: int, size_b: int) -> str:
        left = self.left[node_id]
        return "" if left is None or size_b <= left else f"no room on node{node_id}"

    def left_b(self, node_id: int) -> int | None:
        return self.left[node_id]
