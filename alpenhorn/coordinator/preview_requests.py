"""The requests that a run would create for policies and retired nodes, in the plan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from alpenhorn.coordinator import policies as policy_steps
from alpenhorn.coordinator.deletable import evidence
from alpenhorn.coordinator.preview import Item, Line, Preview, node_name
from alpenhorn.coordinator.retirement import comparisons
from alpenhorn.index.bulk import chunks
from alpenhorn.index.times import naive
from alpenhorn.model.policies import PolicyFile, PolicyRequest
from alpenhorn.model.retirement import PendingRequest
from alpenhorn.plan.filing import requests_of_page
from alpenhorn.reasons import Code, Reason
from alpenhorn.scan import policies
from alpenhorn.scan.files_to_delete import paths

# Requests that are not in the index, by file id.
_Planned = defaultdict[int, list[PendingRequest]]


def requests(here: Preview) -> Iterator[Item]:
    """Yield the requests that the first round of a run on this host would create."""
    planned: _Planned = defaultdict(list)
    yield from _for_policies(here, planned)
    if any(node.retired for node in here.found.topology.nodes.values()):
        yield from _for_retirements(here, planned)


def _for_policies(here: Preview, planned: _Planned) -> Iterator[Item]:
    found = policies.load(here.index)
    if not found:
        return
    nodes, host = here.found.topology.nodes, here.config.sync.host
    room = policy_steps.PolicyRoom(
        here.index, nodes, here.found.ios, here.found.planner.groups, here.found.planner.space, host
    )
    names: dict[int, str] = {}

    def file(files: Sequence[PolicyFile]) -> list[PolicyRequest]:
        # A file with new events is looked at twice if all files are compared.
        files = [one for one in files if one.file_id not in planned]
        names.clear()
        names.update((one.file_id, f"{one.acq}/{one.name}") for one in files)
        return requests_of_page(files, found.of, room.to)

    comparison = policy_steps.PolicyComparison(
        here.index, found, room, host, here.asked.nodes, file, lambda: True
    )
    for page in comparison.requests(sweeps=True):
        for one in page:
            planned[one.file_id].append(PendingRequest(one.group_to, one.node_from))
            group = _group_name(here, one.group_to)
            why = Code.POLICY_REQUEST(name=one.policy, group=group)
            yield _item(here, group, one.node_from, why, names[one.file_id], one.size_b)
    if comparison.progress is not None and comparison.progress.part:
        here.found.report.warnings.add(Code.POLICY_FILES_LEFT(files=policy_steps.MOST))


def _for_retirements(here: Preview, planned: _Planned) -> Iterator[Item]:
    found = here.found
    nodes = found.topology.nodes
    relied_on = evidence(here.config.sync, found.planner.troubles.absent)
    due = list(
        comparisons(here.index, nodes, found.ios, found.planner.groups, relied_on, naive(here.now), None)
    )
    for comparison in due:
        why = Code.RETIREMENT_REQUEST(node=comparison.node.name)
        for page in comparison.decisions(lambda file_id: tuple(planned.get(file_id, ()))):
            asked = [(file, decision) for file, decision in page if decision.group_ids]
            names: dict[int, str] = {}
            for some in chunks([file.copy.file_id for file, _ in asked]):
                names |= paths(here.index, some)
            for file, decision in asked:
                file_id = file.copy.file_id
                for group_id in decision.group_ids:
                    if comparison is not due[-1]:
                        planned[file_id].append(PendingRequest(group_id, decision.source_id))
                    yield _item(
                        here,
                        _group_name(here, group_id),
                        decision.source_id,
                        why,
                        names.get(file_id, f"file {file_id}"),
                        file.copy.size_b,
                    )


def _item(here: Preview, group: str, source_id: int, why: Reason, path: str, size_b: int | None) -> Item:
    line = Line("request", group, node_name(here.found.topology, source_id), True, why)
    return Item(line, path, size_b, None)


def _group_name(here: Preview, group_id: int) -> str:
    group = here.found.topology.groups.get(group_id)
    return group.name if group else f"(group {group_id})"
