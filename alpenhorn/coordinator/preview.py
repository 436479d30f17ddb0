"""The plan: what a run would do now, and for all other pending work, why it would not."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from alpenhorn.config import Config
from alpenhorn.coordinator import media
from alpenhorn.coordinator import nodes as node_steps
from alpenhorn.coordinator.checks import due_pages
from alpenhorn.coordinator.deletable import Deletable, apply_limit, evidence
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
from alpenhorn.model.pulls import PullFact
from alpenhorn.plan.backoff import WAITS, waits
from alpenhorn.plan.checks import CheckPlan
from alpenhorn.plan.checks import choose as choose_checks
from alpenhorn.plan.deletions import lacking_b
from alpenhorn.plan.pulls import Choice, PullDecision, PullPlanner
from alpenhorn.plan.sources import Troubles
from alpenhorn.reasons import Code, Reason, code_of, headed, within
from alpenhorn.scan import checks as check_rows
from alpenhorn.scan import imports as import_rows
from alpenhorn.scan import media as media_rows
from alpenhorn.scan import priorities
from alpenhorn.scan import pulls as pull_rows
from alpenhorn.scan import topology as topologies
from alpenhorn.scan.tape import progress as tape_progress
from alpenhorn.transfer.methods import METHODS
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


def why(
    index: Index, pool: Pool, config: Config, clock: Callable[[], datetime.datetime], request_id: int
) -> Reason:
    """Return what a run on this host would do with a pending request if it were the only one, and why."""
    group_id = pull_rows.group_of(index, request_id)
    if group_id is None:
        return Code.NO_SUCH_REQUEST()
    found = probe(index, pool, config, Asked())
    if group_id not in _groups_here(found):
        return _why_not_here(found.topology, group_id)
    now = posix(clock())
    planner = found.planner
    facts = pull_rows.page(
        index,
        group_id,
        request_id - 1,
        1,
        NO_RUN,
        index.now(),
        lambda fact: planner.lacks_source(fact, now),
    )
    if not facts or facts[0].request_id != request_id:
        return Code.REQUEST_NOT_PENDING()
    decision = _decide(found, facts[0], now)
    if decision.choice is Choice.PULL:
        node = found.topology.nodes[decision.node_id].name
        would = f"it would be pulled now onto {node}"
        if decision.source is None or decision.other is None:
            return within(METHODS[decision.method].reason(), f"{would} ({decision.method})")
        requested, obstacle = decision.instead
        source = f"from {decision.source.name} ({decision.method}), not from {requested}: {obstacle}"
        return within(_instead(decision), f"{would} {source}")
    if decision.choice is Choice.CANCEL:
        return headed("it would be cancelled now", decision.why)
    progress = "" if facts[0].source_ready else tape_progress(index, facts[0].node_from_id, facts[0].file_id)
    more = f"{decision.in_brackets}{f'; {progress}' if progress else ''}"
    if decision.no_other:
        more += f"; and no other good copy can be read now: {decision.no_other}"
    return within(decision.why, f"it is not done now: {decision.why}{more}")


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
    yield from _requested_imports(here, node_id, _node_name(here.found.topology, node_id), why)


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
        free_b = found.free_b[node.id]
        if free_b is not None and lacking_b(node, free_b) > 0:
            free_b += found.planner.space.trash_b(node.id)
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
    from alpenhorn.plan.trash import due  # few hosts keep deleted files
    from alpenhorn.scan import trash as rows

    for node in here.found.workable:
        back = Line("trash", node.name, "", True, Code.UNDELETION_WANTED())
        for page in rows.asked(index, node.id):
            for one in page:
                yield Item(back, one.file.path, one.file.size_b, None)
        batches = here.found.trash.get(node.id, ())
        over = Line("trash", node.name, "", True, Code.TRASH_TIME_OVER())
        for name in due(batches, keep, posix(index.now()), here.now).expired:
            for file in rows.in_batch(index, node.id, name):
                yield Item(over, file.path, file.size_b, None)


def pulls(here: Preview) -> Iterator[Item]:
    index, found = here.index, here.found
    by_method = {name: method.reason() for name, method in METHODS.items()}
    lacks_source = partial(found.planner.lacks_source, now=here.now)
    for group_id, level in priorities.turns(index, _groups_here(found), priorities.last_change(index)):
        lines: dict[tuple[int, int, Choice, Reason], Line] = {}
        for facts in pull_rows.pages(index, group_id, PAGE, NO_RUN, index.now(), lacks_source, level):
            for fact in facts:
                decision = _decide(found, fact, here.now)
                source_id = fact.node_from_id
                if decision.source is None or decision.other is None:
                    why = decision.why or by_method[decision.method]
                else:
                    source_id, why = decision.source.id, _instead(decision)
                key = (source_id, decision.node_id, decision.choice, why)
                line = lines.get(key)
                if line is None:
                    line = lines[key] = _pull_line(found.topology, decision, why)
                yield Item(line, f"{fact.acq}/{fact.name}", fact.size_b, fact.request_id)
    yield from _not_pulled_here(here)


def _decide(found: Probed, fact: PullFact, now: float) -> PullDecision:
    """Return the decision about a request; if its group has no usable node, with what keeps the nodes from use."""
    decision = found.planner.decide(fact, now)
    if decision.why and code_of(decision.why) == Code.GROUP_WITHOUT_NODE:
        nodes = [node for node in found.selected if node.group_id == fact.group_to_id]
        left_out = [node.name for node in nodes if node.name in found.report.left_out]
        if left_out:
            names = ", ".join(left_out)
            said = f"{decision.why}: {names} {'is' if len(left_out) == 1 else 'are'} left out"
            return decision._replace(why=within(decision.why, said))
        # Neither left out nor worked on: the next run writes its marker.
        waiting = [node for node in nodes if node not in found.workable]
        if waiting:
            return decision._replace(why=Code.GROUP_NODE_NOT_INITIALISED(node=waiting[0].name))
    return decision


def _not_pulled_here(here: Preview) -> Iterator[Item]:
    """Yield the requests into groups that have no active node on this host or are not in the index."""
    index, topology = here.index, here.found.topology
    others = set(pull_rows.groups_with_requests(index)) - _groups_here(here.found)
    if here.asked.nodes:
        others &= {node.group_id for node in here.found.selected}
    for name, group_id in sorted((_group_name(topology, group_id), group_id) for group_id in others):
        why = _why_not_here(topology, group_id)
        for _, level in priorities.turns(index, [group_id], priorities.last_change(index)):
            for facts in pull_rows.pages(index, group_id, PAGE, NO_RUN, index.now(), level=level):
                for fact in facts:
                    source = _node_name(topology, fact.node_from_id)
                    line = Line("pull", name, source, False, why, fact.priority)
                    yield Item(line, f"{fact.acq}/{fact.name}", fact.size_b, fact.request_id)


def _groups_here(found: Probed) -> set[int]:
    """Return the ids of the groups of the selected nodes that are not retired, without those that are not in the
    index."""
    taking = {node.group_id for node in found.selected if not node.retired}
    return taking & found.topology.groups.keys()


def _why_not_here(topology: topologies.Topology, group_id: int) -> Reason:
    """Return why no run on this host carries out requests into a group of which it has no active node."""
    if group_id not in topology.groups:
        return Code.REQUEST_GROUP_NOT_IN_INDEX()
    hosts = topology.hosts_of(group_id)
    if not hosts:
        retired = topology.retired_in(group_id)
        if retired:
            return Code.GROUP_RETIRED(nodes=", ".join(retired))
        return Code.GROUP_WITHOUT_NODE_ANYWHERE()
    return Code.REQUEST_FOR_OTHER_HOST(hosts=" or ".join(hosts))


def _node_name(topology: topologies.Topology, node_id: int) -> str:
    node = topology.nodes.get(node_id)
    return node.name if node else f"(node {node_id})"


def _group_name(topology: topologies.Topology, group_id: int) -> str:
    group = topology.groups.get(group_id)
    return group.name if group else f"(group {group_id})"


def _pull_line(topology: topologies.Topology, decision: PullDecision, why: Reason) -> Line:
    fact: PullFact = decision.fact
    if decision.choice is Choice.PULL:
        place = topology.nodes[decision.node_id].name
    else:
        place = topology.groups[fact.group_to_id].name
    kind = "cancel" if decision.choice is Choice.CANCEL else "pull"
    planned = decision.choice in (Choice.PULL, Choice.CANCEL)
    source_id = fact.node_from_id if decision.source is None else decision.source.id
    return Line(kind, place, _node_name(topology, source_id), planned, why, fact.priority)


def _instead(decision: PullDecision) -> Reason:
    """Return the method of a pull from another source, and why it is not the requested one."""
    requested, why = decision.instead
    return Code.OTHER_SOURCE(method=decision.method, requested=requested, why=why)
