"""Retired nodes in a run: files that too few other nodes have are requested, and copies that enough others have are
released.

The host of a retired node does it; for a node whose medium was declared lost, each host with a node of one of the
groups into which its files are copied."""

from __future__ import annotations

import logging
from collections.abc import Callable

from alpenhorn.coordinator.context import Context
from alpenhorn.coordinator.deletable import evidence
from alpenhorn.edits.retirement import Comparison, compare
from alpenhorn.model.retirement import Retirement
from alpenhorn.scan import retirements as scan
from alpenhorn.scan.manifest import latest_event

_log = logging.getLogger(__name__)

# Seconds after which copies are compared again although no run has recorded anything since the last time: other
# programs and edits of nodes write no events.
AGAIN = 900.0


def carry_on(context: Context, may_go_on: Callable[[], bool]) -> None:
    """Request and release what the retirements of nodes call for, where anything may have changed."""
    newest = latest_event(context.index)
    for node_id, retirement in sorted(scan.all_retirements(context.index).items()):
        if node_id not in context.topology.nodes or not _due(context, retirement, newest):
            continue
        groups = scan.groups(context.index, node_id)
        served = node_id in context.ios and node_id not in context.gone
        if retirement.declared_lost:
            served = served or any(group_id in context.groups for group_id in groups)
        if not served:
            continue
        node = context.node(node_id)
        context.report.step(f"comparing the copies on {node.name}, which is retired")
        comparison = Comparison(
            context.index,
            node,
            context.topology.nodes,
            retirement,
            groups,
            evidence(context.config.sync, context.gone),
            context.clock(),
            context.run.id,
        )
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


def _due(context: Context, retirement: Retirement, newest: int) -> bool:
    if retirement.compared_at is None or retirement.event_id != newest:
        return True
    return not 0 <= (context.index.now() - retirement.compared_at).total_seconds() < AGAIN
