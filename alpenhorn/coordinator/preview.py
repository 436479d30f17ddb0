"""The plan: what a run would do now, and for all other pending work, why it would not."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from alpenhorn.config import Config
from alpenhorn.coordinator import media
from alpenhorn.coordinator import nodes as node_steps
from alpenhorn.coordinator.checks import due_pages
from alpenhorn.coordinator.deletable import Deletable, apply_limit, evidence, free_with_trash_b
from alpenhorn.coordinator.planning import group_ios, hold_back, make_planner, open_inodes, open_space
from alpenhorn.coordinator.report import Asked, Report
from alpenhorn.coordinator.tape import preview
from alpenhorn.index.connection import Index
from alpenhorn.index.times import posix
from alpenhorn.io.base import Node, TapeNode
from alpenhorn.kinds import WORK, load
from alpenhorn.model.copies import WantsFile
from alpenhorn.model.deletions import DeletionFact
from alpenhorn.model.nodes import MARKER, NodeFact, ProbeOutcome, TrashBatch
from alpenhorn.plan.backoff import WAITS, waits
from alpenhorn.plan.checks import CheckPlan
from alpenhorn.plan.checks import choose as choose_checks
from alpenhorn.plan.pulls import PullPlanner
from alpenhorn.plan.sources import Troubles
from alpenhorn.reasons import Code, Reason
from alpenhorn.scan import checks as check_rows
from alpenhorn.scan import imports as import_rows
from alpenhorn.scan import media as media_rows
from alpenhorn.scan import topology as topologies
from alpenhorn.workers.pool import Pool

PAGE = 2000
NO_RUN = 0  # no run has this id, so every live claim belongs to another


class Line(NamedTuple):
    """A line of the plan, for files with the same decision.

    `node`: the node that the work is on; `source`: the node that data comes from; `why`: the method if `planned`, else
    the reason for not doing it.  `priority`: that of the requests.
    """

    kind: str
    node: str
    source: str
    planned: bool
    why: Reason
    priority: int = 0


@dataclass
class PlannedAmount:
    """An amount of files.  `example`: the first of them."""

    files: int = 0
    bytes: int = 0
    example: str = ""

    def add(self, size_b: int | None, example: str) -> None:
        if not self.files:
            self.example = example
        self.files += 1
        self.bytes += size_b or 0


class Item(NamedTuple):
    """One file of the plan.  `request_id`: its copy or import request, None for a check."""

    line: Line
    path: str
    size_b: int | None
    request_id: int | None


@dataclass
class Plan:
    """A whole plan.

    `lines`: in the order in which they appeared; `left_out`: reasons by node name; `faults` and `notes`: other failures
    and warnings.
    """

    lines: dict[Line, PlannedAmount] = field(default_factory=dict)
    left_out: dict[str, Reason] = field(default_factory=dict)
    faults: list[Reason] = field(default_factory=list)
    notes: list[Reason] = field(default_factory=list)
    exit_status: int = 0

    def add(self, item: Item) -> None:
        amount = self.lines.get(item.line)
        if amount is None:
            amount = self.lines[item.line] = PlannedAmount()
        amount.add(item.size_b, item.path)

    @property
    def attention(self) -> list[Reason]:
        """Lines about nodes that are left out, then the faults and notes."""
        left_out = [node_steps.left_out_reason(name, why) for name, why in self.left_out.items()]
        return [*left_out, *self.faults, *self.notes]


class Probed(NamedTuple):
    """The state that a run would find.

    `selected`: the requested nodes; `workable`: those of them that answer; `ios` and `free_b`: their storage objects
    and free space, None if unknown; `trash`: what is in the trash of those that have one.
    """

    topology: topologies.Topology
    planner: PullPlanner
    selected: list[NodeFact]
    workable: list[NodeFact]
    ios: dict[int, Node]
    free_b: dict[int, int | None]
    trash: dict[int, tuple[TrashBatch, ...]]
    report: Report


@dataclass(frozen=True)
class Preview:
    """The input for the preview of a kind of work.  `now`: POSIX seconds."""

    index: Index
    config: Config
    asked: Asked
    now: float
    found: Probed


def probe(index: Index, pool: Pool, config: Config, asked: Asked) -> Probed:
    """Probe this host's nodes and make a planner, without changing anything.  Raises NotFound for an unknown node."""
    report = Report()
    topology = topologies.load(index)
    selected = node_steps.select_nodes(topology, config.sync.host, asked, report)
    here = topology.here(config.sync.host)
    all_ios, faults = node_steps.make_ios(here)
    answers = node_steps.probe(pool, all_ios, [node for node in here if node.id in all_ios], tidy=False)
    found = node_steps.Nodes(all_ios, answers)
    node_steps.accept_former_names(index, [node for node in selected if node.id in answers], found)
    media.reject_unless_own([node for node in here if node.id in answers], found, media_rows.load(index))
    faults |= {node_id: answer.error for node_id, answer in answers.items() if answer.error}
    for node in selected:
        if node.id in faults and not _initialised_first(index, node, answers.get(node.id)):
            node_steps.leave_out(node, faults[node.id], report, asked)
    workable = [node for node in selected if node.id not in faults]
    node_steps.report_warnings(workable, found, report)
    ios = {node.id: all_ios[node.id] for node in workable}
    groups = group_ios(topology, workable, report)
    free_b = {node.id: answers[node.id].free_b for node in workable}
    trashed = {node.id: batches for node in workable if (batches := answers[node.id].trash)}
    space = open_space(index, ios, free_b, NO_RUN, trashed, counts_trash=True)
    inodes = open_inodes(answers, ios)
    troubles = Troubles(absent=faults)
    hold_back(index, config.sync.host, troubles)
    planner = make_planner(topology, config, ios, groups, space, troubles, inodes)
    return Probed(topology, planner, selected, workable, ios, free_b, trashed, report)


def _initialised_first(index: Index, node: NodeFact, answer: ProbeOutcome | None) -> bool:
    """Return whether a node only lacks the marker, and a pending request would write it."""
    if answer is None or not answer.uninitialised:
        return False
    return any(request.path == MARKER for request in import_rows.requests(index, node.id))


def items(
    index: Index,
    pool: Pool,
    config: Config,
    asked: Asked,
    clock: Callable[[], datetime.datetime],
    plan: Plan,
) -> Iterator[Item]:
    """Probe the nodes; return an iterator of the items of the plan, which adds each to `plan`.  Nothing is changed.

    The iterator does not use the pool.  Raises NotFound for an unknown node, IndexUnusable.
    """
    found = probe(index, pool, config, asked)
    return _items(Preview(index, config, asked, posix(clock()), found), plan)


def _items(here: Preview, plan: Plan) -> Iterator[Item]:
    asked, found = here.asked, here.found
    for kind in WORK:
        if asked.wants(kind.name):
            yield from _added(plan, load(kind.preview)(here))
    plan.left_out = found.report.left_out
    shown = {node_steps.left_out_reason(name, why) for name, why in plan.left_out.items()}
    plan.faults = [line for line in found.report.failures.lines() if line not in shown]
    plan.notes = [line for line in found.report.warnings.lines() if line not in shown]
    plan.exit_status = found.report.exit_status


def _added(plan: Plan, found: Iterator[Item]) -> Iterator[Item]:
    for item in found:
        plan.add(item)
        yield item


def imports(here: Preview) -> Iterator[Item]:
    selected = {node.id for node in here.found.selected}
    for node in here.found.selected:
        yield from _requested_imports(here, node.id, node.name, here.found.report.left_out.get(node.name))
    for node in here.found.workable:
        if node.auto_import:
            yield Item(Line("import", node.name, "", True, Code.AUTO_IMPORT()), ".", None, None)
    for node_id in import_rows.nodes_with_requests(here.index):
        if node_id not in selected:
            yield from _not_imported_here(here, node_id)


def _not_imported_here(here: Preview, node_id: int) -> Iterator[Item]:
    """Yield the import requests of a node that is not worked on here, unless only other nodes are asked for."""
    other = here.found.topology.nodes.get(node_id)
    if here.asked.nodes and (other is None or other.name not in here.asked.nodes):
        return
    if other is None:
        why: Reason | None = Code.REQUEST_NODE_NOT_IN_INDEX()
    else:
        why = node_steps.why_not_here(other, here.config.sync.host)
    yield from _requested_imports(here, node_id, node_name(here.found.topology, node_id), why)


def _requested_imports(here: Preview, node_id: int, name: str, obstacle: Reason | None) -> Iterator[Item]:
    """Yield the import requests of a node.  `obstacle`: why none of them is carried out, None if they are."""
    for request in import_rows.requests(here.index, node_id):
        why = obstacle or request.fault or (WAITS if waits(request.attempt, here.now) else "")
        wanted = Code.INITIALISATION_REQUESTED() if request.path == MARKER else Code.IMPORT_REQUESTED()
        line = Line("import", name, "", not why, why or wanted)
        yield Item(line, request.path, None, request.request_id)


def tape(here: Preview) -> Iterator[Item]:
    for node in here.found.workable:
        io = here.found.ios[node.id]
        if isinstance(io, TapeNode):
            free_b, min_days = here.found.free_b[node.id], here.config.sync.auto_verify_min_days
            for planned, why, file in preview(here.index, io, free_b, here.now, min_days):
                yield Item(Line("tape", node.name, "", planned, why), file.path, file.held_b, None)


def checks(here: Preview) -> Iterator[Item]:
    for node in here.found.workable:
        # Copies on tape only are restored first.
        ready = True if isinstance(here.found.ios[node.id], TapeNode) else None
        for facts in check_rows.pages(here.index, node.id, PAGE, ready=ready):
            released = facts[0].wants_file == "N"
            why = Code.RELEASED_COPY_SUSPECT() if released else Code.COPY_SUSPECT()
            yield from _check_items(node, why, choose_checks(facts, here.now))
        if node.auto_verify > 0:
            min_days = here.config.sync.auto_verify_min_days
            for turn in due_pages(here.index, node, here.now, min_days, random.random(), ready):
                yield from _check_items(node, turn.why, turn.plan)


def _check_items(node: NodeFact, why: Reason, plan: CheckPlan) -> Iterator[Item]:
    planned = Line("check", node.name, "", True, why)
    for file in plan.files:
        yield Item(planned, file.path, file.size_b, None)
    for fact, obstacle in plan.left:
        yield Item(
            Line("check", node.name, "", False, obstacle), f"{fact.acq}/{fact.name}", fact.size_b, None
        )


def deletions(here: Preview) -> Iterator[Item]:
    config, found = here.config.sync, here.found
    relied_on = evidence(config, found.planner.troubles.absent)
    for node in found.workable:
        free_b = free_with_trash_b(node, found.free_b[node.id], found.planner.space)
        chosen, counted = (Deletable(here.index, node, relied_on, free_b, here.now, NO_RUN) for _ in range(2))
        unlimited = here.asked.allow_mass_delete or node.releases or not chosen
        braked = "" if unlimited else apply_limit(counted, config, 0).line
        for page in chosen.pages():
            chosen.deleting(page.may)
            for fact in page.may:
                released = fact.wants_file == WantsFile.NO
                why = braked or (Code.COPY_RELEASED() if released else Code.COPY_MAKES_ROOM())
                yield _delete_item(node, fact, not braked, why)
            for fact, obstacle in page.left:
                yield _delete_item(node, fact, False, obstacle)


def _delete_item(node: NodeFact, fact: DeletionFact, planned: bool, why: Reason) -> Item:
    line = Line("delete", node.name, "", planned, why)
    return Item(line, f"{fact.acq}/{fact.name}", fact.size_b, None)


def trash(here: Preview) -> Iterator[Item]:
    index, keep = here.index, here.config.sync.trash
    if not (here.found.trash or keep):
        return
    from alpenhorn.coordinator.trash import needed  # few hosts keep deleted files
    from alpenhorn.plan.trash import due
    from alpenhorn.scan import trash as rows

    relied_on = evidence(here.config.sync, here.found.planner.troubles.absent)
    for node in here.found.workable:
        back = Line("trash", node.name, "", True, Code.UNDELETION_WANTED())
        for page in rows.asked(index, node.id):
            for one in page:
                yield Item(back, one.file.path, one.file.size_b, None)
        batches = here.found.trash.get(node.id, ())
        over = Line("trash", node.name, "", True, Code.TRASH_TIME_OVER())
        stays = Line("trash", node.name, "", False, Code.TRASH_FILE_NEEDED())
        for name in due(batches, keep, posix(index.now()), here.now).expired:
            last = needed(index, node.id, name, relied_on, NO_RUN).paths
            for file in rows.in_batch(index, node.id, name):
                yield Item(stays if file.path in last else over, file.path, file.size_b, None)


def node_name(topology: topologies.Topology, node_id: int) -> str:
    node = topology.nodes.get(node_id)
    return node.name if node else f"(node {node_id})"
