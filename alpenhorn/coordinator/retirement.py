"""Retired nodes in a run: files that too few other nodes have are requested, and copies that enough others have are
released.

The host of a retired node does it; for a node whose medium was declared lost, each host with a node of one of the
groups into which its files are copied."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Collection, Iterator, Mapping

from alpenhorn.coordinator.context import Context
from alpenhorn.coordinator.deletable import evidence
from alpenhorn.edits.retirement import Comparison, compare
from alpenhorn.index.connection import Index
from alpenhorn.model.deletions import Evidence
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.retirement import Retirement
from alpenhorn.scan import retirements as scan
from alpenhorn.scan.manifest import latest_event

_log = logging.getLogger(__name__)

# Seconds after which copies are compared again although no run has recorded anything since the last time: other
# programs and edits of nodes write no events.
AGAIN = 900.0


def carry_on(context: Context, may_go_on: Callable[[], bool]) -> None:
    """Request and release what the retirements of nodes call for, where anything may have changed."""
    for comparison in comparisons(
        context.index,
        context.topology.nodes,
        context.ios.keys() - context.gone.keys(),
        context.groups,
        evidence(context.config.sync, context.gone),
        context.clock(),
        context.run.id,
    ):
        node = comparison.node
        context.report.step(f"comparing the copies on {node.name}, which is retired")
        if not compare(comparison, True, 0, lambda done, of: None, may_go_on):
            return
        amounts = comparison.amounts
        _log.info(
            "node %s is retired: %d copies are left, %d files requested, %d copies released",
            node.name,
            amounts.left.files,
            amounts.requested.files,
            amounts.released,
        )


def comparisons(
    index: Index,
    nodes: Mapping[int, NodeFact],
    here: Collection[int],
    groups_here: Collection[int],
    relied_on: Evidence,
    now: datetime.datetime,
    run: int | None,
) -> Iterator[Comparison]:
    """Yield the comparisons of retired nodes that this host makes, and that are due.

    `nodes`: all, by id; `here`: ids of those that are worked on; `groups_here`: ids of their groups.
    """
    newest = latest_event(index)
    for node_id, retirement in sorted(scan.all_retirements(index).items()):
        if node_id not in nodes or not _due(index, retirement, newest):
            continue
        groups = scan.groups(index, node_id)
        served = node_id in here
        if retirement.declared_lost:
            served = served or any(group_id in groups_here for group_id in groups)
        if served:
            yield Comparison(index, nodes[node_id], nodes, retirement, groups, relied_on, now, run)


def _due(index: Index, retirement: Retirement, newest: int) -> bool:
    if retirement.compared_at is None or retirement.event_id != newest:
        return True
    return not 0 <= (index.now() - retirement.compared_at).total_seconds() < AGAIN
