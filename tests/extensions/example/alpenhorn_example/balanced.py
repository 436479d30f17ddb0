"""The storage class Balanced: several disks of one host that fill evenly, and of each a part that stays free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alpenhorn.io.base import Group, Refusal, Room, StorageClass, wrong_setting
from alpenhorn.io.default import DefaultNode
from alpenhorn.model.nodes import GroupFact, NodeFact
from alpenhorn.model.pulls import PullFact


class BalancedNode(DefaultNode):
    """As Default, but for `keep_free` bytes (required), which it never gives away."""

    def __init__(self, node: NodeFact, settings: Mapping[str, Any]) -> None:
        super().__init__(node, settings)
        keep_free = settings.get("keep_free")
        if type(keep_free) is not int or keep_free < 0:
            raise wrong_setting(f"node {node.name}", settings, "keep_free", "a whole number of bytes")
        self.keep_free: int = keep_free

    def free_bytes(self) -> int | None:
        there = super().free_bytes()
        return None if there is None else max(0, there - self.keep_free)


class BalancedGroup(Group):
    """The node with the most room takes a file.  Setting: `largest`, bytes, above which it takes none."""

    @classmethod
    def check_settings(cls, group: GroupFact, settings: Mapping[str, Any]) -> None:
        if type(settings.get("largest", 0)) is not int:
            raise wrong_setting(f"group {group.name}", settings, "largest", "a whole number of bytes")

    def choose(self, pull: PullFact, room: Room) -> int | Refusal:
        size_b = pull.size_b or 0
        largest = self.settings.get("largest")
        if largest is not None and size_b > largest:
            return Refusal(f"it is larger than group {self.group.name} takes")
        obstacles = {node.id: room.obstacle(node.id, size_b) for node in self.nodes}
        fitting = [node_id for node_id, why in obstacles.items() if not why]
        if not fitting:
            return Refusal("; ".join(obstacles.values()))
        return max(fitting, key=lambda node_id: (room.left_b(node_id) or 0, -node_id))


BALANCED = StorageClass(node=BalancedNode, group=BalancedGroup, remote=None)
