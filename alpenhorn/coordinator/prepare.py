"""The beginning of a run: which nodes are there, are ours to work on, and are what the index believes them to be."""

from __future__ import annotations

from collections.abc import Callable

from alpenhorn.coordinator import media
from alpenhorn.coordinator import nodes as node_steps
from alpenhorn.coordinator.report import Asked, Report
from alpenhorn.index.connection import Index
from alpenhorn.model.nodes import NodeFact, ProbeOutcome
from alpenhorn.scan.topology import Topology
from alpenhorn.workers.pool import Pool


def prepare(
    index: Index,
    pool: Pool,
    topology: Topology,
    host: str,
    meant: list[NodeFact],
    asked: Asked,
    found: node_steps.Nodes,
    report: Report,
    stopping: Callable[[], bool],
) -> tuple[list[NodeFact], media.Found]:
    """Probe all nodes of this host (any may be a source), lock and tidy those that are meant, and look whether their
    media are what the index believes; returns those that can be worked on, and how their media were found.

    Raises Busy when another run holds every node that is meant.
    """
    here = topology.here(host)
    found.ios, faults = node_steps.make_ios(here)
    for node in here:
        if node.id in faults and node in meant:
            node_steps.leave_out(node, faults[node.id], report, asked)
    usable = [node for node in here if node.id in found.ios]
    found.answers = {node_id: ProbeOutcome(node_id, error=why) for node_id, why in faults.items()}
    found.answers |= node_steps.probe(pool, found.ios, usable, tidy=False)
    targets = [node for node in meant if node.id in found.ios]
    fresh = node_steps.initialise(index, pool, targets, found, report)
    if fresh:
        found.answers |= node_steps.probe(
            pool, found.ios, [node for node in usable if node.id in fresh], tidy=False
        )
    former = node_steps.renamed(index, targets, found)
    node_steps.one_place(here, found)
    node_steps.tell_nested(here, report)
    media.strangers(index, here, found)
    node_steps.out_of_sight(index, topology, host, [node.id for node in here if found.answers[node.id].error])
    for node in targets:
        if error := found.answers[node.id].error:
            node_steps.leave_out(node, error, report, asked)
    node_steps.lock(targets, found, asked, report, stopping, pool.give_up_one)
    locked = [node for node in targets if node.id in found.locks]
    node_steps.mark_anew(pool, former, locked, found, report)
    found.answers |= node_steps.probe(pool, found.ios, locked, tidy=True)
    for node in locked:
        if error := found.answers[node.id].error:
            node_steps.leave_out(node, error, report, asked)
    workable = [node for node in locked if not found.answers[node.id].error]
    judged = media.look(index, here, workable, found, asked, report)
    workable = [node for node in workable if node.id in judged.standings]
    node_steps.tell(workable, found, report)
    return workable, judged
