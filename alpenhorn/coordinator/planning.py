"""Construction of the objects that plan: storage groups, space, inodes, and the planner of pulls."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from alpenhorn.config import Config
from alpenhorn.coordinator.report import Report
from alpenhorn.errors import StorageError
from alpenhorn.extensions.guard import reserved
from alpenhorn.extensions.registry import group_io, remote_io
from alpenhorn.index.connection import Index
from alpenhorn.io.base import Group, Node, Remote, parse_settings
from alpenhorn.model.nodes import NodeFact, ProbeOutcome
from alpenhorn.plan.inodes import Inodes
from alpenhorn.plan.pulls import PullPlanner
from alpenhorn.plan.sources import Troubles
from alpenhorn.plan.space import Space
from alpenhorn.reasons import Code, about
from alpenhorn.scan.pulls import reserved_by_others
from alpenhorn.scan.tallies import stored_bytes
from alpenhorn.scan.topology import Topology

if TYPE_CHECKING:
    from alpenhorn.bwlimit import Rates


def group_ios(topology: Topology, nodes: Sequence[NodeFact], report: Report) -> dict[int, Group]:
    """Return the storage objects of the groups with the nodes that are not retired, since nothing is copied to the
    others; report groups with faults, and leave them out."""
    groups: dict[int, Group] = {}
    nodes = [node for node in nodes if not node.retired]
    for group_id in dict.fromkeys(node.group_id for node in nodes):
        group = topology.groups.get(group_id)
        if group is None:
            names = ", ".join(node.name for node in nodes if node.group_id == group_id)
            report.failures.lasting(Code.GROUP_NOT_IN_INDEX(node=names))
            continue
        try:
            groups[group_id] = group_io(group, [node for node in nodes if node.group_id == group_id])
        except StorageError as error:
            report.failures.lasting(error.reason, subject=about(error.reason, group.name))
            continue
        for warning in groups[group_id].warnings:
            report.warnings.lasting(Code.GROUP_SETTINGS_WARNING(detail=warning), subject=group.name)
    return groups


def open_space(
    index: Index,
    ios: Mapping[int, Node],
    free_b: Mapping[int, int | None],
    run_id: int,
    trashed: Container[int] = (),
    counts_trash: bool = False,
) -> Space:
    """Begin the account of space.  `trashed`: the nodes with anything in their trash; `counts_trash`: see Space."""
    space = Space(counts_trash)
    claimed = reserved_by_others(index, ios, run_id, index.now())
    for node_id, io in ios.items():
        # The sum reads every copy of a node, and is needed only for a limit.
        total = stored_bytes(index, node_id) if io.node.max_total_gb is not None else 0
        trash_b = partial(bytes_in_trash, index, node_id) if node_id in trashed else None
        space.open(io.node, free_b.get(node_id), total, claimed.get(node_id, 0), reserved(io), trash_b)
    return space


def bytes_in_trash(index: Index, node_id: int) -> int:
    from alpenhorn.scan import trash  # few nodes have one

    return trash.total_b(index, node_id)


def open_inodes(answers: Mapping[int, ProbeOutcome], nodes: Iterable[int]) -> Inodes:
    inodes = Inodes()
    for node_id in nodes:
        inodes.open(node_id, answers[node_id].free_files)
    return inodes


def make_planner(
    topology: Topology,
    config: Config,
    ios: Mapping[int, Node],
    groups: Mapping[int, Group],
    space: Space,
    troubles: Troubles,
    inodes: Inodes,
) -> PullPlanner:
    for io in ios.values():
        try:
            bwlimit_of(io.node)
        except StorageError as error:
            troubles.unwritable[io.node.id] = error.reason
    return PullPlanner(
        host=config.sync.host,
        nodes=topology.nodes,
        groups=groups,
        remote=_remote,
        local_method={node_id: io.local_method for node_id, io in ios.items()},
        space=space,
        bbcp=_installed(config.transfer.bbcp),
        tar=config.transfer.tar,
        troubles=troubles,
        inodes=inodes,
        streams=config.transfer.streams,
    )


def hold_back(index: Index, host: str, troubles: Troubles) -> None:
    """Load the hosts and nodes that earlier runs could not reach."""
    from alpenhorn.scan import backoff  # a run without pulls needs none of it

    held = backoff.of_host(index, host)
    for name, why in held.hosts.items():
        troubles.held[name] = why
    for node_id, why in held.nodes.items():
        troubles.held[node_id] = why


def bwlimit_of(node: NodeFact) -> Rates:
    """Return a node's bandwidth limit, independent of its storage class.  Raises StorageError."""
    if "bwlimit" not in (node.io_config or ""):
        return ()
    from alpenhorn.io.bandwidth import node_bwlimit  # most nodes have no limit

    return node_bwlimit(node.name, parse_settings(f"node {node.name}", node.io_config))


def _remote(node: NodeFact) -> Remote:
    bwlimit_of(node)
    return remote_io(node)


def _installed(program: str | None) -> bool:
    """Return whether a program is installed; without bbcp, rsync is used."""
    if program is None:
        return False
    import shutil  # 2 ms, and few archives use bbcp

    return shutil.which(program) is not None
