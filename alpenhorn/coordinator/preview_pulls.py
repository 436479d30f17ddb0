"""The part of the plan that is about requests: those that would be created, and those that would be carried out."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from functools import partial

from alpenhorn.config import Config
from alpenhorn.coordinator.preview import NO_RUN, PAGE, Item, Line, Preview, Probed, node_name, probe
from alpenhorn.coordinator.preview_requests import requests
from alpenhorn.coordinator.report import Asked
from alpenhorn.index.connection import Index
from alpenhorn.index.times import posix
from alpenhorn.model.pulls import PullFact
from alpenhorn.plan.pulls import Choice, PullDecision
from alpenhorn.reasons import Code, Reason, code_of, headed, within
from alpenhorn.scan import priorities
from alpenhorn.scan import pulls as pull_rows
from alpenhorn.scan import topology as topologies
from alpenhorn.scan.tape import progress as tape_progress
from alpenhorn.transfer.methods import METHODS
from alpenhorn.workers.pool import Pool


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


def pulls(here: Preview) -> Iterator[Item]:
    yield from requests(here)
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
                    source = node_name(topology, fact.node_from_id)
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
    return Line(kind, place, node_name(topology, source_id), planned, why, fact.priority)


def _instead(decision: PullDecision) -> Reason:
    """Return the method of a pull from another source, and why it is not the requested one."""
    requested, why = decision.instead
    return Code.OTHER_SOURCE(method=decision.method, requested=requested, why=why)
