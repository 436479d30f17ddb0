"""The storage class Transport: groups of media that are carried between hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alpenhorn.io.base import Group, Refusal, Room, StorageClass
from alpenhorn.model.nodes import GroupFact, NodeFact
from alpenhorn.model.pulls import PullFact
from alpenhorn.reasons import Code, Reason, about, code_of, quoted


class TransportGroup(Group):
    """A group of any number of disks, filled one after the other with files of this host's other nodes.

    A file goes to the disk with the least room that still holds it, so that few disks are started and full
    ones can be carried away.  Archive nodes are not used: copies on a disk in transit are not archived.
    """

    travels = True
    known = frozenset()

    def __init__(self, group: GroupFact, nodes: Sequence[NodeFact], settings: Mapping[str, Any]) -> None:
        super().__init__(group, [node for node in nodes if not node.archive], settings)
        self._names = {node.id: node.name for node in self.nodes}
        self._hosts = {node.host for node in nodes}
        self.warnings = tuple(
            f"archive node {node.name} receives no files: its group {group.name} is a Transport group"
            f" (alpenhorn node modify {quoted(node.name)} --no-archive)"
            for node in nodes
            if node.archive
        )

    def refuses(self, source: NodeFact) -> Refusal | None:
        if source.host in self._hosts:
            return None
        why = Code.GROUP_TAKES_OWN_HOST_ONLY(
            group=self.group.name, node=source.name, host=source.host or "no host"
        )
        return Refusal(why, waits=True)

    def choose(self, pull: PullFact, room: Room) -> int | Refusal:
        size_b = pull.size_b or 0
        obstacles = {node.id: room.obstacle(node.id, size_b) for node in self.nodes}
        fitting = [node_id for node_id, why in obstacles.items() if not why]
        if fitting:
            return min(
                fitting, key=lambda node_id: (_last_if_unknown(room.left_b(node_id)), self._names[node_id])
            )
        return Refusal(self._none_takes([why for why in obstacles.values() if why]))

    def _none_takes(self, obstacles: Sequence[Reason]) -> Reason:
        if not obstacles:
            return Code.GROUP_WITHOUT_DISK(group=self.group.name)
        codes = {code_of(why) for why in obstacles}
        code = codes.pop() if len(codes) == 1 else Code.NO_NODE_TAKES_FILE
        return Reason("; ".join(obstacles), code, ", ".join(about(why) for why in obstacles))


def _last_if_unknown(left_b: int | None) -> float:
    return float("inf") if left_b is None else left_b


TRANSPORT = StorageClass(node=None, group=TransportGroup, remote=None)
