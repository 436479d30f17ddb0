"""Rules for repairs: the source for each corrupt or missing copy, or why there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from alpenhorn.errors import StorageError
from alpenhorn.io.base import Remote
from alpenhorn.model.copies import HasFile, WantsFile
from alpenhorn.model.nodes import GroupFact, NodeFact
from alpenhorn.model.pulls import PullFact
from alpenhorn.model.repair import BadCopy, GoodCopy
from alpenhorn.plan.paths import file_fault
from alpenhorn.plan.pulls import KEPT_ASIDE, in_brackets, unknown_file
from alpenhorn.reasons import Code, Why, code_of


class RepairDecision(NamedTuple):
    """The source node for a repair, or 0 and the reason.

    `under_way`: a request is already pending.  `found`: the result of the check of a file that is not replaced.
    `aside`: the file may have the right contents, and is to be kept under another name.
    """

    source_id: int
    why: Why = ""
    under_way: bool = False
    found: str = ""
    aside: bool = False


class _Source(NamedTuple):
    """A node as a source for another.  `rank`: the lowest is the best."""

    node: NodeFact
    remote: Remote | None
    obstacle: Why
    rank: tuple[bool, bool, str]


class RepairPlanner:
    """Chooses the sources for repairs.

    `nodes` and `groups`: all, by id; `remote`: returns the remote object of a node; `replace`: also replace copies that
    may have the right contents (KEPT_ASIDE).
    """

    def __init__(
        self,
        nodes: Mapping[int, NodeFact],
        groups: Mapping[int, GroupFact],
        remote: Callable[[NodeFact], Remote],
        replace: bool = False,
    ) -> None:
        self.nodes = nodes
        self.groups = groups
        self.remote = remote
        self.replace = replace
        self._sources: dict[tuple[int, int], _Source] = {}

    def choose(self, copy: BadCopy) -> RepairDecision:
        aside = self.replace and not copy.once_good and code_of(copy.found) in KEPT_ASIDE
        decision = self._choose(copy._replace(once_good=copy.once_good or aside))
        served = decision.source_id or decision.under_way
        return decision._replace(aside=True) if aside and served else decision

    def _choose(self, copy: BadCopy) -> RepairDecision:
        node = self.nodes[copy.node_id]
        wrong = self._trouble(node) or file_fault(copy.acq, copy.name, copy.size_b, copy.md5sum)
        if wrong:
            return RepairDecision(0, wrong)
        # A node whose row is gone has no good copy.
        good = [one for one in copy.good if one.node_id in self.nodes and one.node_id != node.id]
        inside = sorted(
            self.nodes[one.node_id].name for one in good if self.nodes[one.node_id].group_id == node.group_id
        )
        if inside:
            return RepairDecision(0, Code.GROUP_HAS_GOOD_COPY(other=inside[0], node=node.name))
        if good and copy.has_file == HasFile.CORRUPT and not copy.once_good:
            return RepairDecision(0, unknown_file(node.name, copy.found), found=copy.found)
        if copy.requested:
            return RepairDecision(0, Code.REQUEST_PENDING(), under_way=True)
        if not good:
            return RepairDecision(0, Code.NO_GOOD_COPY())
        best: tuple[tuple[bool, bool, bool, bool, str], int] | None = None
        obstacles = set()
        for one in good:
            source = self._source(one.node_id, node)
            if source.obstacle:
                obstacles.add(source.obstacle)
                continue
            # A released copy is the last resort; a copy on tape is restored for the request.
            try:
                ready = source.remote is not None and source.remote.ready(_pull(copy, one, node))
            except StorageError as error:  # a package's storage class failed
                obstacles.add(error.reason)
                continue
            rank = (one.wants_file == WantsFile.NO, not ready, *source.rank)
            if best is None or rank < best[0]:
                best = (rank, source.node.id)
        if best is None:
            return RepairDecision(0, Code.NO_GOOD_COPY_IN_REACH(why="; ".join(sorted(obstacles))))
        return RepairDecision(best[1])

    def _trouble(self, node: NodeFact) -> Why:
        """Return why nothing can be pulled onto a node, "" if it can."""
        if node.group_id not in self.groups:
            return Code.GROUP_NOT_IN_INDEX(node=node.name)
        if node.retired:
            return Code.NODE_RETIRED(node=node.name)
        if not node.active:
            return Code.DESTINATION_INACTIVE(node=node.name)
        if not node.host:
            return Code.DESTINATION_WITHOUT_HOST(node=node.name)
        return ""

    def _source(self, source_id: int, node: NodeFact) -> _Source:
        key = (source_id, node.id)
        found = self._sources.get(key)
        if found is None:
            found = self._sources[key] = self._look(self.nodes[source_id], node)
        return found

    def _look(self, source: NodeFact, node: NodeFact) -> _Source:
        near = source.host == node.host
        rank = (not near, not source.archive, source.name)
        if not source.active:
            return _Source(source, None, Code.GOOD_COPY_NODE_INACTIVE(node=source.name), rank)
        try:
            remote = self.remote(source)
            missing = "" if near else remote.unreachable()
        except StorageError as error:
            return _Source(source, None, error.reason, rank)
        return _Source(
            source,
            remote,
            Code.GOOD_COPY_NODE_UNREACHABLE(node=source.name, host=node.host, why=missing) if missing else "",
            rank,
        )


def _pull(copy: BadCopy, source: GoodCopy, node: NodeFact) -> PullFact:
    """Return the pull that would repair a copy, for the question to a remote object."""
    return PullFact(
        request_id=0,
        file_id=copy.file_id,
        acq=copy.acq,
        name=copy.name,
        size_b=copy.size_b,
        md5sum=copy.md5sum,
        node_from_id=source.node_id,
        source_has="Y",
        source_ready=source.ready,
        group_to_id=node.group_id,
    )


@dataclass
class RepairAmount:
    """An amount of files.

    `path`: that of the first; `example`: the same, with what was found there in brackets; `request`: its pending
    request, if any.
    """

    files: int = 0
    bytes: int = 0
    path: str = ""
    example: str = ""
    request: int = 0


@dataclass
class Repairs:
    """The repairs of a set of copies.

    `requests`: file ids by (source id, node id); `wanted`: their amounts; `left`: amounts that are not requested, by
    (node id, reason, whether a request is pending); `aside`: ids of the files that were changed, by node id.
    """

    requests: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    wanted: dict[tuple[int, int], RepairAmount] = field(default_factory=dict)
    left: dict[tuple[int, Why, bool], RepairAmount] = field(default_factory=dict)
    aside: dict[int, list[int]] = field(default_factory=dict)

    def add(self, copy: BadCopy, decision: RepairDecision) -> None:
        if decision.aside:
            self.aside.setdefault(copy.node_id, []).append(copy.file_id)
        if decision.source_id:
            self.requests.setdefault((decision.source_id, copy.node_id), []).append(copy.file_id)
            amount = self.wanted.setdefault((decision.source_id, copy.node_id), RepairAmount())
        else:
            amount = self.left.setdefault((copy.node_id, decision.why, decision.under_way), RepairAmount())
        if not amount.files:
            amount.path = f"{copy.acq}/{copy.name}" if copy.name is not None else f"file {copy.file_id}"
            amount.example = amount.path + in_brackets(decision.found)
            amount.request = copy.requested
        amount.files += 1
        amount.bytes += max(0, copy.size_b or 0)

    @property
    def files(self) -> int:
        """Number of copies to request."""
        return sum(amount.files for amount in self.wanted.values())

    @property
    def changed(self) -> int:
        """Number of changed files to keep under another name."""
        return sum(map(len, self.aside.values()))

    @property
    def unrepairable(self) -> int:
        """Number of copies that cannot be repaired."""
        return sum(amount.files for (_, _, under_way), amount in self.left.items() if not under_way)
