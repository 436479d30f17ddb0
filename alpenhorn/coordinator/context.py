"""What all the steps of one run share."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from itertools import count
from typing import TYPE_CHECKING, Protocol

from alpenhorn.config import Config
from alpenhorn.coordinator.report import Asked, Notes, Report
from alpenhorn.index.connection import Index
from alpenhorn.index.times import posix
from alpenhorn.io.base import Group, Node
from alpenhorn.model.nodes import NodeFact
from alpenhorn.model.tasks import Done, Task, TaskKind
from alpenhorn.plan.limits import Limits
from alpenhorn.plan.pulls import PullPlanner
from alpenhorn.plan.space import Space
from alpenhorn.reasons import Code, Reason, headed
from alpenhorn.record.media import wrong
from alpenhorn.record.run import Run
from alpenhorn.scan.topology import Topology, load

if TYPE_CHECKING:
    from alpenhorn.model.links import LookTotals

MOVED = Code.NODE_MOVED()


class Looked:
    """How many copies of a node this run has looked at, and how many of them it found missing or unreadable; `missing`:
    missing ones only.  `before`: the sums of earlier runs, `kept`: those that the index has now; None when they have
    not been read."""

    def __init__(self) -> None:
        self.copies = 0
        self.lost = 0
        self.missing = 0
        self.before: LookTotals | None = None
        self.kept: LookTotals | None = None

    @property
    def sums(self) -> LookTotals:
        from alpenhorn.model.links import LookTotals  # of no use to a run that looks at nothing

        return LookTotals(self.copies, self.lost)


class WholeRun:
    """What outlives a round.

    `stages`: numbers for stages; a worker that could not be killed may still write where it was.  `searched`:
    nodes that were searched for new files; `verified`: nodes whose good copies were re-read; `deleted`: copies
    deleted from each node; `braked`: nodes on which too much would have been deleted; `relieved`: nodes on which
    copies were deleted to make room; `looked`: what was looked at on each.

    Of nodes with tape behind them: `compared`: copies were compared with the tape; `recalled`: good ones were asked
    back to be read again; `thinned`: some left the disk to make headroom; `lost`: (node id, file id) of what was
    found neither on disk nor on tape.

    `moved`: nodes of which it was told that what was done there was not recorded; `told`: (node id, file id) of the
    files at whose path a check found something that was never recorded as good there.
    `held_back`: it is known which hosts earlier runs could not reach; `unreached`: requests that were reported as
    those of a host that could not be reached.
    """

    def __init__(self) -> None:
        self.stages = count()
        self.searched: set[int] = set()
        self.verified: set[int] = set()
        self.deleted: dict[int, int] = {}
        self.braked: set[int] = set()
        self.relieved: set[int] = set()
        self.looked: dict[int, Looked] = {}
        self.compared: set[int] = set()
        self.recalled: set[int] = set()
        self.thinned: set[int] = set()
        self.lost: set[tuple[int, int]] = set()
        self.moved: set[int] = set()
        self.told: set[tuple[int, int]] = set()
        self.held_back = False
        self.unreached: set[int] = set()


class Context:
    """`ios`: the storage objects of the nodes that are worked on, by node id; `groups` those of their
    groups.  `free_b`: their free bytes as the round began, None unknown.  `changed` is set by whatever may
    have made new work possible.  `clock` gives naive UTC.

    `withdraw` takes queued tasks for which the given function is false out of the pool again.

    `deleting`: (node id, file id) of the copies that are queued or claimed for deletion in this round; what was read
    of them meanwhile must not be recorded, since they may be gone by then.  `in_use`: likewise, of the files of nodes
    with tape behind them that are being read, or are leaving the disk; a reader of one that leaves would wait for the
    tape.
    """

    # No dataclass: the decorator and its module would take 2 % of an idle run.
    def __init__(
        self,
        *,
        index: Index,
        config: Config,
        asked: Asked,
        run: Run,
        clock: Callable[[], datetime.datetime],
        topology: Topology,
        ios: dict[int, Node],
        groups: dict[int, Group],
        space: Space,
        planner: PullPlanner,
        report: Report,
        limits: Limits,
        free_b: dict[int, int | None],
        whole: WholeRun,
        withdraw: Callable[[Callable[[Task], bool]], None],
    ) -> None:
        self.index = index
        self.config = config
        self.asked = asked
        self.run = run
        self.clock = clock
        self.topology = topology
        self.ios = ios
        self.groups = groups
        self.space = space
        self.planner = planner
        self.report = report
        self.limits = limits
        self.free_b = free_b
        self.whole = whole
        self.withdraw = withdraw
        self.deleting: set[tuple[int, int]] = set()
        self.in_use: set[tuple[int, int]] = set()
        self.changed = False

    @property
    def gone(self) -> dict[int, Reason]:
        """The nodes of this host that are not worked on, and why."""
        return self.planner.troubles.absent

    def node(self, node_id: int) -> NodeFact:
        return self.topology.nodes[node_id]

    def travels(self, node_id: int) -> bool:
        """Whether the node is one of media that are carried between hosts."""
        group = self.groups.get(self.node(node_id).group_id)
        return group is not None and group.travels

    def posix_now(self) -> float:
        return posix(self.clock())

    def stage(self) -> str:
        """A name for a job's stage that no other job of any run has."""
        return f"run-{self.run.id}-{next(self.whole.stages)}"

    def node_gone(self, node_id: int, why: Reason) -> None:
        """A node stopped answering, or is not what it was: leave it alone for the rest of the run, and let no host
        rely on it."""
        if node_id not in self.gone:
            wrong(self.index, {node_id: why})
        self._leave_alone(node_id, why, self.report.failures)

    def node_taken_off(self, node_id: int) -> None:
        """Somebody wants no more work on it: leave it alone for the rest of the run."""
        self._leave_alone(node_id, Code.NODE_TAKEN_OFF(), self.report.warnings)

    def node_moved(self, node_id: int) -> None:
        """What was done on a node was not recorded, since its row names another host, root or medium by now."""
        if node_id in self.whole.moved:
            return
        self.whole.moved.add(node_id)
        name = self.node(node_id).name
        self.report.warnings.add(headed(f"node {name}", MOVED))
        self.report.left_out.setdefault(name, MOVED)
        if node_id not in self.gone:
            self.planner.node_absent(node_id, MOVED)

    def _leave_alone(self, node_id: int, why: Reason, notes: Notes) -> None:
        if node_id not in self.gone:
            name = self.node(node_id).name
            self.report.left_out[name] = why
            notes.lasting(Code.NODE_LOST(node=name, why=why), subject=name)
            self.planner.node_absent(node_id, why)

    def linked(self, node: NodeFact, any_linked: bool) -> None:
        """Copies that are about to be recorded as good have other names: no copy on that node counts as an archive copy
        until a run has looked at them."""
        if any_linked and node.archive:
            from alpenhorn.record.separate import forget  # nearly no run needs it

            forget(self.index, [node.id])

    def look_at_nodes(self) -> set[int]:
        """Honour what was edited since the round began; returns the nodes that were taken off this host.

        The nodes that are worked on stay as they are otherwise: their storage objects and locks belong to their
        roots, and the next round begins with the new rows.
        """
        rows = load(self.index).called_as_in(self.topology).nodes
        no_longer_separate(self.index, rows.values(), self.config.sync.host)
        off = {
            node_id
            for node_id in self.ios
            if node_id not in self.gone and not self._still_here(rows.get(node_id))
        }
        for node_id in off:
            self.node_taken_off(node_id)
        nodes = rows | {node_id: self.node(node_id) for node_id in self.ios}
        if nodes != self.topology.nodes:
            self.topology = self.topology._replace(nodes=nodes)
            self.planner.nodes_changed(nodes)
        return off

    def _still_here(self, row: NodeFact | None) -> bool:
        return (
            row is not None
            and row.active
            and row.host == self.config.sync.host
            and row.root == self.node(row.id).root
        )


def no_longer_separate(index: Index, nodes: Iterable[NodeFact], host: str) -> None:
    """Forget of this host's nodes that are not archive nodes that their copies have bytes of their own: links may be
    made to them from now on."""
    linkable = [node.id for node in nodes if node.separate and not node.archive and node.host == host]
    if linkable:
        from alpenhorn.record.separate import forget  # nearly no run needs it

        forget(index, linkable)


class Worklist(Protocol):
    """One kind of work on its way through scan, plan, run and record, within one round."""

    kind: TaskKind

    def feed(self) -> list[Task]:
        """The next page of tasks; an empty list when there is nothing to hand out now."""
        ...

    def take(self, done: Done) -> None:
        """Record how a task of this kind ended."""
        ...

    def withdrawn(self, task: Task) -> None:
        """A task was taken out of the queue before a worker had it."""
        ...


class DecidesLate(Worklist, Protocol):
    """A worklist that decides on a task once more when a worker is free for it."""

    def decided(self, task: Task) -> Task | None:
        """The task as it may be carried out now, or None for nothing of it."""
        ...
