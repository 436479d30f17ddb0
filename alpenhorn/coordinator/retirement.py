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
from alpenhorn.edits.retirement_comparison import Comparison, compare
from alpenhorn.index.connection import Index
from alpenhorn.model.deletions import Evidence
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.retirement import Retirement
from alpenhorn.scan import policy_files
from alpenhorn.scan import retirements as scan
from alpenhorn.scan.manifest import latest_event

_log = logging.getLogger(__name__)

# Seconds after which all copies are compared again although nothing has changed that would be noticed: other programs
# write no events.  Many copies are compared less often, so that it takes no more than a small part of the time.
AGAIN = 3600.0
SHARE = 0.01
MOST = 100_000  # events; if there are more, all copies are compared


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
        if comparison.restricted:
            _log.info(
                "node %s is retired: of the files with new events, %d requested, %d copies released",
                node.name,
                amounts.requested.files,
                amounts.released,
            )
            continue
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
        if node_id not in nodes:
            continue
        groups = scan.groups(index, node_id)
        served = node_id in here
        if retirement.declared_lost:
            served = served or any(group_id in groups_here for group_id in groups)
        if not served:
            continue
        comparison = Comparison(index, nodes[node_id], nodes, retirement, groups, relied_on, now, run, newest)
        if _all_due(index, comparison, retirement):
            yield comparison
        elif retirement.event_id != newest:
            found = policy_files.news(
                index, max(0, min(retirement.event_id, newest) - policy_files.OVERLAP), newest, MOST
            )
            if found.last == newest:
                comparison.restrict(found.file_ids)
            yield comparison


def _all_due(index: Index, comparison: Comparison, retirement: Retirement) -> bool:
    """Return whether all copies must be compared, not only those of files with new events."""
    before = comparison.before
    if retirement.compared_at is None or before is None or before.made_from != comparison.made_from:
        return True
    age = (index.now() - retirement.compared_at).total_seconds()
    return not 0 <= age < max(AGAIN, before.seconds / SHARE)
