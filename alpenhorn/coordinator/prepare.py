"""The start of a run: probe nodes, lock them, and compare their media with the index."""

from __future__ import annotations

from collections.abc import Callable

from alpenhorn.coordinator import media
from alpenhorn.coordinator import nodes as node_steps
from alpenhorn.coordinator.report import Asked, Report
from alpenhorn.errors import Stopped
from alpenhorn.index.connection import Index
from alpenhorn.model.nodes import NodeFact, ProbeOutcome
from alpenhorn.scan.topology import Topology
from alpenhorn.workers.lock_holder import LockHolder
from alpenhorn.workers.pool import Pool


def prepare(
    index: Index,
    pool: Pool,
    topology: Topology,
    host: str,
    selected: list[NodeFact],
    asked: Asked,
    found: node_steps.Nodes,
    report: Report,
    stopping: Callable[[], bool],
    lock_holder: Callable[[str], LockHolder],
) -> tuple[list[NodeFact], media.JudgedMedia]:
    """Probe all nodes of this host (any may be a source), lock and tidy the selected ones, and judge their media.

    Return the nodes that can be worked on, and the judged media.  Raises Busy if another run holds all selected nodes,
    and Stopped if the run was asked to stop before all nodes had answered.
    """

    def probe(nodes: list[NodeFact], tidy: bool = False) -> None:
        found.answers |= node_steps.probe(pool, found.ios, nodes, tidy, report.step, stopping)
        # Nothing can be said about a node that was not waited for.
        if stopping():
            raise Stopped

    here = topology.here(host)
    found.ios, faults = node_steps.make_ios(here)
    for node in here:
        if node.id in faults and node in selected:
            node_steps.leave_out(node, faults[node.id], report, asked)
    usable = [node for node in here if node.id in found.ios]
    found.answers = {node_id: ProbeOutcome(node_id, error=why) for node_id, why in faults.items()}
    probe(usable)
    targets = [node for node in selected if node.id in found.ios]
    fresh = node_steps.initialise(index, pool, targets, found, report)
    if fresh:
        probe([node for node in usable if node.id in fresh])
    former = node_steps.accept_former_names(index, targets, found)
    node_steps.reject_shared_roots(here, found)
    node_steps.warn_nested_roots(here, report)
    media.reject_foreign(index, here, found)
    node_steps.distrust_manifests(
        index, topology, host, [node.id for node in here if found.answers[node.id].error]
    )
    for node in targets:
        if error := found.answers[node.id].error:
            node_steps.leave_out(node, error, report, asked)
    node_steps.lock(targets, found, asked, report, stopping, pool.give_up_one, lock_holder)
    locked = [node for node in targets if node.id in found.locks]
    node_steps.update_markers(pool, former, locked, found, report)
    probe(locked, tidy=True)
    for node in locked:
        if error := found.answers[node.id].error:
            node_steps.leave_out(node, error, report, asked)
    workable = [node for node in locked if not found.answers[node.id].error]
    report.step("comparing the media with the index")
    judged = media.judge_media(index, here, workable, found, asked, report)
    workable = [node for node in workable if node.id in judged.standings]
    node_steps.report_warnings(workable, found, report)
    return workable, judged
